"""A keeper whose store is older than the ledger: it serves nothing until it has caught up, and nothing that is over."""

from pathlib import Path
from shutil import rmtree

import pytest
import sqlalchemy as sa

from salus.contracts.cells.reads import cell_of
from salus.contracts.reads.messages import LogKind
from salus.contracts.reads.reads import log_root_of
from salus.core.errors import UnavailableError
from salus.core.ids import MINUTE_MS, MemberId
from salus.core.wire import decode, replace
from salus.keeper.errors import RestoredError
from salus.keeper.messages import LogEntry
from salus.keeper.reconciling import KNOWN_TO_BE_BACK_MS, PATIENCE_MS, BatchesLost
from salus.keeper.store import HOLDINGS
from salus.sdk import consent
from salus.sdk.author_store import Stage as PlanStage
from salus.sdk.patient_log import LogFault
from tests.keeper.coming_back import LOST, again, count, log_of, named, numbers, put_back, taken
from tests.node.changing import seated
from tests.node.stage import BTG, Stage, data_of, deny, documents, permit, shown, stage


async def test_before_it_has_caught_up_it_answers_nobody_not_even_in_an_emergency(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        backup = taken(tmp_path)
        await on.network.tend()
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        before = numbers(on)
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (shown(view), view.absent, named(view)) == ([data_of("a")], (LOST,), set())
        emergency = await on.clinician("lakeside", "emergency")
        view = await on.view("lakeside", emergency, wallet, BTG, "unconscious")
        assert (shown(view), view.absent) == ([data_of("a")], (LOST,))
        assert LogFault(LOST, "absent") in (await log_of(on, wallet)).faults
        assert numbers(on) == before
        with pytest.raises(RestoredError):
            on[LOST].keeper.log.told(wallet.subject, 0)


async def test_after_it_has_caught_up_it_gives_what_the_others_give(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        backup = taken(tmp_path)
        await on.seal("mercy", wallet, "b")
        other = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        await on.seal("lakeside", other, "c")
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        assert not await on[LOST].reconcile()  # The authors have it in their outboxes now.
        assert count(on, HOLDINGS) == 1
        for name in ("mercy", "lakeside"):
            await on[name].tend()
        assert await on[LOST].reconcile()
        assert count(on, HOLDINGS) == 3
        reader = await on.clinician("st-luke")
        for subject, sources in ((wallet, "ab"), (other, "c")):
            view = await on.view("st-luke", reader, subject)
            assert shown(view) == sorted(data_of(source) for source in sources)
            assert (view.absent, view.gaps, named(view)) == ((), [], set())


async def test_a_backup_from_before_a_revocation_serves_nothing_under_the_old_policy(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        backup = taken(tmp_path)
        await on.change(wallet, rules=(deny("st-luke"),))
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        reader = await on.clinician("st-luke")
        assert shown(await on.view("st-luke", reader, wallet)) == []
        await on[LOST].reconcile()
        cell = cell_of(on.network.ledger.state, wallet.cell)
        assert cell is not None
        assert on[LOST].keeper.policies.holds(wallet.cell, cell.commitment), "Before anybody asks."
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), view.absent) == ([], ())
        entries = [decode(LogEntry, data) for data in on[LOST].keeper.log.entries(wallet.subject)]
        assert [entry.released for entry in entries] == [(), ()]
        assert [entry.kind for entry in entries] == ["restored", "clinician"]


async def test_subjects_of_closed_cells_are_dropped_and_their_shares_do_not_come_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        stays = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        backup = taken(tmp_path)
        await on["mercy"].author.seal([*documents(wallet, "b"), *documents(stays, "c")])
        await consent.close(on["mercy"].gateway, wallet)
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        store = on[LOST].keeping._store
        tag, old_key = store.tag(wallet.subject), store.subject_key(store.tag(wallet.subject))
        assert count(on, HOLDINGS) == 1
        await on[LOST].reconcile()
        await on["mercy"].tend()
        assert await on[LOST].reconcile()
        assert store.subject_key(tag) != old_key
        tags = {bytes(row) for row in store.connection.execute(sa.select(HOLDINGS.c.tag)).scalars()}
        assert tags == {store.tag(stays.subject)}
        assert len(on[LOST].keeper.log.entries(wallet.subject)) == 1  # Who used what is still known.
        assert on[LOST].keeper.log.broken_chains() == []
        view = await on.view("st-luke", await on.clinician("st-luke"), stays)
        assert (shown(view), named(view)) == ([data_of("c")], set())


async def test_a_log_goes_on_above_all_numbers_that_were_used_and_the_patient_sees_the_gap(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        await on.view("st-luke", reader, wallet)
        await on.network.tend()
        backup = taken(tmp_path)
        for _ in range(3):
            await on.view("st-luke", reader, wallet)
        await on.network.tend()
        used = numbers(on)
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        kept = numbers(on)
        assert kept == used[: len(kept)] != used
        assert await on[LOST].reconcile()
        before = await log_of(on, wallet)  # Asked before anybody has used it again.
        assert [fault for fault in before.faults if fault.where == LOST] == [LogFault(LOST, "restored")]
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        fresh = [number for number in numbers(on) if number not in kept]
        assert len(fresh) == 2
        assert min(fresh) > max(used)
        await on.network.tend()
        log = await log_of(on, wallet)
        assert log.faults == [LogFault(LOST, "restored")]
        assert log.anchored == len(log.entries)
        assert on[LOST].keeper.log.broken_chains() == []


async def test_put_back_twice_from_one_backup_a_log_uses_no_number_twice(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        backup = taken(tmp_path)
        clock = on.clock
    seen: set[int] = set()
    for _ in range(3):
        put_back(tmp_path, backup)
        async with again(tmp_path, clock) as on:
            assert await on[LOST].reconcile()
            await on.view("st-luke", await on.clinician("st-luke"), wallet)
            assert seen.isdisjoint(numbers(on))
            seen.update(numbers(on))


async def test_a_database_put_back_by_hand_is_found_out_by_the_root_on_the_ledger(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        backup = taken(tmp_path, is_marked=False)  # By hand.
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        await on.network.tend()
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert view.absent == (LOST,)
        assert await on[LOST].reconcile()
        assert (await on.view("st-luke", await on.clinician("st-luke"), wallet)).absent == ()


async def test_an_empty_store_whose_seat_signed_batches_counts_as_lost(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        clock = on.clock
    put_back(tmp_path, None, files=("keeper.db",))
    async with again(tmp_path, clock) as on:
        reader = await on.clinician("st-luke")
        view = await on.view("st-luke", reader, wallet)
        assert (view.absent, named(view)) == ((LOST,), set())  # Silence, not an accusation.
        assert not await on[LOST].reconcile()
        await on["mercy"].tend()
        assert await on[LOST].reconcile()
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), view.absent, named(view)) == ([data_of("a")], (), set())


async def test_an_empty_store_serves_at_once_where_it_never_held_anything(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        assert all(member.keeper.reconciling.is_done() for member in on.network.members)
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        assert (await on.view("st-luke", await on.clinician("st-luke"), wallet)).absent == ()
        assert log_root_of(on[LOST].replica.state, LOST, LogKind.KEEPER) is None


async def test_an_author_that_stays_away_is_waited_for_an_hour(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        backup = taken(tmp_path)
        await on.seal("mercy", wallet, "a")
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        on.network.switchboard.off_line.add(MemberId("mercy"))
        assert not await on[LOST].reconcile()
        clock.now += PATIENCE_MS - MINUTE_MS
        await on.clinician("st-luke")
        assert not await on[LOST].reconcile()
        clock.now += 2 * MINUTE_MS
        await on.clinician("st-luke")
        await on.settled()
        assert await on[LOST].reconcile()


async def test_put_back_from_a_backup_taken_while_it_waited_it_waits_a_whole_hour_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        backup = taken(tmp_path)
        await on.seal("mercy", wallet, "a")
        clock = on.clock
    put_back(tmp_path, backup)
    rmtree(backup)
    async with again(tmp_path, clock) as on:
        on.network.switchboard.off_line.add(MemberId("mercy"))
        assert not await on[LOST].reconcile()
        backup = taken(tmp_path)
    clock.now += PATIENCE_MS + MINUTE_MS
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        on.network.switchboard.off_line.add(MemberId("mercy"))
        assert not await on[LOST].reconcile()


async def test_a_batch_that_its_author_has_lost_too_is_not_waited_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        backup, of_author = taken(tmp_path), taken(tmp_path, "mercy")
        await on.seal("mercy", wallet, "a")
        clock = on.clock
    put_back(tmp_path, backup)
    put_back(tmp_path, of_author, "mercy", ("gateway.db",))
    async with again(tmp_path, clock) as on:
        assert await on[LOST].reconcile()
        base = max(numbers(on), default=0)
    async with again(tmp_path, clock) as on:
        assert on[LOST].keeper.reconciling.is_done(), "It knows what it lacks, and does not begin anew at each start."
        assert max(numbers(on), default=0) == base


async def test_only_a_seat_of_the_committee_has_batches_dealt_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
        batch_id = next(iter(sealed.records.values())).batch_id
        lost = BatchesLost(batches=(batch_id, bytes(16)))
        author = on["mercy"].author
        assert (await author.deal_again(MemberId("stranger"), lost)).unknown == lost.batches
        assert await author.work_outbox() == 0
        plan = author._store.plan_of(batch_id)
        assert plan is not None
        author._store.set_stage(
            replace(plan, epoch=plan.epoch + 1), PlanStage.DURABLE
        )  # As if it were of another epoch.
        assert (await author.deal_again(LOST, lost)).unknown == lost.batches
        author._store.set_stage(plan, PlanStage.DURABLE)
        assert (await author.deal_again(LOST, lost)).unknown == (bytes(16),)
        assert await author.work_outbox() == 1


async def test_with_an_old_view_it_neither_serves_nor_decides_that_it_has_caught_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.patient("mercy")
        backup = taken(tmp_path)
        clock = on.clock
    put_back(tmp_path, backup)
    async with again(tmp_path, clock) as on:
        clock.now += 2 * MINUTE_MS
        assert not await on[LOST].reconcile()
        assert not on[LOST].keeper.reconciling.is_done()
        await on.clinician("mercy")
        await on.settled()
        assert await on[LOST].reconcile()


async def test_a_gateway_put_back_uses_own_records_only_once_its_log_goes_on_above(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("mercy")
        await on["mercy"].reading(reader, on.wanted(wallet)).read()
        await on.network.tend()
        backup = taken(tmp_path, "mercy")
        await on["mercy"].reading(reader, on.wanted(wallet)).read()
        await on.network.tend()
        clock = on.clock
    put_back(tmp_path, backup, "mercy", ("gateway.db",))
    async with again(tmp_path, clock) as on:
        reader = await on.clinician("mercy")
        with pytest.raises(UnavailableError):
            await on["mercy"].reading(reader, on.wanted(wallet)).read()
        assert await on["mercy"].reconcile()
        view = await on["mercy"].reading(reader, on.wanted(wallet)).read()
        assert shown(view.view) == [data_of("a")]
        await on.network.tend()
        assert (await log_of(on, wallet)).faults == [LogFault(MemberId("mercy"), "restored")]


async def test_what_an_author_wrote_after_the_backup_of_its_gateway_is_read_through_the_keepers(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        backup = taken(tmp_path, "mercy")
        await on.seal("mercy", wallet, "b")
        clock = on.clock
    put_back(tmp_path, backup, "mercy", ("gateway.db",))
    async with again(tmp_path, clock) as on:
        assert await on["mercy"].reconcile()
        reading = on["mercy"].reading(await on.clinician("mercy"), on.wanted(wallet))
        view = (await reading.read()).view
        assert sorted(one.data for one in view.records) == [data_of("a"), data_of("b")]
        assert [one.is_own for one in view.records] == [True, False]
        assert (view.gaps, view.accusations) == ([], [])


async def test_keepers_whose_shares_were_dealt_again_to_a_new_epoch_have_lost_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await seated(on, "northgate", "mercy", "st-luke", "lakeside")  # Nobody keeps the seat it had.
        assert await on["mercy"].redealer.work() == 1
        for _ in range(2):
            await on.network.tend()  # The old shares go.
        clock = on.clock
    async with again(tmp_path, clock) as on:
        assert [member.name for member in on.network.members if not member.keeper.reconciling.is_done()] == []
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (shown(view), view.absent, named(view)) == ([data_of("a")], (), set())


# A keeper that was only away.


async def missed(on: Stage, author: str = "mercy") -> None:
    """A record becomes final while one keeper is gone."""
    wallet = await on.patient(author, rules=(permit("st-luke"),), by=author)
    await on.network.take_down(LOST)
    sealed = await on.seal(author, wallet, "a")
    assert not sealed.is_durable


async def test_a_keeper_that_was_away_serves_and_says_until_when_something_is_to_come(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await missed(on)
        clock = on.clock
    async with again(tmp_path, clock) as on:
        assert on[LOST].keeping.is_reconciled
        assert not on[LOST].keeping.has_missed_nothing
        await on["mercy"].tend()
        assert on[LOST].keeping.has_missed_nothing


async def test_what_its_ledger_catches_up_with_after_its_start_counts_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await missed(on)
        await on.network.bring_back(LOST)
        await on.settled()
        assert not on[LOST].keeping.has_missed_nothing
        await on["mercy"].tend()
        assert on[LOST].keeping.has_missed_nothing
        on.clock.now += KNOWN_TO_BE_BACK_MS
        await on.clinician("mercy")  # A block of now: what comes late from now on was not missed.
        await on.network.take_down(LOST)
        await on.seal("mercy", await on.patient("mercy"), "b")
        await on.network.bring_back(LOST)
        await on.settled()
        assert on[LOST].keeping.has_missed_nothing


async def test_what_its_author_cannot_deal_is_not_waited_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await missed(on)
        clock = on.clock
    put_back(tmp_path, None, "mercy", ("gateway.db",))
    async with again(tmp_path, clock) as on:
        assert not on[LOST].keeping.has_missed_nothing
        await on[LOST].reconcile()
        assert on[LOST].keeping.has_missed_nothing


async def test_an_author_that_is_away_is_waited_for_an_hour(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await missed(on, "lakeside")
        clock = on.clock
    async with again(tmp_path, clock) as on:
        await on.network.take_down("lakeside")
        await on[LOST].reconcile()
        assert not on[LOST].keeping.has_missed_nothing
        on.clock.now += PATIENCE_MS + MINUTE_MS
        await on.clinician("mercy")
        await on.settled()
        assert on[LOST].keeping.has_missed_nothing
