"""A keeper whose database is an older one, put back from a backup: what it serves, and how it catches up."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from salus.cli.drill.attack import Outcome, attack, must
from salus.cli.drill.world import Document, World, deny, permit, sources
from salus.core.ids import FhirType, MemberId
from salus.core.wire import reopen
from salus.keeper.messages import LogEntry
from salus.node.network import Network
from salus.sdk.patient_log import read_log
from salus.sdk.views import Accusation, Notice, View

RESTORED = MemberId("northgate")
READER = "clinician@st-luke"
DOCUMENT = Document("after-backup", FhirType("Observation"), "2024-05-06")


@attack("restored keeper store before a revocation", guard="salus.keeper.policies.Policies.current", harmful=True)
async def restored_before_revocation(world: World) -> Outcome:
    """An operator puts a database back in which a permit still stands."""
    await world.allow(world.a, permit("st-luke"))
    backup = _backup(world)
    await world.allow(world.a, deny("st-luke"))
    async with _put_back(world, backup):
        view = await world.read(READER, world.a)
        released = _last_entry(world).released
    if released or view.records or view.gaps:
        return Outcome("SUCCEEDED", f"{RESTORED} released records of {len(released)} batches under the policy before")
    return Outcome("healed", f"{RESTORED} fetched the policy in force from its peers and released nothing")


@attack("restored keeper store before a batch", guard="salus.keeper.deposits.Deposits.missing", harmful=True)
async def restored_before_batch(world: World) -> Outcome:
    """An operator puts a database back that lacks a batch: others serve it, and its author deals again."""
    await world.allow(world.a, permit("st-luke"))
    backup = _backup(world)
    await world.seal("mercy", world.a, DOCUMENT)
    async with _put_back(world, backup):
        view = await world.read(READER, world.a)
        must(DOCUMENT.source in sources(world.a, view), "the other seats serve what is missing here")
        must(RESTORED in _named(view), "the reader is told who lacks it")
        author = world.network["mercy"].author
        lost, _ = await author.audit(), await author.work_outbox()
        again = await world.read(READER, world.a)
    if RESTORED in _named(again):
        return Outcome("SUCCEEDED", f"{lost} batches found missing; {RESTORED} lacks what it signed for")
    return Outcome("healed", f"{RESTORED} named; {lost} batch dealt again by its author")


@attack("restored keeper store before a log root", guard="salus.sdk.patient_log._anchored", harmful=True)
async def restored_before_log_root(world: World) -> Outcome:
    """An operator puts a database back that has forgotten who read."""
    await world.allow(world.a, permit("st-luke"))
    backup = _backup(world)
    await world.read(READER, world.a)
    await world.network.tend()
    wallet = world.a.wallet
    async with _put_back(world, backup):
        gateway = world.network["st-luke"].gateway
        log = await read_log(gateway, wallet.subject, wallet.committee, (), wallet.device_key())
    named = {fault.where for fault in log.faults}
    must(named <= {RESTORED}, "no honest log is named")
    if named != {RESTORED}:
        return Outcome("SUCCEEDED", f"{RESTORED} has forgotten a use, and nobody can tell")
    return Outcome("detected", f"{RESTORED} named by the patient: {', '.join(fault.what for fault in log.faults)}")


def _backup(world: World) -> Path:
    """The keeper's database as a backup takes it, while the keeper runs."""
    folder = world.network[RESTORED].folder
    path = folder / "keeper.backup"
    with closing(sqlite3.connect(folder / "keeper.db")) as disk, closing(sqlite3.connect(path)) as copy:
        disk.backup(copy)
    return path


@asynccontextmanager
async def _put_back(world: World, backup: Path) -> AsyncIterator[None]:
    """Stop the network, put the older database in place, start again."""
    before = world.network
    await before.stop()
    _swap(backup)
    async with Network(before.folder, before.settings) as after:
        world.network = after
        yield


def _swap(backup: Path) -> None:
    for leftover in ("keeper.db-wal", "keeper.db-shm"):
        backup.with_name(leftover).unlink(missing_ok=True)
    backup.replace(backup.with_name("keeper.db"))


def _last_entry(world: World) -> LogEntry:
    """What the restored keeper wrote of its last answer about patient A."""
    return reopen(LogEntry, world.network[RESTORED].keeper.log.entries(world.a.wallet.subject)[-1])


def _named(view: View) -> set[MemberId]:
    found: list[Accusation | Notice] = [*view.accusations, *view.notices]
    return {one.member for one in found}
