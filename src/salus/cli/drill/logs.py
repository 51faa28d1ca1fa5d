"""Keepers that change the trace they left: the patient, who asks all logs, names them by what stands on the ledger."""

from collections.abc import Callable

import sqlalchemy as sa

from salus.cli.drill.attack import Outcome, attack, must
from salus.cli.drill.liars import lying_log
from salus.cli.drill.pooling import stores_of
from salus.cli.drill.world import World, permit
from salus.core.ids import MemberId
from salus.core.wire import encode, reopen, replace
from salus.keeper.messages import LogEntry, LogTold, log_entry_digest
from salus.keeper.store import LOG
from salus.sdk.patient_log import PatientLog, read_log

LIAR = MemberId("lakeside")
READER = "clinician@st-luke"


@attack("keeper that leaves its newest log entry out", guard="salus.sdk.patient_log._anchored")
async def newest_entry_left_out(world: World) -> Outcome:
    """A keeper tells the patient everything but the last use."""
    return await _told_otherwise(world, lambda told: replace(told, entries=told.entries[:-1]))


@attack("keeper that rewrites its newest log entry", guard="salus.sdk.patient_log._anchored")
async def newest_entry_rewritten(world: World) -> Outcome:
    """A keeper tells the patient that somebody else read last."""
    return await _told_otherwise(
        world, lambda told: replace(told, entries=(*told.entries[:-1], _by_another(told.entries[-1])))
    )


@attack("keeper that rewrites an older log entry", guard="salus.sdk.patient_log._checked")
async def older_entry_rewritten(world: World) -> Outcome:
    """A keeper changes an entry that others follow."""
    return await _told_otherwise(
        world, lambda told: replace(told, entries=(_by_another(told.entries[0]), *told.entries[1:]))
    )


@attack("keeper that denies any use", guard="salus.sdk.patient_log.verify")
async def every_use_denied(world: World) -> Outcome:
    """A keeper tells the patient that its log knows nothing of them."""
    return await _told_otherwise(world, lambda told: replace(told, entries=(), anchored=b""))


@attack("keeper that drops log entries from its store", guard="salus.sdk.patient_log.verify", harmful=True)
async def entries_dropped(world: World) -> Outcome:
    """A keeper's operator deletes the newest entries after their root was anchored."""
    await _used_twice(world)
    store, _ = stores_of(world.network[LIAR])
    newest = store.connection.execute(sa.select(sa.func.max(LOG.c.number))).scalar()
    with store.commit("drill") as connection:
        connection.execute(LOG.delete().where(LOG.c.number == newest))
    return _judged(await _log_of(world))


@attack("log entry rewritten in the store", guard="salus.keeper.messages.log_entry_digest", harmful=True)
async def entry_rewritten_in_store(world: World) -> Outcome:
    """A keeper's operator, with the keeper's key, puts another entry in the place of an older one."""
    await _used_twice(world)
    keeper = world.network[LIAR].keeper
    must(not keeper.log.broken_chains(), "the log is whole before")
    store, _ = stores_of(world.network[LIAR])
    tag = store.tag(world.a.wallet.subject)
    oldest = sa.select(LOG).where(LOG.c.tag == tag).order_by(LOG.c.subject_number).limit(1)
    row = store.connection.execute(oldest).one()
    context = b"log" + row.number.to_bytes(8, "big")
    data = _by_another(store.unwrapped(tag, row.wrapped, context))
    with store.commit("drill") as connection:
        changed = {"wrapped": store.wrapped(tag, data, context), "head": log_entry_digest(data)}
        connection.execute(LOG.update().where(LOG.c.number == row.number).values(**changed))
    broken = keeper.log.broken_chains()
    if not broken:
        return Outcome("SUCCEEDED", "the log passes for whole")
    return Outcome("detected", f"broken_chains names {len(broken)} entries")


async def _told_otherwise(world: World, tell: Callable[[LogTold], LogTold]) -> Outcome:
    await _used_twice(world)
    with lying_log(world.network[LIAR], tell):
        log = await _log_of(world)
    return _judged(log)


async def _used_twice(world: World) -> None:
    """Two reads, and every log's root on the ledger."""
    await world.allow(world.a, permit("st-luke"))
    for _ in range(2):
        await world.read(READER, world.a)
    await world.network.tend()
    log = await _log_of(world)
    must(not log.faults, "every log is whole before")
    must(len(log.entries) > 0, "there is a trace")
    must(not world.network[LIAR].keeper.log.has_news, "a root on the ledger covers it")


async def _log_of(world: World) -> PatientLog:
    wallet = world.a.wallet
    writers = [writer.member for writer in wallet.writers]
    gateway = world.network["st-luke"].gateway
    return await read_log(gateway, wallet.subject, wallet.committee, writers, wallet.device_key())


def _judged(log: PatientLog) -> Outcome:
    named = {fault.where for fault in log.faults}
    must(named <= {LIAR}, "no honest log is named")
    if named != {LIAR}:
        return Outcome("SUCCEEDED", f"{len(log.entries)} entries told, nobody named")
    return Outcome("detected", f"{LIAR} named by the patient: {', '.join(fault.what for fault in log.faults)}")


def _by_another(data: bytes) -> bytes:
    return encode(replace(reopen(LogEntry, data), member="northgate", credential_id=bytes(16)))
