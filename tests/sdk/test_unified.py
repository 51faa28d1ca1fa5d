"""A whole record in one view: again from memory, dropped when something changes, and own records without a network."""

import asyncio
from pathlib import Path

import pytest

from salus.core.ids import HOUR_MS, MINUTE_MS, SECOND_MS
from salus.core.wire import decode
from salus.keeper.errors import BreakGlassError, PersonError
from salus.keeper.messages import LogEntry
from salus.sdk import consent
from salus.sdk.errors import NoSuchSubjectError, TooFewSeatsError
from salus.sdk.people import dismiss
from salus.sdk.reader import Reader, open_read
from tests.node.stage import BTG, Stage, data_of, deny, permit, shown, stage


def own_log(on: Stage, member: str, subject: bytes) -> list[LogEntry]:
    return [decode(LogEntry, data) for data in on[member].own_log.entries(subject)]


async def test_own_and_foreign_records_come_in_one_view_and_again_from_memory_with_a_trace(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "theirs")
        await on.seal("st-luke", wallet, "ours")
        reading = on["st-luke"].reading(await on.clinician("st-luke"), on.wanted(wallet))
        first = await reading.read()
        assert {(one.data, one.is_own) for one in first.view.records} == {
            (data_of("theirs"), False),
            (data_of("ours"), True),
        }
        assert not first.from_memory
        assert not first.is_stale
        entries = len(own_log(on, "st-luke", wallet.subject))
        asked = on["mercy"].keeper.log._number
        again = await reading.read()
        assert again.from_memory
        assert again.view is first.view
        log = own_log(on, "st-luke", wallet.subject)
        assert len(log) == entries + 1
        assert log[-1].kind == "again"
        assert sum(len(indices) // 2 for _, _, indices in log[-1].released) == 2
        assert on["mercy"].keeper.log._number == asked


async def test_a_policy_change_a_freeze_and_a_dismissal_end_what_is_in_memory(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        reading = on["st-luke"].reading(reader, on.wanted(wallet))
        assert len((await reading.read()).view.records) == 1
        changed = await on.change(wallet, rules=(permit("st-luke"), deny(terms=(("label:PSY",),))))
        await on.settled()
        assert reading._last is None  # The plaintext is gone before anybody asks.
        assert not (await reading.read()).from_memory
        await consent.freeze(on["mercy"].gateway, changed)
        await on.settled()
        assert reading._last is None
        assert not (await reading.read()).view.records
        await consent.thaw(on["mercy"].gateway, changed)
        await on.settled()
        assert len((await reading.read()).view.records) == 1
        assert reader.credential_id is not None
        await dismiss(on["st-luke"].gateway, reader.credential_id)
        await on.settled()
        assert reading._last is None
        with pytest.raises(Exception, match="person"):
            await reading.read()


async def test_memory_ends_with_the_request_and_with_a_stale_view(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reading = on["st-luke"].reading(await on.clinician("st-luke"), on.wanted(wallet))
        await reading.read()
        first = reading._open
        assert (await reading.read()).from_memory
        await on.wait(30 * SECOND_MS)
        assert (await reading.read()).from_memory
        on.clock.now += 2 * MINUTE_MS  # No block came meanwhile: the view is stale.
        assert reading._still_holds() is False
        await on.wait(8 * HOUR_MS)
        assert not (await reading.read()).from_memory
        assert reading._open is not first


async def test_keepers_say_that_something_new_is_there(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reading = on["st-luke"].reading(await on.clinician("st-luke"), on.wanted(wallet))
        await reading.read()
        await on.seal("mercy", wallet, "b")
        await asyncio.gather(*(task for name in ("mercy", "lakeside", "northgate") for task in on[name].keeping._tasks))
        assert not (await reading.read()).from_memory
        assert len((await reading.read()).view.records) == 2


async def test_an_author_reads_its_own_offline_marked_stale_under_the_last_policy_it_held(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "theirs")
        await on.seal("st-luke", wallet, "ours")
        reader = await on.clinician("st-luke")
        await on["st-luke"].tend()
        await on.network.take_down("st-luke")
        for name in ("mercy", "lakeside", "northgate"):
            on.network.switchboard.off_line.add(on[name].name)
        await on.network.engine.stop()
        on.clock.now += 2 * MINUTE_MS
        offline = await on["st-luke"].reading(reader, on.wanted(wallet)).read()
        assert offline.is_stale
        assert [(one.data, one.is_own, one.is_stale) for one in offline.view.records] == [(data_of("ours"), True, True)]
        assert own_log(on, "st-luke", wallet.subject)[-1].released


async def test_a_writer_that_missed_a_policy_gets_it_from_its_own_keeper_when_it_reads(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke")
        await on.seal("st-luke", wallet, "ours")
        reader = await on.clinician("st-luke")
        await on["st-luke"].tend()
        await on.network.take_down("st-luke")
        await on.change(wallet, rules=(deny("st-luke"),))
        await on.network.bring_back("st-luke")
        await on.settled()
        now = await on["st-luke"].reading(reader, on.wanted(wallet)).read()
        assert (now.view.records, now.is_stale) == ([], False)


async def test_an_authors_own_history_shows_what_was_superseded_only_where_the_current_version_is_permitted(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(deny(terms=(("label:PSY",),)),))
        open_first = await on.seal("mercy", wallet, "was open")
        await on.seal("mercy", wallet, "now closed", replaces=open_first.records[0], terms=("label:PSY", "date:2020"))
        plain = await on.seal("mercy", wallet, "old")
        await on.seal("mercy", wallet, "new", replaces=plain.records[0])
        withdrawn = await on.seal("mercy", wallet, "withdrawn")
        await on["mercy"].author.withdraw(withdrawn.records[0])
        await on.settled()
        reader, patient = await on.clinician("mercy"), Reader(wallet.device_key())
        seen = await on["mercy"].reading(reader, on.wanted(wallet, history=True)).read()
        assert shown(seen.view) == sorted([data_of("old"), data_of("new"), data_of("withdrawn")])
        everything = await on["mercy"].reading(patient, on.wanted(wallet, history=True)).read()
        assert len(everything.view.records) == 5


async def test_a_foreign_reader_without_a_network_sees_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        opened = on["st-luke"].reading(reader, on.wanted(wallet))
        on.network.switchboard.off_line |= {on[name].name for name in ("mercy", "lakeside", "northgate")}
        with pytest.raises(TooFewSeatsError):
            await opened.read()


async def test_own_reading_refuses_strangers_persons_and_unfounded_emergencies_in_this_order(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("st-luke", by="st-luke")
        await on.seal("st-luke", wallet, "a")
        reader, emergency = await on.clinician("st-luke"), await on.clinician("st-luke", "emergency")
        other = await on.patient("mercy")
        own = on["st-luke"].own
        for who, whose, purpose, reason, error in (
            (reader, other, "TREAT", "", NoSuchSubjectError),
            (Reader(reader.key, emergency.credential_id, reader.claims), wallet, "TREAT", "", PersonError),
            (reader, wallet, BTG, "unconscious", BreakGlassError),
            (emergency, wallet, BTG, " ", BreakGlassError),
        ):
            opened = await open_read(on["st-luke"].gateway, who, on.wanted(whose, purpose, reason))  # type: ignore[arg-type]
            from salus.contracts.reads.opening import to_sign

            signature = who.key.sign(to_sign(opened.opening))
            with pytest.raises(error):
                own.read(opened.opening, signature, who.claims)
        assert not own_log(on, "st-luke", wallet.subject)


async def test_an_own_record_whose_blob_is_lost_is_a_gap_until_the_vault_is_mended(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
        on["mercy"].blobs.drop(on["mercy"].name, sealed.records[0].batch_id)
        reader = await on.clinician("mercy")
        view = (await on["mercy"].reading(reader, on.wanted(wallet)).read()).view
        assert [gap.reason for gap in view.gaps] == ["blob_missing"]
        assert not view.records
