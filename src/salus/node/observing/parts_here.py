"""Fills an `Operating` with what runs in a process: a ledger unit, a keeper, gateways, or a whole network.

Readiness, part by part: a ledger's engine answers and has caught up, and in one process came to the others' result; a
keeper's view is fresh, its store can be read, is as new as the ledger, holds what became final while it was away, and
its log's root is not overdue; a gateway's view is fresh, its store is as new as the ledger and its outbox moves.
Members of one process come and go: what runs there is asked for anew each time.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from salus.core.clock import Clock
from salus.core.ids import MemberId
from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER, LedgerUnit
from salus.engines.engine import Ledger
from salus.machine.view import is_fresh
from salus.node.attached import Attached
from salus.node.gateway_side import GatewaySide
from salus.node.gateways import Gateways
from salus.node.http.server import Server
from salus.node.keeper_side import KeeperSide
from salus.node.member import Member
from salus.node.network import Network
from salus.node.observing.figures import (
    Sample,
    Source,
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
from salus.node.observing.judging import OUTBOX_S_MAX
from salus.node.observing.operating import EngineWord, Named, Operating
from salus.node.observing.watching import WatchedEngine

SIZES_EVERY_S = 60.0
STORES = {  # What lies in a member's folder, by whose it is. Stores elsewhere are watched where they are.
    "ledger": (LEDGER_FOLDER, ENGINE_FOLDER),
    "keeper": ("keeper.db", "vault"),
    "gateway": ("gateway.db",),
}


def show_unit(here: Operating, unit: LedgerUnit) -> None:
    """A member's ledger process."""
    settings, engine = unit.settings, unit.submitting
    assert isinstance(engine, WatchedEngine), "A process that is watched submits through a watch."
    word = EngineWord(settings.member, unit.rpc.call)
    sizes = Sizes([(settings.member, "ledger", settings.folder)])
    here.look_before(word.look)
    here.look_before(sizes.look, SIZES_EVERY_S)
    here.show(
        word.figures,
        sizes.figures,
        lambda: of_ledger("ledger", unit.replica, settings.clock),
        lambda: of_engine(engine, lambda: unit.engine.waiting),
        lambda: of_disk(settings.member, "ledger", settings.folder),
        lambda: of_keys(settings.member, "ledger", settings.folder, settings.clock),
    )
    here.check(lambda: _of_word(settings.member, word))


def show_keeper(here: Operating, attached: Attached, side: KeeperSide, server: Server) -> None:
    """A member's keeper process."""
    clock = attached.settings.clock
    sizes = Sizes([(side.name, "keeper", attached.folder)])
    here.look_before(sizes.look, SIZES_EVERY_S)
    here.show(
        sizes.figures,
        lambda: _of_attached(attached, server),
        lambda: of_keeper(side, clock),
        lambda: of_disk(side.name, "keeper", attached.folder),
    )
    here.check(lambda: _of_keeper_side(side, attached.ledger, clock))


def show_gateways(here: Operating, gateways: Gateways) -> None:
    """The gateways of a folder, in their process."""
    clock = gateways.settings.clock
    sizes = Sizes([(side.name, "gateway", side.folder) for side in gateways.members])
    here.look_before(sizes.look, SIZES_EVERY_S)
    here.show(sizes.figures)
    here.show_each(lambda: chain.from_iterable(_of_gateway(*running, clock) for running in gateways.running))
    here.check(lambda: chain.from_iterable(_of_gateway_side(side, clock) for side in gateways.members))


def show_network(here: Operating, network: Network) -> None:
    """Whole members in one process."""
    sizes = Sizes([(member.name, part, member.folder) for member in network.members for part in STORES])
    here.look_before(sizes.look, SIZES_EVERY_S)
    here.show(sizes.figures)
    here.show_each(lambda: chain.from_iterable(_of_member(network, member) for member in network.members))
    here.check(lambda: chain.from_iterable(_checks_of_member(network, member) for member in network.members))


class Sizes:
    """How large stores are; looked up in a thread, since there may be many files."""

    def __init__(self, folders: Iterable[tuple[MemberId, str, Path]]) -> None:
        self._folders = list(folders)
        self._found: list[Sample] = []

    async def look(self) -> None:
        """Look them up."""
        self._found = await asyncio.to_thread(lambda: list(self._all()))

    def figures(self) -> list[Sample]:
        """For `Operating.show`."""
        return self._found

    def _all(self) -> Iterator[Sample]:
        for member, part, folder in self._folders:
            for store in STORES[part]:
                yield "salus_store_bytes", (member, part, store), size_bytes_of(folder / store)


def size_bytes_of(path: Path) -> int:
    """What a store takes on disk: a folder with all in it, or a database's file with its journal."""
    if not path.is_dir():
        return sum(_blocks(file) for file in path.parent.glob(f"{path.name}*"))
    return sum(_blocks(Path(folder) / file) for folder, _, files in os.walk(path) for file in files)


def _of_attached(attached: Attached, server: Server) -> Iterator[Sample]:
    part = attached.door.part
    yield from of_ledger(part, attached.ledger, attached.settings.clock)
    yield from of_engine(attached.watched, lambda: attached.engine.waiting)
    yield from of_door(attached.door)
    yield from of_wire(attached.member, part, server, attached.transport, attached.trust)


def _of_gateway(attached: Attached, side: GatewaySide, server: Server, clock: Clock) -> Iterator[Source]:
    yield lambda: _of_attached(attached, server)
    yield lambda: of_gateway(side, clock)
    yield lambda: of_disk(side.name, "gateway", side.folder)


def _of_member(network: Network, member: Member) -> Iterator[Source]:
    name, clock = member.name, network.settings.clock
    for part in STORES:
        yield partial(of_ledger, part, member.ledger, clock)
        yield partial(of_disk, name, part, member.folder)
    for door in network.doors[name].parts.values():
        yield partial(of_door, door)
    yield lambda: of_engine(network.watched[name], lambda: network.engine.waiting)
    yield lambda: of_keys(name, "ledger", member.folder, clock)
    yield lambda: of_keeper(member.keeping, clock)
    yield lambda: of_gateway(member, clock)


def _checks_of_member(network: Network, member: Member) -> Iterator[Named]:
    clock = network.settings.clock
    yield (member.name, "ledger"), "engine_runs", lambda: network.failure is None
    yield (member.name, "ledger"), "agrees", lambda: member.name not in network.engine.halted
    yield from _of_keeper_side(member.keeping, member.ledger, clock)
    yield from _of_gateway_side(member, clock)


def _of_word(member: MemberId, word: EngineWord) -> Iterator[Named]:
    yield (member, "ledger"), "engine_answers", lambda: word.answers
    yield (member, "ledger"), "caught_up", lambda: word.answers and not word.catching_up


def _of_keeper_side(side: KeeperSide, ledger: Ledger, clock: Clock) -> Iterator[Named]:
    own = (side.name, "keeper")
    yield own, "view_fresh", lambda: is_fresh(ledger, clock())
    yield own, "store_open", lambda: side.is_store_open
    yield own, "reconciled", lambda: side.is_reconciled
    yield own, "missed_nothing", lambda: side.has_missed_nothing
    yield own, "log_anchored", lambda: not side.keeper.log.is_overdue


def _of_gateway_side(side: GatewaySide, clock: Clock) -> Iterator[Named]:
    own = (side.name, "gateway")
    yield own, "view_fresh", lambda: is_fresh(side.ledger, clock())
    yield own, "outbox_moves", lambda: outbox_age_s(side, clock) < OUTBOX_S_MAX
    yield own, "reconciled", lambda: side.is_reconciled


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512  # LMDB's file has holes.
    except OSError:
        return 0  # Gone meanwhile.
