"""A committee changes while the network runs: old records stay readable, shares move, and nobody honest is named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from salus.contracts.members.reads import dealt_at
from salus.core.ids import MemberId
from salus.machine.invariants import invariants
from tests.keeper.coming_back import again, put_back, taken
from tests.node.changing import assert_whole, dealt_again, in_force, joined, seated, share_roots
from tests.node.stage import HOSPITALS, Clock, permit, shown, stage

JOINERS = ("southport", "eastbay", "westend")


async def test_from_four_keepers_to_seven_old_records_are_read_before_during_and_after(tmp_path: Path) -> None:
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await on.patient("mercy", "lakeside", rules=(permit("st-luke"),))
        first = await on.seal("mercy", wallet, "a")
        await on.seal("lakeside", wallet, "b")
        reader = await on.clinician("st-luke")
        await joined(on, *JOINERS)
        assert_whole(await on.view("st-luke", reader, wallet), "a", "b")

        assert await seated(on, *HOSPITALS, *JOINERS) == 2
        assert dealt_at(on.network.ledger.state, on.network.committee, 1) == 2
        during = await on.view("st-luke", reader, wallet)
        assert_whole(during, "a", "b")
        assert during.absent == ()

        await on["mercy"].tend()  # Lakeside's batch lies at the first epoch still.
        assert in_force(on, "mercy", first.records[0].batch_id)[0] == 2
        assert dealt_at(on.network.ledger.state, on.network.committee, 1) == 1
        assert_whole(await on.view("st-luke", reader, wallet), "a", "b")

        await dealt_again(on)
        after = await on.view("st-luke", reader, wallet)
        assert_whole(after, "a", "b")
        assert (after.answered, after.absent, after.notices) == (7, (), [])
        await on.seal("mercy", wallet, "c")
        assert_whole(await on.view("st-luke", reader, wallet), "a", "b", "c")
        assert list(invariants(on.network.ledger.state)) == []
        for name in ("mercy", "lakeside"):
            on.network.switchboard.off_line.add(MemberId(name))  # As many as may be away, and the authors themselves.
        assert_whole(await on.view("st-luke", reader, wallet), "a", "b", "c")
        on.network.switchboard.off_line.clear()
    async with stage(tmp_path, clock=clock) as on:
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a", "b", "c")


async def test_a_revocation_in_between_holds_at_old_and_new_keepers(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"), permit("southport")))
        await on.seal("mercy", wallet, "a")
        await joined(on, *JOINERS)
        await seated(on, *HOSPITALS, *JOINERS)
        reader = await on.clinician("st-luke")
        other = await on.clinician("southport")
        wallet = await on.change(wallet, rules=(permit("southport"),))
        assert shown(await on.view("st-luke", reader, wallet)) == []
        assert_whole(await on.view("southport", other, wallet), "a")
        await dealt_again(on)
        assert shown(await on.view("st-luke", reader, wallet)) == []
        assert_whole(await on.view("southport", other, wallet), "a")


async def test_old_shares_are_destroyed_once_a_quorum_holds_new_ones_and_not_before(tmp_path: Path) -> None:
    """Mercy is in both committees, northgate in the old one alone, southport in the new one alone."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        sealed = await on.seal("mercy", wallet, "a")
        batch_id = sealed.records[0].batch_id
        _, old = in_force(on, "mercy", batch_id)
        await joined(on, "southport")
        await seated(on, "mercy", "st-luke", "lakeside", "southport")
        for name in ("st-luke", "lakeside"):  # With two of four away no quorum can sign.
            on.network.switchboard.off_line.add(MemberId(name))
        for _ in range(3):
            await on.network.tend()
        assert in_force(on, "mercy", batch_id) == (1, old)
        assert old in share_roots(on, "mercy") & share_roots(on, "northgate")
        on.network.switchboard.off_line.clear()

        await dealt_again(on)
        epoch, new = in_force(on, "mercy", batch_id)
        assert (epoch, new != old) == (2, True)
        assert [share_roots(on, name) for name in ("mercy", "northgate", "southport")] == [{new}, set(), {new}]


async def test_who_sat_there_serves_until_its_shares_are_dealt_again(tmp_path: Path) -> None:
    """All four seats move to others: without those who sat there nothing old could be read until it is dealt again."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        names = (*JOINERS, "norwood")
        await joined(on, *names)
        await seated(on, *names)
        reader = await on.clinician("st-luke")
        assert_whole(await on.view("st-luke", reader, wallet), "a")
        wallet = await on.change(wallet, rules=(permit("st-luke"), permit("lakeside")))  # Deposited with the new ones.
        assert_whole(await on.view("st-luke", reader, wallet), "a")
        await dealt_again(on)
        assert [share_roots(on, name) for name in HOSPITALS] == [set()] * 4
        view = await on.view("st-luke", reader, wallet)
        assert_whole(view, "a")
        assert (view.answered, view.absent) == (4, ())


async def test_the_departed_is_needed_until_its_shares_are_elsewhere(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await joined(on, *JOINERS)
        await seated(on, *HOSPITALS, *JOINERS)
        for name in ("northgate", "lakeside"):
            await seated(on, *[one for one in (*HOSPITALS, *JOINERS) if one != name])
        await dealt_again(on)
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a")


@pytest.mark.parametrize("names", [HOSPITALS[:3], ("mercy", "st-luke", "lakeside", "northgate", "southport")])
async def test_fewer_keepers_or_more(tmp_path: Path, names: Sequence[str]) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("lakeside"),))
        await on.seal("mercy", wallet, *"abc")
        await on.seal("st-luke", wallet, "d")
        await joined(on, "southport")
        await seated(on, *names)
        reader = await on.clinician("lakeside")
        assert_whole(await on.view("lakeside", reader, wallet), *"abcd")
        await dealt_again(on)
        view = await on.view("lakeside", reader, wallet)
        assert_whole(view, *"abcd")
        assert view.answered == len(names)


async def test_a_keeper_that_destroyed_old_shares_serves_at_once_after_a_restart(tmp_path: Path) -> None:
    """It once signed for what it does not have any more: that is no sign of a store that was put back."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await joined(on, "southport")
        await seated(on, "southport", "mercy", "st-luke", "lakeside")
        await dealt_again(on)
        clock = on.clock
    async with again(tmp_path, clock) as on:
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert_whole(view, "a")
        assert (view.answered, view.absent) == (4, ())
        assert on["northgate"].keeping.is_reconciled


async def test_a_backup_from_before_a_new_dealing_serves_no_old_share_and_destroys_them_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        backup = taken(tmp_path)
        await seated(on, "northgate", "mercy", "st-luke", "lakeside")
        await dealt_again(on)
        clock = on.clock
    put_back(tmp_path, backup, files=("keeper.db",))
    async with again(tmp_path, clock) as on:
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert_whole(view, "a")
        assert view.absent == ("northgate",)
        for _ in range(2):
            await on.network.tend()
        assert share_roots(on, "northgate") == {in_force(on, "mercy", batch_id)[1]}
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert_whole(view, "a")
        assert (view.answered, view.absent) == (4, ())


async def test_a_keeper_that_lost_its_store_is_dealt_what_it_signed_for_last(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await seated(on, "northgate", "mercy", "st-luke", "lakeside")
        await dealt_again(on)
        clock = on.clock
    put_back(tmp_path, None, files=("keeper.db",))
    async with again(tmp_path, clock) as on:
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (view.absent, view.accusations) == (("northgate",), [])
        for _ in range(2):
            await on.network.tend()
        assert share_roots(on, "northgate") == {in_force(on, "mercy", batch_id)[1]}
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert_whole(view, "a")
        assert view.absent == ()
