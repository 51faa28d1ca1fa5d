"""One member over either engine, for tests that ask for what every engine promises: `standing("embedded", folder)`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from salus.core.ids import HOUR_MS, Digest, MemberId, TimeMs
from salus.core.wire import Record
from salus.crypto.digests import digest
from salus.engines.cometbft.collect import collect
from salus.engines.cometbft.receipts import CometReceipt, check_comet_receipt
from salus.engines.engine import Engine
from salus.engines.receipts import Receipt, check_receipt
from salus.engines.replica import Replica
from salus.machine.transaction import Body
from tests.engines import cluster
from tests.engines.cometbft import real
from tests.support.network import Network, network

MERCY = MemberId("mercy")
EMBEDDED, COMETBFT = "embedded", "cometbft"


class Standing(Protocol):
    """A member's engine and its own copy of the ledger."""

    network: Network
    clock: Callable[[], TimeMs]

    @property
    def engine(self) -> Engine: ...

    @property
    def ledger(self) -> Replica: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass
class OnEmbedded:
    """In this process alone."""

    network: Network
    folder: Path
    clock: Callable[[], TimeMs] = real.clock
    _cluster: cluster.Cluster | None = None

    @property
    def engine(self) -> Engine:
        return self._now.engine

    @property
    def ledger(self) -> Replica:
        return self._now.replicas[MERCY]

    async def start(self) -> None:
        self._cluster = cluster.opened(self.folder, self.network)
        self._cluster.now = self.clock()
        await self._now.engine.start()

    async def stop(self) -> None:
        await self._now.engine.stop()
        self._now.close()

    @property
    def _now(self) -> cluster.Cluster:
        assert self._cluster is not None, "It has been started."
        return self._cluster


@dataclass
class OnComet:
    """With a CometBFT of its own."""

    network: Network
    chain: real.Chain
    clock: Callable[[], TimeMs] = real.clock

    @property
    def engine(self) -> Engine:
        return self.chain["mercy"].engine

    @property
    def ledger(self) -> Replica:
        return self.chain["mercy"].replica

    async def start(self) -> None:
        await self.chain.start()

    async def stop(self) -> None:
        await self.chain.stop()

    async def receipt_of(self, tx_id: Digest) -> CometReceipt:
        """As a ledger process gives it."""
        proven = self.ledger.receipt(tx_id)
        return await collect(self.chain["mercy"].rpc, self.network.genesis, proven.header.height, digest(proven.tx))


@asynccontextmanager
async def standing(kind: str, folder: Path, **founded: Any) -> AsyncIterator[Standing]:
    """A network of one that runs, and is stopped at the end; `founded` as `network` has it."""
    net = network(1, **founded)
    on: Standing
    if kind == EMBEDDED:
        on = OnEmbedded(net, folder)
    else:
        chain = real.prepared(folder, net=net)
        comet = on = OnComet(net, chain)
        chain.settings[MERCY] = replace(chain.settings[MERCY], receipt_of=comet.receipt_of)
    await on.start()
    try:
        yield on
    finally:
        await on.stop()


def create(on: Standing, name: str, valid_ms: int = HOUR_MS // 2) -> bytes:
    """A transaction that makes a cell; the same bytes cannot be had again."""
    return on.network.tx("mercy", on.network.create(on.network.id16(name)), valid_until=on.clock() + valid_ms)


def checked(receipt: Record, on: Standing) -> Body:
    """What a receipt proves, by the genesis alone, in whichever form."""
    if isinstance(receipt, CometReceipt):
        return check_comet_receipt(receipt, on.network.genesis)
    assert isinstance(receipt, Receipt)
    return check_receipt(receipt, on.network.genesis)
