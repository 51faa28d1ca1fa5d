"""A successor that deals again what a departed author wrote: what waits, is repeated, is forgotten, and who lies."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from salus.contracts.members.messages import Committee
from salus.contracts.records.reads import dealer_of, dealings_of
from salus.core.ids import MINUTE_MS, MemberId
from salus.core.wire import encode, replace
from salus.keeper.messages import Deposited, DepositRefused, RepairDeposit
from salus.keeper.repairs import KIND
from salus.sdk import consent
from salus.sdk.author_store import Plan
from salus.sdk.dealing import Dealer
from salus.sdk.drafting import OwnEntry
from salus.sdk.enough import GRACE_S
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.patient_log import read_log
from salus.sdk.repairing import AGAIN_MS, StandIn
from salus.sdk.wallet import Wallet
from salus.vault.places import keepers_of
from tests.keeper.successors import AUTHOR, NOW, departed, learned, logged, made, sent
from tests.node.changing import assert_whole, in_force, joined, left, repaired, seated, share_roots
from tests.node.stage import Clock, Stage, permit, shown, stage


async def away(_sender: MemberId, _deposit: RepairDeposit) -> Deposited:
    """A keeper that cannot serve now."""
    raise TooFewSeatsError(answered=0, needed=1)


def lying(self: StandIn, plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> object:
    """Other keys than those that headers commit to, each to all seats alike."""
    return Dealer._dealt(self, plan, [replace(one, key=bytes(32)) for one in entries], committee)


async def test_where_nobody_has_left_nothing_is_done(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        await on.seal("lakeside", wallet, "a")
        await seated(on, "northgate", "mercy", "st-luke", "lakeside")
        height = on.network.ledger.height
        for member in on.network.members:
            assert (member.repairer.behind(), await member.repairer.work()) == ([], 0)
        assert on.network.ledger.height == height


async def test_a_batch_is_repaired_once_and_once_more_at_the_next_epoch(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        await on["southport"].keeping.tend()  # It fetches the policies of its new seat.
        repairer = on["st-luke"].repairer
        assert [await repairer.work() for _ in range(3)] == [1, 0, 0]
        assert [logged(on, gone.wallet, name) for name in ("mercy", "southport")] == [2, 1]
        await on.network.tend()
        await seated(on, "southport", "northgate", "mercy", "st-luke")
        assert [await repairer.work() for _ in range(2)] == [1, 0]
        dealings = dealings_of(on.network.ledger.state, AUTHOR, gone.batch_id)
        assert [one.epoch for one in dealings] == [1, 2, 3]
        await repaired(on)
        assert_whole(await on.view("northgate", await on.clinician("northgate"), gone.wallet), "a")


async def test_other_members_leave_it_to_the_successor(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await departed(on)
        on.network.switchboard.off_line.add(MemberId("st-luke"))
        for name in ("mercy", "northgate", "southport"):
            assert (on[name].repairer.behind(), await on[name].repairer.work()) == ([], 0)


async def test_a_seat_that_was_away_gets_its_shares_later_also_after_a_restart_and_then_all_keys_are_forgotten(
    tmp_path: Path,
) -> None:
    """Its vault keeps nothing of the batch, which is so for half of all seats."""
    clock = Clock()
    for folder in (tmp_path / str(number) for number in range(30)):
        async with stage(folder, clock=clock) as on:
            gone = await departed(on)
            (blob,) = on["northgate"].keeper.deposits.blobs_in(AUTHOR, gone.batch_id)
            if "southport" in keepers_of(blob, [MemberId(name) for name in NOW]):
                continue
            await on.network.take_down("southport")
            assert await on["st-luke"].repairer.work() == 1
            _, new = in_force(on, AUTHOR, gone.batch_id)
            assert on["st-luke"].store.repairs() == [(AUTHOR, gone.batch_id)]
            assert await on["st-luke"].repairer.work() == 0
            assert on["st-luke"].store.repairs() == [(AUTHOR, gone.batch_id)]
        break
    else:
        pytest.fail("Its vault was to keep it, thirty times.")
    async with stage(folder, clock=clock) as on:
        assert new not in share_roots(on, "southport")
        await on["southport"].keeping.tend()
        await on["st-luke"].repairer.work()
        assert new in share_roots(on, "southport")
        assert on["st-luke"].store.repairs() == []
        assert logged(on, gone.wallet, "mercy") == 2  # Nobody was asked once more.
        await repaired(on)
        assert_whole(await on.view("northgate", await on.clinician("northgate"), gone.wallet), "a")


async def test_too_few_keepers_of_now_leave_everything_as_it_was_and_nobody_is_asked_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        await on["southport"].keeping.tend()
        honest = {name: on[name].keeper.repairs.accept for name in ("southport", "mercy")}
        for name in honest:
            on[name].door.answer(RepairDeposit, away)
        assert [await on["st-luke"].repairer.work() for _ in range(2)] == [0, 0]
        assert in_force(on, AUTHOR, gone.batch_id)[0] == 1
        assert len(on["st-luke"].repairer.behind()) == 1
        for name, accept in honest.items():
            on[name].door.answer(RepairDeposit, accept)
        assert await on["st-luke"].repairer.work() == 1
        assert logged(on, gone.wallet, "mercy") == 2


async def test_too_few_keepers_of_before_are_asked_again_and_less_and_less_often(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        on.network.switchboard.off_line.add(MemberId("northgate"))
        repairer = on["st-luke"].repairer
        height = on.network.ledger.height
        assert [await repairer.work() for _ in range(3)] == [0, 0, 0]
        assert on.network.ledger.height == height + 1  # One request.
        on.network.switchboard.off_line.clear()
        for member in on.network.members:
            await member.keeping.tend()  # Else their logs were overdue by then.
        await on.wait(AGAIN_MS // 2, tending=False)
        assert await repairer.work() == 0
        await on.wait(AGAIN_MS, tending=False)
        assert await repairer.work() == 1
        assert in_force(on, AUTHOR, gone.batch_id)[0] == 2


async def test_batches_that_wait_keep_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them there are: a frozen record is asked for, and then the next batch has its turn."""
    monkeypatch.setattr("salus.sdk.repairing.AT_ONCE_MAX", 1)
    async with stage(tmp_path) as on:
        frozen = await on.patient("lakeside", by="lakeside")
        other = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
        for source in "abc":
            await on.seal("lakeside", frozen, source)
        for source in "de":
            await on.seal("lakeside", other, source)
        await joined(on, "southport")
        await left(on, "lakeside", "st-luke", seats=NOW)
        await on["southport"].keeping.tend()
        await consent.freeze(on["mercy"].gateway, frozen)
        await on.settled()
        repairer = on["st-luke"].repairer
        for name in ("mercy", "southport"):
            on[name].door.answer(RepairDeposit, away)
        assert sum([await repairer.work() for _ in range(8)]) == 0
        for name in ("mercy", "southport"):
            on[name].door.answer(RepairDeposit, on[name].keeper.repairs.accept)
        assert [await repairer.work() for _ in range(3)] == [1, 1, 0]
        assert len(repairer.behind()) == 3
        assert_whole(await on.view("northgate", await on.clinician("northgate"), other), "d", "e")


async def test_who_begins_again_deals_the_same(tmp_path: Path) -> None:
    """A crash before anything was kept: other keepers have what was dealt already, and it is one dealing."""
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        gone = await departed(on)
        for name in ("mercy", "southport"):
            on[name].door.answer(RepairDeposit, away)
        await on["st-luke"].repairer.work()
        dealt = share_roots(on, "northgate")
        on["st-luke"].store.drop_repair(AUTHOR, gone.batch_id)
    async with stage(tmp_path, clock=clock) as on:
        await on["southport"].keeping.tend()
        assert await on["st-luke"].repairer.work() == 1
        assert in_force(on, AUTHOR, gone.batch_id)[1] in dealt


async def test_a_successor_that_lied_is_named_and_not_the_author(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        await on["southport"].keeping.tend()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StandIn, "_dealt", lying)
            assert await on["st-luke"].repairer.work() == 1
        await on.network.tend()
        view = await on.view("northgate", await on.clinician("northgate"), gone.wallet)
        assert {(one.member, one.what) for one in view.accusations} == {("st-luke", "inconsistent_dealer")}
        assert (shown(view), [gap.reason for gap in view.gaps]) == ([], ["inconsistent_dealer"])


async def test_who_dealt_is_known_though_it_has_left_too(tmp_path: Path) -> None:
    """By the block, as the state tells of the last successor alone."""
    async with stage(tmp_path, members=5) as on:
        fifth = on.network.members[4].name
        wallet = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
        batch_id = (await on.seal("lakeside", wallet, "a")).records[0].batch_id
        await left(on, "lakeside", "st-luke", seats=("mercy", "st-luke", "northgate", fifth))

        await on[fifth].keeping.tend()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StandIn, "_dealt", lying)
            assert await on["st-luke"].repairer.work() == 1
        await left(on, "st-luke", "northgate", seats=("mercy", "northgate", fifth))
        state = on.network.ledger.state
        first, second = dealings_of(state, AUTHOR, batch_id)
        assert (dealer_of(state, AUTHOR, first), dealer_of(state, AUTHOR, second)) == (AUTHOR, None)
        view = await on.view("northgate", await on.clinician("northgate"), wallet)
        assert {(one.member, one.what) for one in view.accusations} == {("st-luke", "inconsistent_dealer")}


async def test_an_author_that_lied_before_it_left_is_named_and_its_batch_stays_where_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
        author = on["lakeside"].author
        honest = author._dealt

        def other_keys(plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> object:
            return honest(plan, [replace(one, key=bytes(32)) for one in entries], committee)

        author._dealt = other_keys  # type: ignore[assignment]
        batch_id = (await on.seal("lakeside", wallet, "a")).records[0].batch_id
        await joined(on, "southport")
        await left(on, "lakeside", "st-luke", seats=NOW)
        repairer = on["st-luke"].repairer
        assert await repairer.work() == 0
        assert [(one.member, one.what) for one in repairer.findings.accusations] == [
            ("lakeside", "inconsistent_dealer")
        ]
        assert in_force(on, AUTHOR, batch_id)[0] == 1
        assert on["st-luke"].store.repairs() == []


async def test_a_keeper_of_before_that_lies_is_named_and_holds_nothing_up(tmp_path: Path) -> None:
    async with stage(tmp_path, members=5) as on:
        fifth = on.network.members[4].name
        wallet = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
        batch_id = (await on.seal("lakeside", wallet, "a", "b")).records[0].batch_id
        await left(on, "lakeside", "st-luke", seats=("mercy", "st-luke", "northgate", fifth))
        liar = on["mercy"].keeper
        honest = liar.deposits.holdings_in

        def tampered(author: MemberId, batch: bytes, roots: tuple[bytes, bytes]) -> object:
            ((_, holding),) = honest(author, batch, roots) or ()
            entries = tuple(replace(one, share=bytes(32)) for one in holding.entries)
            changed = replace(holding, entries=entries)
            return [(encode(changed), changed)]

        liar.deposits.holdings_in = tampered  # type: ignore[method-assign, assignment]
        assert await on["st-luke"].repairer.work() == 1
        assert in_force(on, AUTHOR, batch_id)[0] == 2
        named = [(one.member, one.what) for one in on["st-luke"].repairer.findings.accusations]
        assert named == [("mercy", "wrong_header")]
        assert_whole(await on.view("northgate", await on.clinician("northgate"), wallet), "a", "b")


async def test_no_ciphertext_goes_through_the_successor(tmp_path: Path) -> None:
    """It holds what its own vault is to keep, as any other seat; the vaults of now have theirs before the word."""
    async with stage(tmp_path) as on:
        gone = await departed(on, *"abcdefghijklmnopqrstuvwx")
        before = on["northgate"].keeper.deposits.blobs_in(AUTHOR, gone.batch_id)
        assert len(before) == 24
        await on["st-luke"].repairer.work()
        for name in NOW:
            digests = [digest for digest in before if name in keepers_of(digest, [MemberId(one) for one in NOW])]
            assert None not in on[name].blobs.read(AUTHOR, gone.batch_id, digests)
        mine = on["st-luke"].blobs.read(AUTHOR, gone.batch_id, before)
        old = ["mercy", "st-luke", "lakeside", "northgate"]
        for digest, blob in zip(before, mine, strict=True):
            may = any("st-luke" in keepers_of(digest, [MemberId(one) for one in names]) for names in (old, NOW))
            assert (blob is not None) == may


async def test_the_patient_sees_the_repair_whoever_sits_there_by_now(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        await repaired(on)
        await joined(on, "eastbay", "westend")
        await seated(on, "southport", "mercy", "eastbay", "westend")
        await repaired(on)
        log = await read_log(
            on["mercy"].gateway, gone.wallet.subject, gone.wallet.committee, [], gone.wallet.device_key()
        )
        assert log.faults == []
        seen = {(entry.where, entry.member, entry.purpose) for entry in log.entries if entry.kind == KIND}
        assert seen == {(name, "st-luke", "REPAIR") for name in (*NOW, "eastbay", "westend")}
        assert {entry.released[0][:2] for entry in log.entries if entry.kind == KIND} == {(AUTHOR, gone.batch_id)}


async def test_the_patient_sees_uses_at_keepers_of_before_that_serve_still(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await joined(on, "southport")
        await seated(on, "mercy", "st-luke", "lakeside", "southport")
        await on["southport"].keeping.tend()
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        log = await read_log(on["mercy"].gateway, wallet.subject, wallet.committee, [], wallet.device_key())
        assert "northgate" in {entry.where for entry in log.entries}
        assert log.faults == []


ALL_NEW = ("southport", "eastbay", "westend", "norwood")


async def moved_whole(on: Stage, *sources: str) -> tuple[Wallet, bytes]:
    """Lakeside leaves, and nobody who sat in the committee sits there still."""
    wallet = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
    batch_id = (await on.seal("lakeside", wallet, *sources)).records[0].batch_id
    await joined(on, *ALL_NEW)
    await left(on, "lakeside", "st-luke", seats=ALL_NEW)
    for name in ALL_NEW:
        await on[name].keeping.tend()
    return wallet, batch_id


def packs_of(on: Stage, member: str, batch_id: bytes) -> int:
    return [batch for _, batch, _ in on[member].blobs.packs()].count(batch_id)


async def test_new_vaults_keep_what_they_fetched_until_the_word_is_given_however_late(tmp_path: Path) -> None:
    """Their packs are older than any receipt by then, and nobody else would keep them afterwards."""
    async with stage(tmp_path) as on:
        wallet, batch_id = await moved_whole(on, "a", "b")
        repair = await learned(on, batch_id)
        for seat in range(1, 5):
            assert isinstance(await sent(on, repair, made(on, repair, seat=seat)), Deposited)
        fetched = [name for name in ALL_NEW if packs_of(on, name, batch_id)]
        assert len(fetched) > 1
        for _ in range(3):
            on.clock.now += 61 * MINUTE_MS
            await on.wait(0, tending=False)
            for member in on.network.members:
                await member.keeping.tend()
        assert [name for name in ALL_NEW if packs_of(on, name, batch_id)] == fetched
        await repaired(on)
        assert_whole(await on.view("northgate", await on.clinician("northgate"), wallet), "a", "b")


async def test_no_word_is_given_while_a_blob_may_lie_with_a_liar_alone(tmp_path: Path) -> None:
    """Old vaults drop theirs afterwards, and a blob has two places: one signs without it, the other is late."""
    async with stage(tmp_path) as on:
        wallet, batch_id = await moved_whole(on, *"abcdefghijkl")

        async def lie(*_: object) -> bool:
            return True

        on["eastbay"].keeper.repairs.fetch_blobs = lie
        on.network.switchboard.off_line.add(MemberId("southport"))
        assert await on["st-luke"].repairer.work() == 0
        assert in_force(on, "lakeside", batch_id)[0] == 1
        on.network.switchboard.off_line.clear()
        assert await on["st-luke"].repairer.work() == 1
        await on.network.tend()
        assert on["st-luke"].store.repairs() == []
        assert_whole(await on.view("northgate", await on.clinician("northgate"), wallet), *"abcdefghijkl")


async def test_a_seat_whose_vault_is_to_keep_some_of_a_batch_is_waited_for_however_slow(tmp_path: Path) -> None:
    """A quorum is there sooner each time, and the word would never be given."""
    async with stage(tmp_path) as on:
        gone = await departed(on, *"abcdefghijkl")  # Everybody is to keep some of it.
        await on["southport"].keeping.tend()
        honest = on["southport"].keeper.repairs.accept

        async def slow(sender: MemberId, deposit: RepairDeposit) -> Deposited | DepositRefused:
            await asyncio.sleep(3 * GRACE_S)
            return await honest(sender, deposit)

        on["southport"].door.answer(RepairDeposit, slow)
        assert await on["st-luke"].repairer.work() == 1
        assert in_force(on, AUTHOR, gone.batch_id)[0] == 2
