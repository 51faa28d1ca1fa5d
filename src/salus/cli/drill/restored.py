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
from salus.sdk import consent
from salus.sdk.patient_log import read_log
from salus.sdk.views import Accusation, Notice, View

RESTORED = MemberId("northgate")
READER = "clinician@st-luke"
DOCUMENT = Document("after-backup", FhirType("Observation"), "2024-05-06")
ROUNDS_MAX = 8
_RECONCILING = "salus.keeper.reconciling.Reconciling"


@attack("old keeper put back", guard=f"{_RECONCILING}.is_done", harmful=True)
async def old_keeper_put_back(world: World) -> Outcome:
    """An operator copies an old database back by hand and says nothing: it answers nobody before it has caught up."""
    backup = await _backup_before_a_use(world)
    async with _put_back(world, backup):
        before = await world.read(READER, world.a)
        must(bool(before.records), "the other seats serve the reader")
        if RESTORED not in before.absent:
            return Outcome("SUCCEEDED", f"{RESTORED} answers from a store that has forgotten a use")
        await _caught_up(world)
        after = await world.read(READER, world.a)
    must(RESTORED not in after.absent and sources(world.a, after) == sources(world.a, before), "then it serves again")
    return Outcome(
        "detected", f"keeper.restored: {RESTORED} found its log behind the ledger, and served once caught up"
    )


@attack("restored keeper store before a revocation", guard="salus.keeper.policies.Policies.current", harmful=True)
async def restored_before_revocation(world: World) -> Outcome:
    """An operator puts a database back in which a permit still stands."""
    await world.allow(world.a, permit("st-luke"))
    backup = _backup(world)
    await world.allow(world.a, deny("st-luke"))
    async with _put_back(world, backup):
        await _caught_up(world)
        view = await world.read(READER, world.a)
        must(RESTORED not in view.absent, "it answers")
        released = _last_entry(world).released
    if released or view.records or view.gaps:
        return Outcome("SUCCEEDED", f"{RESTORED} released records of {len(released)} batches under the policy before")
    return Outcome("healed", f"{RESTORED} fetched the policy in force from its peers and released nothing")


@attack("restored keeper store before an erasure", guard=f"{_RECONCILING}._drop_closed", harmful=True)
async def restored_before_erasure(world: World) -> Outcome:
    """An operator puts a database back that still has the shares of a patient whose cell was closed meanwhile."""
    backup = await _backup_before_a_use(world)
    await consent.close(world.network["mercy"].gateway, world.a.wallet)
    async with _put_back(world, backup):
        must(_holdings(world) > 0, "the backup has the shares")
        await _caught_up(world)
        left = _holdings(world)
    if left:
        return Outcome("SUCCEEDED", f"{RESTORED} holds shares of {left} batches again that were given up")
    return Outcome("healed", f"{RESTORED} dropped what the closed cell says before it served")


@attack("restored keeper store before a batch", guard=f"{_RECONCILING}._missing", harmful=True)
async def restored_before_batch(world: World) -> Outcome:
    """An operator puts a database back that lacks a batch: others serve it, and its author deals again."""
    await world.allow(world.a, permit("st-luke"))
    backup = _backup(world)
    await world.seal("mercy", world.a, DOCUMENT)
    await world.read(READER, world.a)
    await world.network.tend()
    async with _put_back(world, backup):
        view = await world.read(READER, world.a)
        must(DOCUMENT.source in sources(world.a, view), "the other seats serve what is missing here")
        await _caught_up(world)
        again = await world.read(READER, world.a)
    if RESTORED in _named(view) | _named(again):
        return Outcome("SUCCEEDED", f"{RESTORED} answers, and lacks what it signed for")
    must(RESTORED not in again.absent, "it answers")
    return Outcome("healed", f"{RESTORED} was silent until the author had dealt again what it signed for")


@attack("restored keeper store before a log root", guard="salus.keeper.access_log.AccessLog._bridged", harmful=True)
async def restored_before_log_root(world: World) -> Outcome:
    """An operator puts a database back that has forgotten who read."""
    backup = await _backup_before_a_use(world)
    used = _last_entry(world).number
    wallet = world.a.wallet
    async with _put_back(world, backup):
        await _caught_up(world)
        await world.read(READER, world.a)
        must(_last_entry(world).number > used, "no number of the log is used twice")
        gateway = world.network["st-luke"].gateway
        log = await read_log(gateway, wallet.subject, wallet.committee, (), wallet.device_key())
    named = {fault.where for fault in log.faults}
    must(named <= {RESTORED}, "no honest log is named")
    if named != {RESTORED}:
        return Outcome("SUCCEEDED", f"{RESTORED} has forgotten a use, and nobody can tell")
    return Outcome("detected", f"{RESTORED} named by the patient: {', '.join(fault.what for fault in log.faults)}")


async def _backup_before_a_use(world: World) -> Path:
    """A backup; and then somebody uses patient A's record, and the log's root with that use stands on the ledger."""
    await world.allow(world.a, permit("st-luke"))
    backup = _backup(world)
    await world.read(READER, world.a)
    await world.network.tend()
    return backup


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


async def _caught_up(world: World) -> None:
    """Let all members do what is due until the restored keeper serves."""
    for _ in range(ROUNDS_MAX):
        await world.network.tend()
        if world.network[RESTORED].keeping.is_reconciled:
            return
    must(False, "it has caught up in a few rounds")


def _holdings(world: World) -> int:
    """Of how many batches the restored keeper has shares of patient A."""
    held = world.network[RESTORED].keeper.deposits.holdings_of(world.a.wallet.subject)
    return sum(1 for _ in held)


def _last_entry(world: World) -> LogEntry:
    """What the restored keeper wrote of its last answer about patient A."""
    return reopen(LogEntry, world.network[RESTORED].keeper.log.entries(world.a.wallet.subject)[-1])


def _named(view: View) -> set[MemberId]:
    """Whom the reader names; a vault is as silent as its keeper, and that is no fault."""
    found: list[Accusation | Notice] = [*view.accusations, *view.notices]
    return {one.member for one in found if one.what != "missing_blob"}
