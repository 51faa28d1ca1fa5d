"""Fills an `Operating` with what runs in a process: a ledger unit, a keeper, gateways, or a whole network.

Readiness, part by part: a ledger's engine answers and has caught up; a keeper's view is fresh, its store can be read
and its log's root is not overdue; a gateway's view is fresh and its outbox moves.
"""

import asyncio
import os
from pathlib import Path

from salus.core.clock import Clock
from salus.core.ids import MINUTE_MS, MemberId
from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER, LedgerUnit
from salus.engines.engine import Ledger
from salus.node.attached import Attached
from salus.node.gateway_side import GatewaySide
from salus.node.gateways import Gateways
from salus.node.http.server import Server
from salus.node.keeper_side import KeeperSide
from salus.node.member import Member
from salus.node.network import Network
from salus.node.observing.figures import (
    Sample,
    of_disk,
    of_door,
    of_engine,
    of_gateway,
    of_keeper,
    of_keys,
    of_ledger,
    of_wire,
    outbox_age_s,
)
from salus.node.observing.operating import EngineWord, Operating
from salus.node.observing.watching import WatchedDoor, WatchedEngine

FRESH_MS = MINUTE_MS  # As keepers have it: an older view releases nothing.
OUTBOX_S_MAX = 600.0
SIZES_EVERY_S = 60.0
STORES = {  # What lies in a member's folder, by whose it is. Stores elsewhere are watched where they are.
    "ledger": (LEDGER_FOLDER, ENGINE_FOLDER),
    "keeper": ("keeper.db", "vault"),
    "gateway": ("gateway.db",),
}


def show_unit(here: Operating, unit: LedgerUnit) -> None:
    """A member's ledger process."""
    settings, replica, engine = unit.settings, unit.replica, unit.submitting
    word = EngineWord(settings.member, unit.rpc.call)
    here.look_before(word.look)
    here.show(word.figures, lambda: of_ledger("ledger", replica, settings.clock))
    if isinstance(engine, WatchedEngine):
        here.show(lambda: of_engine(engine, lambda: unit.engine.waiting))
    _show_folder(here, settings.member, "ledger", settings.folder, STORES["ledger"], settings.clock)
    here.must_hold(settings.member, "ledger", "engine_answers", lambda: word.answers)
    here.must_hold(settings.member, "ledger", "caught_up", lambda: not word.catching_up)


def show_keeper(here: Operating, attached: Attached, side: KeeperSide, server: Server) -> None:
    """A member's keeper process."""
    clock = attached.settings.clock
    _show_attached(here, attached, "keeper", server)
    _show_keeper_side(here, side, attached.ledger, clock)
    _show_folder(here, side.name, "keeper", attached.folder, STORES["keeper"], clock)


def show_gateways(here: Operating, gateways: Gateways) -> None:
    """The gateways of a folder, in their process."""
    for attached, side, server in gateways.running:
        clock = attached.settings.clock
        _show_attached(here, attached, "gateway", server)
        _show_gateway_side(here, side, clock)
        _show_folder(here, side.name, "gateway", side.folder, STORES["gateway"], clock)


def show_network(here: Operating, network: Network) -> None:
    """Whole members in one process."""
    for member in network.members:
        _show_member(here, network, member)


def _show_member(here: Operating, network: Network, member: Member) -> None:
    name, clock, engine = member.name, network.settings.clock, network.watched[member.name]
    here.show(lambda: of_engine(engine, lambda: network.engine.waiting))
    here.must_hold(name, "ledger", "engine_runs", lambda: network.failure is None)
    _show_copy(here, "ledger", member.ledger, clock)
    for part, door in network.doors[name].parts.items():
        _show_copy(here, part, member.ledger, clock)
        _show_door(here, door)
    _show_keeper_side(here, member.keeping, member.ledger, clock)
    _show_gateway_side(here, member, clock)
    for whose, stores in STORES.items():
        _show_folder(here, name, whose, member.folder, stores, clock)


def _show_copy(here: Operating, part: str, ledger: Ledger, clock: Clock) -> None:
    here.show(lambda: of_ledger(part, ledger, clock))


def _show_door(here: Operating, door: WatchedDoor) -> None:
    here.show(lambda: of_door(door))


def _show_attached(here: Operating, attached: Attached, part: str, server: Server) -> None:
    engine = attached.watched
    here.show(
        lambda: of_ledger(part, attached.ledger, attached.settings.clock),
        lambda: of_engine(engine, lambda: attached.engine.waiting),
        lambda: of_door(attached.door),
        lambda: of_wire(attached.member, part, server, attached.transport, attached.trust),
    )


def _show_keeper_side(here: Operating, side: KeeperSide, ledger: Ledger, clock: Clock) -> None:
    here.show(lambda: of_keeper(side, clock))
    here.must_hold(side.name, "keeper", "view_fresh", lambda: abs(clock() - ledger.time) <= FRESH_MS)
    here.must_hold(side.name, "keeper", "store_open", lambda: side.is_reconciled in (True, False))
    here.must_hold(side.name, "keeper", "log_anchored", lambda: not side.keeper.log.is_overdue)


def _show_gateway_side(here: Operating, side: GatewaySide, clock: Clock) -> None:
    here.show(lambda: of_gateway(side, clock))
    here.must_hold(side.name, "gateway", "view_fresh", lambda: abs(clock() - side.ledger.time) <= FRESH_MS)
    here.must_hold(side.name, "gateway", "outbox_moves", lambda: outbox_age_s(side, clock) < OUTBOX_S_MAX)


def _show_folder(
    here: Operating, member: MemberId, part: str, folder: Path, stores: tuple[str, ...], clock: Clock
) -> None:
    sizes: dict[str, int] = {}

    async def look() -> None:
        for store in stores:
            sizes[store] = await asyncio.to_thread(size_bytes_of, folder / store)

    def shown() -> list[Sample]:
        return [("salus_store_bytes", (member, part, store), size) for store, size in sizes.items()]

    here.look_before(look, SIZES_EVERY_S)
    here.show(shown, lambda: of_disk(member, part, folder))
    if part == "ledger":  # Once for each member.
        here.show(lambda: of_keys(member, part, folder, clock))


def size_bytes_of(path: Path) -> int:
    """What a store takes on disk: a folder with all in it, or a database's file with its journal."""
    if not path.is_dir():
        return sum(_blocks(file) for file in path.parent.glob(f"{path.name}*"))
    total = 0
    for folder, _, files in os.walk(path):
        total += sum(_blocks(Path(folder) / file) for file in files)
    return total


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512  # LMDB's file has holes.
    except OSError:
        return 0  # Gone meanwhile.
