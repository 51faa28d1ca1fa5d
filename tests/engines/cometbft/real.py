"""Real CometBFT chains on this machine: one unit per member in this process, each with a CometBFT of its own."""

import asyncio
import socket
import sys
import time
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from salus.core.ids import HOUR_MS, MemberId, TimeMs
from salus.crypto.digests import derive
from salus.engines.cometbft.config import EngineSettings, make_node_key
from salus.engines.cometbft.supervisor import NoEngineError, find_binary
from salus.engines.cometbft.unit import LedgerUnit, UnitSettings
from tests.support.network import Network, network


def _engine_is_missing() -> bool:
    try:
        find_binary()
    except NoEngineError as error:
        said = f"CometBFT tests are SKIPPED: {error} (`make engine` builds it)"
        warnings.warn(said, stacklevel=1)
        print(said, file=sys.stderr)
        return True
    return False


needs_engine = pytest.mark.skipif(_engine_is_missing(), reason="CometBFT is not installed: `make engine` builds it")


def clock() -> TimeMs:
    return time.time_ns() // 1_000_000


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Chain:
    """The members' folders and settings, and whoever of them is up."""

    network: Network
    settings: dict[MemberId, UnitSettings]
    units: dict[MemberId, LedgerUnit] = field(default_factory=dict)

    def __getitem__(self, name: str) -> LedgerUnit:
        return self.units[MemberId(name)]

    def tx(self, sponsor: str, *messages: Any, valid_ms: int = HOUR_MS // 2) -> bytes:
        return self.network.tx(sponsor, *messages, valid_until=clock() + valid_ms)

    def create(self, name: str, sponsor: str = "mercy") -> bytes:
        """A transaction that makes a cell."""
        return self.tx(sponsor, self.network.create(self.network.id16(name)))

    async def start(self, *names: str) -> None:
        """Start members, all of them if none is named."""
        for name in names or tuple(self.settings):
            unit = LedgerUnit(self.settings[MemberId(name)])
            self.units[MemberId(name)] = unit
            await unit.start()

    async def stop(self, *names: str) -> None:
        """Stop members in order, all that are up if none is named."""
        units = [self.units.pop(MemberId(name)) for name in names or tuple(self.units)]
        await asyncio.gather(*(unit.stop() for unit in units))

    async def level(self, timeout_s: float = 20.0) -> int:
        """Wait until everyone who is up stands at the height that the furthest has now; that height."""
        height = max(unit.replica.height for unit in self.units.values())
        reached = await asyncio.gather(*(unit.replica.reached(height, timeout_s) for unit in self.units.values()))
        assert all(reached), {name: unit.replica.height for name, unit in self.units.items()}
        return height


def prepared(folder: Path, members: int = 1, net: Network | None = None, **engine: Any) -> Chain:
    """Folders and settings of a network whose members do not run yet."""
    net = net or network(members)
    ports = free_ports(len(net.parties))
    named = {p.member: port for p, port in zip(net.parties, ports, strict=True)}
    ids = {name: make_node_key(folder / name / "engine", derive(net.seed, name, "node")) for name in named}
    settings = {}
    for name, port in named.items():
        peers = tuple(f"{ids[other]}@127.0.0.1:{named[other]}" for other in named if other != name)
        own = EngineSettings(listen=f"127.0.0.1:{port}", peers=peers, **engine)
        seed = derive(net.seed, name, "validator")
        settings[name] = UnitSettings(name, folder / name, net.genesis, seed, clock, own)
    return Chain(net, settings)


@asynccontextmanager
async def running(
    folder: Path, members: int = 1, only: Sequence[str] = (), net: Network | None = None, **engine: Any
) -> AsyncIterator[Chain]:
    """A chain that runs, and is stopped at the end."""
    chain = prepared(folder, members, net, **engine)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(chain.stop)
        await chain.start(*only)
        yield chain


@asynccontextmanager
async def running_again(chain: Chain) -> AsyncIterator[LedgerUnit]:
    """The only member of a chain, started anew and stopped at the end."""
    await chain.start()
    try:
        yield next(iter(chain.units.values()))
    finally:
        await chain.stop()
