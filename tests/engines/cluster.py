"""Members of one process on real folders, with a clock that a test turns and places where it can make a write fail."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from salus.core.ids import HOUR_MS, MemberId, TimeMs
from salus.crypto import signatures
from salus.engines.embedded import EmbeddedEngine
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.machine.admission import remembering
from salus.machine.machine import Machine
from salus.machine.transaction import AnyMessage
from tests.support.network import STARTED, Network, network

LONG_S = 3_600.0


class CrashError(Exception):
    """The process is gone at this point."""


@dataclass
class Trap:
    """Raises at one named point, once armed."""

    point: str = ""
    error: type[Exception] = CrashError
    passed: list[str] = field(default_factory=list)

    def hit(self, point: str) -> None:
        self.passed.append(point)
        if point == self.point:
            raise self.error()


@dataclass
class Cluster:
    """A network's members in sub-folders of one folder."""

    network: Network
    replicas: dict[MemberId, Replica]
    engine: EmbeddedEngine
    trap: Trap
    now: TimeMs = STARTED + 1_000

    def clock(self) -> TimeMs:
        return self.now

    def tx(self, sponsor: str, *messages: AnyMessage, valid_until: TimeMs | None = None) -> bytes:
        until = self.now + HOUR_MS // 2 if valid_until is None else valid_until
        return self.network.tx(sponsor, *messages, valid_until=until)

    def create(self, name: str, sponsor: str = "mercy") -> bytes:
        """A transaction that makes a cell."""
        return self.tx(sponsor, self.network.create(self.network.id16(name)))

    def heights(self) -> set[int]:
        return {replica.height for replica in self.replicas.values()}

    def roots(self) -> set[bytes]:
        return {replica.state.root() for replica in self.replicas.values()}

    def close(self) -> None:
        for replica in self.replicas.values():
            replica.close()


def opened(
    folder: Path,
    net: Network | None = None,
    *,
    machines: Mapping[str, Machine] | None = None,
    trap: Trap | None = None,
    heartbeat_s: float = LONG_S,
) -> Cluster:
    """The members' replicas and an engine that was not started."""
    net = net or network(4)
    trap = trap or Trap()
    machine = Machine(remembering(signatures.verify))
    replicas: dict[MemberId, Replica] = {}
    for party in net.parties:
        own = (machines or {}).get(party.member, machine)
        replicas[party.member] = Replica(party.member, net.genesis, LmdbStore(folder / party.member), own, faults=trap)
    keys = {party.member: party.validator for party in net.parties}
    made: list[Cluster] = []
    engine = EmbeddedEngine(replicas, keys, machine, lambda: made[0].clock(), heartbeat_s)
    made.append(Cluster(network=net, replicas=replicas, engine=engine, trap=trap))
    return made[0]


@asynccontextmanager
async def running(
    folder: Path,
    net: Network | None = None,
    *,
    machines: Mapping[str, Machine] | None = None,
    trap: Trap | None = None,
    heartbeat_s: float = LONG_S,
    held: Sequence[str] = (),
) -> AsyncIterator[Cluster]:
    """A cluster whose engine runs, and is stopped and closed at the end."""
    cluster = opened(folder, net, machines=machines, trap=trap, heartbeat_s=heartbeat_s)
    for member in held:
        cluster.engine.hold(MemberId(member))
    try:
        await cluster.engine.start()
        yield cluster
    finally:
        await cluster.engine.stop()
        cluster.close()
