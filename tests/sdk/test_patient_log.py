"""The patient's log: the union of all, checked against the ledger, and told to the patient's devices alone."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.contracts.members.messages import NewCommittee, SetSeats
from salus.contracts.members.tables import Standing
from salus.core.errors import UnavailableError
from salus.core.ids import HOUR_MS, MINUTE_MS, Digest, Height, MemberId
from salus.core.wire import Message, encode
from salus.core.wire import replace as changed
from salus.crypto.hpke import OpeningKey, seal
from salus.keeper.errors import PersonError
from salus.keeper.keeper import ASK_AGE_MS_MAX
from salus.keeper.messages import LogAsk, LogAsking, Signed, info, log_statement
from salus.keeper.store import LOG
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.patient_log import LogFault, PatientLog, read_log
from salus.sdk.wallet import Wallet
from tests.node.changing import dealt_again, enough, seated
from tests.node.stage import BTG, Stage, permit, stage
from tests.node.test_governed_network import decide

pytestmark = pytest.mark.usefixtures("kept_on")


async def log_of(on: Stage, wallet: Wallet, by: str = "mercy") -> PatientLog:
    writers = [writer.member for writer in wallet.writers]
    return await read_log(on[by].gateway, wallet.subject, wallet.committee, writers, wallet.device_key())


async def read_by_st_luke(on: Stage) -> Wallet:
    wallet = await on.patient("mercy", rules=(permit("st-luke"),))
    await on.seal("mercy", wallet, "a")
    await on.view("st-luke", await on.clinician("st-luke"), wallet)
    await on["mercy"].reading(await on.clinician("mercy"), on.wanted(wallet)).read()
    return wallet


async def test_reads_refusals_and_authors_own_uses_are_all_in_the_union(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await read_by_st_luke(on)
        await on.view("lakeside", await on.clinician("lakeside"), wallet)  # Nothing is shown, and that is logged.
        await on.view("lakeside", await on.clinician("lakeside", "emergency"), wallet, BTG, "unconscious")
        before = await log_of(on, wallet)
        assert (before.anchored, before.faults) == (0, [])
        await on.network.tend()
        log = await log_of(on, wallet)
        assert (log.faults, log.anchored) == ([], len(log.entries))
        assert {entry.where for entry in log.entries} == {member.name for member in on.network.members}
        assert [entry.time for entry in log.entries] == sorted(entry.time for entry in log.entries)
        refused = [entry for entry in log.entries if entry.member == "lakeside" and entry.purpose == "TREAT"]
        assert refused
        assert all(entry.withheld and not entry.released for entry in refused)
        emergencies = [entry for entry in log.entries if entry.purpose == BTG]
        assert {entry.reason for entry in emergencies} == {"unconscious"}


async def test_only_a_device_of_the_patient_sees_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, other = await read_by_st_luke(on), await on.patient("mercy")
        for stranger in (changed(wallet, seed=other.seed), changed(wallet, cell=other.cell)):
            with pytest.raises(TooFewSeatsError):
                await log_of(on, stranger)


async def test_an_asking_that_is_too_old_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await read_by_st_luke(on)
        late = replace(on["mercy"].gateway, clock=lambda: on.clock.now - ASK_AGE_MS_MAX - MINUTE_MS)
        writers = [writer.member for writer in wallet.writers]
        with pytest.raises(TooFewSeatsError):
            await read_log(late, wallet.subject, wallet.committee, writers, wallet.device_key())


@pytest.mark.parametrize("cut", ["newest", "middle"])
async def test_a_keeper_that_drops_entries_under_an_anchored_root_is_named(tmp_path: Path, cut: str) -> None:
    async with stage(tmp_path) as on:
        wallet = await read_by_st_luke(on)
        reader = await on.clinician("st-luke")
        for _ in range(2):
            await on.view("st-luke", reader, wallet)
        await on.network.tend()
        store = on["lakeside"].keeping._store
        numbers = [row.number for row in store.connection.execute(sa.select(LOG.c.number).order_by(LOG.c.number))]
        gone = numbers[-1] if cut == "newest" else numbers[1]
        with store.commit("test"):
            store.connection.execute(LOG.delete().where(LOG.c.number == gone))
        faults = (await log_of(on, wallet)).faults
        assert {fault.where for fault in faults} == {"lakeside"}


async def test_logs_that_are_away_are_said_to_be(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await read_by_st_luke(on)
        await on.network.tend()
        on.network.switchboard.off_line.add(on["northgate"].name)
        log = await log_of(on, wallet)
        assert log.faults == [LogFault(on["northgate"].name, "absent")]
        assert log.entries


async def test_entries_stay_provable_after_new_ones_and_a_restart(tmp_path: Path) -> None:
    from tests.node.stage import Clock

    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await read_by_st_luke(on)
        await on.network.tend()
        first = await log_of(on, wallet)
        await on.wait(HOUR_MS)
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
    async with stage(tmp_path, clock=clock) as on:
        log = await log_of(on, wallet)
        assert (log.faults, log.anchored) == ([], first.anchored)
        assert len(log.entries) == len(first.entries) + 4
        await on.network.tend()
        assert (await log_of(on, wallet)).anchored == len(log.entries)


async def test_a_keeper_whose_next_root_is_not_on_the_ledger_yet_is_not_accused(tmp_path: Path) -> None:
    async def away(*_messages: Message) -> tuple[Digest, Height]:
        raise UnavailableError(reason="no block")

    async with stage(tmp_path) as on:
        wallet = await read_by_st_luke(on)
        await on.network.tend()
        first = await log_of(on, wallet)
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        with pytest.raises(UnavailableError):
            await on["lakeside"].keeper.anchor_log(away)
        log = await log_of(on, wallet)
        assert (log.faults, log.anchored) == ([], first.anchored)
        assert len(log.entries) == len(first.entries) + 4
        await on.network.tend()
        after = await log_of(on, wallet)
        assert (after.faults, after.anchored) == ([], len(log.entries))


async def test_a_log_read_while_roots_become_final_accuses_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await read_by_st_luke(on)
        reader = await on.clinician("st-luke")
        for _ in range(5):
            await on.view("st-luke", reader, wallet)
            tending = asyncio.create_task(on.network.tend())
            logs = []
            while not tending.done():
                logs.append(await log_of(on, wallet))
            await tending
            assert [log.faults for log in logs] == [[]] * len(logs)


async def moved_on(on: Stage) -> Wallet:
    """Read by St. Luke's under four keepers; then Mercy has no seat, and everything is dealt to those who have."""
    wallet = await read_by_st_luke(on)
    await on.network.tend()
    await seated(on, "st-luke", "lakeside", "northgate")
    await dealt_again(on)
    return wallet


def kept_by(log: PatientLog, member: str) -> list[int]:
    return [entry.number for entry in log.entries if (entry.where, entry.member) == (member, "st-luke")]


async def test_a_keeper_that_left_still_tells_what_it_released(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await moved_on(on)
        log = await log_of(on, wallet, by="st-luke")
        assert kept_by(log, "mercy")
        assert log.faults == []
        wallet = await on.change(wallet, rules=())
        await on.network.tend()
        after = await log_of(on, wallet, by="st-luke")
        assert kept_by(after, "mercy") == kept_by(log, "mercy")
        assert after.faults == []


async def test_a_keeper_that_left_tells_no_stranger_and_is_missed(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await moved_on(on)
        other = await on.patient("st-luke")
        await on.network.tend()
        with pytest.raises(TooFewSeatsError):
            await log_of(on, changed(wallet, seed=other.seed), by="st-luke")
        on.network.switchboard.off_line.add(MemberId("mercy"))
        assert (await log_of(on, wallet, by="st-luke")).silent == [MemberId("mercy")]


async def test_a_keeper_that_left_before_a_patient_came_is_not_accused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await moved_on(on)
        late = await on.patient("st-luke", rules=(permit("lakeside"),))
        await on.seal("st-luke", late, "b")
        await on.view("lakeside", await on.clinician("lakeside"), late)
        await on.network.tend()
        log = await log_of(on, late, by="st-luke")
        assert log.entries
        assert (log.faults, log.silent) == ([], [MemberId("mercy")])


async def test_a_keeper_that_left_and_knows_no_new_device_is_named_as_silent(tmp_path: Path) -> None:
    """After a claim, say: what it logged before is not shown, and that is said."""
    async with stage(tmp_path) as on:
        wallet = await on.change(await moved_on(on), seed=os.urandom(32))
        await on.network.tend()
        log = await log_of(on, wallet, by="st-luke")
        assert (kept_by(log, "mercy"), log.silent) == ([], [MemberId("mercy")])


async def test_a_removed_device_gains_nothing_by_naming_a_committee_that_a_keeper_left(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        other = b"x" * 16
        for change in (
            NewCommittee(committee=other, seats=(MemberId("northgate"), MemberId("st-luke"))),
            SetSeats(committee=other, epoch=1, seats=(MemberId("st-luke"),)),
        ):
            assert await decide(on, change, by=enough(on)) is Standing.EXECUTED
        removed = wallet.device_key()
        await on.change(wallet, seed=os.urandom(32))
        await on.settled()
        gateway, reply = on["mercy"].gateway, OpeningKey(os.urandom(32))
        body = encode(
            LogAsking(
                chain=gateway.chain,
                subject=wallet.subject,
                key=removed.public,
                time=gateway.clock(),
                reply_key=reply.public,
                after=0,
            )
        )
        signed = encode(Signed(body=body, signature=removed.sign(log_statement(body))))
        sealed = seal(on["northgate"].secrets.public.sealing, signed, info(gateway.chain, "log"))
        for committee in (other, on.network.committee):
            with pytest.raises(PersonError):
                await on["northgate"].keeper.tell_log(MemberId("mercy"), LogAsk(committee, 1, sealed))
