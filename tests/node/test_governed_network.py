"""A running network follows what its members decide; what was sealed stays readable, and nobody honest is named."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest

from salus.cli.actions import governance, rotating
from salus.cli.home import Home
from salus.contracts.consent import pack_root
from salus.contracts.members.messages import Change, SetPack, SetValidator
from salus.contracts.members.reads import member_of, pack_root_of
from salus.contracts.members.tables import Standing
from salus.core.ids import MemberId
from salus.core.wire import decode
from salus.engines.receipts import Receipt, check_receipt
from salus.node.folder import PACKS_FOLDER, NotANetworkError, packs_in
from salus.sdk import consent
from salus.sdk.errors import LedgerRefusedError, TooFewSeatsError
from salus.sdk.packs import shipped_packs
from salus.sdk.wallet import new_wallet
from tests.node.stage import HOSPITALS, Clock, Stage, data_of, permit, shown, stage

NORTHGATE, SOUTHPORT = MemberId("northgate"), MemberId("southport")
SHIPPED = (files("salus.contracts.consent") / "packs" / "us.json").read_bytes()
ALL = ("mercy", "st-luke", "lakeside", "southport")


def home(on: Stage) -> Home:
    """What the commands' actions need of a home: the network and its members."""
    return SimpleNamespace(network=on.network, folder=on.network.folder, member=on.network.__getitem__)  # type: ignore[return-value]


async def decide(on: Stage, *changes: Change, by: Sequence[str] = ("mercy", "st-luke", "lakeside")) -> Standing:
    """Propose and vote, a block each."""
    made, _ = await governance.propose(home(on), by[0], changes)
    for member in by[1:]:
        made, _ = await governance.vote(home(on), member, made.proposal_id.hex(), approve=True)
    return made.proposal.standing


def southport(on: Stage) -> Change:
    return governance.adding(home(on), SOUTHPORT, jurisdiction="us", validator=True, quota_bytes=1 << 20)


def leaving(on: Stage, seat_to: str | None = None) -> tuple[Change, ...]:
    return governance.removing(
        home(on), "northgate", successor="lakeside", seat_to=seat_to, fewer_seats=seat_to is None
    )


async def test_a_folder_with_keys_is_no_member_until_the_members_say_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        southport(on)
        await on.network.tend()
        assert SOUTHPORT not in on.network


async def test_two_members_of_four_let_nobody_in_and_vote_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        assert await decide(on, southport(on), by=("mercy", "st-luke")) is Standing.OPEN
        assert SOUTHPORT not in on.network
        id = governance.all_proposals(home(on))[0].proposal_id.hex()
        with pytest.raises(LedgerRefusedError, match=r"members\.voted_already"):
            await governance.vote(home(on), "st-luke", id, approve=True)


async def test_a_member_joins_while_the_network_runs_and_is_there_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await on.patient("mercy", rules=(permit("southport"),))
        await on.seal("mercy", wallet, "a")
        assert await decide(on, southport(on)) is Standing.EXECUTED
        reader = await on.clinician("southport")
        assert shown(await on.view("southport", reader, wallet)) == [data_of("a")]
        assert len({member.replica.header for member in on.network.members}) == 1
    async with stage(tmp_path, clock=clock) as on:
        assert [member.name for member in on.network.members][-1] == SOUTHPORT
        assert shown(await on.view("southport", await on.clinician("southport"), wallet)) == [data_of("a")]


@pytest.mark.parametrize("member", ["mercy", "northgate"])
async def test_new_keys_are_in_use_once_decided_and_the_old_ones_are_gone(tmp_path: Path, member: str) -> None:
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await on.patient("mercy", "northgate", rules=(permit(member),))
        await on.seal(member, wallet, "a")
        before = on[member].secrets.public
        change = governance.rekeying(home(on), member, [])
        await on.network.tend()
        assert on[member].secrets.public == before  # Staged, and used by nobody yet.
        assert await decide(on, change) is Standing.EXECUTED
        after = on[member].secrets.public
        entry = member_of(on.network.ledger.state, MemberId(member))
        assert entry is not None
        assert after == entry.keys
        assert all(getattr(before, duty) != getattr(after, duty) for duty in before.__struct_fields__)
        await on.seal(member, wallet, "b")
        view = await on.view(member, await on.clinician(member), wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert (view.accusations, view.gaps, view.answered) == ([], [], 4)
    async with stage(tmp_path, clock=clock) as on:
        assert on[member].secrets.public == after


async def test_a_network_of_one_changes_its_keys(tmp_path: Path) -> None:
    async with stage(tmp_path, 1) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        change = governance.rekeying(home(on), "mercy", [])
        assert await decide(on, change, by=("mercy",)) is Standing.EXECUTED
        await on.seal("mercy", wallet, "b")
        view = await on.view("mercy", await on.clinician("mercy"), wallet)
        assert shown(view) == [data_of("a"), data_of("b")]


async def test_a_member_that_goes_stops_and_its_records_stay_readable(tmp_path: Path) -> None:
    """Three of four seats are left, which is what the old threshold needs; nobody honest is accused for it."""
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await on.patient("mercy", "northgate", rules=(permit("lakeside"),))
        await on.seal("mercy", wallet, "a")
        await on.seal("northgate", wallet, "b")
        assert await decide(on, *leaving(on)) is Standing.EXECUTED
        assert NORTHGATE not in on.network
        view = await on.view("lakeside", await on.clinician("lakeside"), wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert (view.accusations, view.gaps, view.answered) == ([], [], 3)
        await on.seal("mercy", wallet, "c")
        assert data_of("c") in shown(await on.view("lakeside", await on.clinician("lakeside"), wallet))
    async with stage(tmp_path, clock=clock) as on:
        assert [member.name for member in on.network.members] == ["mercy", "st-luke", "lakeside"]


async def test_a_seat_that_moved_without_its_shares_is_no_liar(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await decide(on, southport(on))
        assert await decide(on, *leaving(on, "southport"), by=ALL) is Standing.EXECUTED
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert shown(view) == [data_of("a")]
        assert (view.accusations, view.gaps) == ([], [])


async def test_seats_in_another_order_mix_no_shares_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        names = ("northgate", "lakeside", "st-luke", "mercy")
        assert await decide(on, governance.seating(home(on), on.network.committee.hex(), names)) is Standing.EXECUTED
        await on.seal("mercy", wallet, "b")
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert (view.accusations, view.gaps, view.answered) == ([], [], 4)


async def test_another_pack_is_in_force_and_applied_by_its_root(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        change = governance.packing(home(on), SHIPPED.replace(b'"version": 1,', b'"version": 2,'))
        assert isinstance(change, SetPack)
        assert change.root not in {pack_root(pack) for pack in shipped_packs()}
        assert await decide(on, change) is Standing.EXECUTED
        assert pack_root_of(on.network.ledger.state, "us") == change.root
        assert all(change.root in member.pack_roots for member in on.network.members)
        assert shown(await on.view("st-luke", await on.clinician("st-luke"), wallet)) == [data_of("a")]


def test_a_file_that_is_no_pack_stops_a_folder_from_opening(tmp_path: Path) -> None:
    (tmp_path / PACKS_FOLDER).mkdir()
    (tmp_path / PACKS_FOLDER / "x.json").write_bytes(b"{")
    with pytest.raises(NotANetworkError):
        packs_in(tmp_path)


async def test_receipts_verify_from_the_genesis_after_members_came_and_went(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await decide(on, southport(on))
        await decide(on, SetValidator(NORTHGATE, 0, False), by=ALL)
        _, tx_id = await governance.propose(home(on), "southport", (SetValidator(NORTHGATE, 1, True),))
        receipt = decode(Receipt, await on.network.receipt(tx_id))
        assert len(receipt.handovers) == 2
        assert check_receipt(receipt, on.network.genesis).sponsor == SOUTHPORT


@pytest.mark.parametrize("behind", ["st-luke", "lakeside"], ids=["the reader", "a keeper"])
async def test_who_is_behind_when_a_committee_moves_on_makes_nobody_a_liar(tmp_path: Path, behind: str) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        opened = await on.open("st-luke", await on.clinician("st-luke"), wallet)
        on.network.engine.hold(MemberId(behind))
        others = [name for name in HOSPITALS if name != behind]
        change = governance.seating(home(on), on.network.committee.hex(), HOSPITALS)
        assert await decide(on, change, by=others) is Standing.EXECUTED
        try:
            view = await opened.ask()
        except TooFewSeatsError:
            assert behind == "st-luke", "All keepers were ahead of the reader: it asks again when it has caught up."
        else:
            assert (shown(view), view.accusations) == ([data_of("a")], [])
        await on.network.engine.release(MemberId(behind))
        view = await opened.ask()
        assert (shown(view), view.accusations, view.answered) == ([data_of("a")], [], 4)


async def test_a_look_during_which_seats_change_places_shows_everything(tmp_path: Path) -> None:
    """Three of four seats say that they are another's by then: the reader looks at the ledger, and asks again."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        opened = await on.open("st-luke", await on.clinician("st-luke"), wallet)
        moved = governance.seating(home(on), on.network.committee.hex(), ("northgate", "lakeside", "mercy", "st-luke"))
        on.network.engine.hold(MemberId("st-luke"))  # Its reader sees the old seats.
        assert await decide(on, moved, by=("mercy", "lakeside", "northgate")) is Standing.EXECUTED
        looking = asyncio.create_task(opened.ask())
        await asyncio.sleep(0.3)
        await on.network.engine.release(MemberId("st-luke"))
        view = await looking
        assert (shown(view), view.accusations, view.gaps) == ([data_of("a")], [], [])


async def test_a_link_that_waits_for_its_code_opens_after_the_gateway_has_another_key(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        names = (MemberId("mercy"), MemberId("st-luke"))
        wallet = new_wallet(on.network.genesis.chain, on.network.committee, "us", names)
        policy = await consent.create(on["mercy"].gateway, wallet)
        await consent.send_link(on["mercy"].gateway, wallet, policy, MemberId("st-luke"), "the code")
        before = on["st-luke"].secrets.gateway.public
        await rotating.rotate(home(on), "st-luke", ["gateway"], at_once=False)
        assert on["st-luke"].secrets.gateway.public != before
        link = await on["st-luke"].desk.accept_link("the code", "4711")
        assert link.subject == wallet.subject
