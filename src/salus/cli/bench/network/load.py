"""Transactions for a measurement, and callers that hand them over at a rate or as fast as they become final."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from salus.cli.bench.network.processes import processor_s
from salus.contracts.cells.messages import Create
from salus.contracts.members.founding import first_committee
from salus.contracts.reads.messages import Request
from salus.core.ids import HOUR_MS, NO_DIGEST, ChainId, MemberId
from salus.crypto.signatures import SigningKey
from salus.machine.transaction import Body, sign
from salus.node.settings import system_clock

Submit = Callable[[bytes], Awaitable[bool]]
"""Hands a transaction over and waits until it is final; whether it was accepted."""

ROUND_S_MAX = 10.0
TX_BYTES = 400  # Of a member with a name of seven letters; a letter more or less is a byte.


def transactions(chain: ChainId, member: MemberId, key: SigningKey) -> Iterator[bytes]:
    """Signed transactions of a member without end: each opens a cell and asks for a read, and writes three keys."""
    committee = first_committee(chain)
    while True:
        now, chance = system_clock(), os.urandom(176)
        create = Create(
            cell_id=chance[:16],
            committee=committee,
            commitment=chance[16:48],
            owner=chance[48:80],
            recovery=NO_DIGEST,
        )
        asked = Request(
            request_id=chance[80:96],
            commitment=chance[96:128],
            reply_key_digest=chance[128:160],
            expires=now + HOUR_MS,
        )
        yield sign(Body(chain=chain, valid_until=now + HOUR_MS // 2, messages=(create, asked), sponsor=member), key)


@dataclass(frozen=True, slots=True)
class Way:
    """A way in for one member's transactions, and transactions for it."""

    submit: Submit
    txs: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Network:
    """Ways in, and the processes behind them by kind."""

    ways: list[Way]
    pids: Mapping[str, list[int]]

    def processor_s(self) -> dict[str, float]:
        """Processor time used so far: by each kind, and by the callers in this process."""
        return {**{kind: processor_s(pids) for kind, pids in self.pids.items()}, "callers": time.process_time()}


@dataclass(slots=True)
class Load:
    """What callers saw."""

    waits_ms: list[float] = field(default_factory=list)
    refused: int = 0
    sizes_bytes: int = 0
    seconds: float = 0.0
    processor_s: dict[str, float] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Accepted transactions a second."""
        return (len(self.waits_ms) - self.refused) / self.seconds

    async def call(self, submit: Submit, tx: bytes) -> None:
        """Hand a transaction over and note what becomes of it."""
        began = time.perf_counter()
        accepted = await submit(tx)
        self.waits_ms.append((time.perf_counter() - began) * 1000)
        self.refused += not accepted
        self.sizes_bytes += len(tx)

    @contextmanager
    def timed(self, network: Network) -> Iterator[None]:
        """Count time and processor time of the block."""
        began, used = time.perf_counter(), network.processor_s()
        yield
        self.seconds = time.perf_counter() - began
        self.processor_s = {kind: after - used[kind] for kind, after in network.processor_s().items()}


async def saturated(network: Network, callers: int, txs: int) -> Load:
    """So many transactions in all, by callers of whom each submits its next once the last one is final.

    Fewer where the time is up first: then each caller waits for its last one.
    """
    lines = [iter(list(islice(way.txs, txs // len(network.ways)))) for way in network.ways]
    load = Load()

    async def calls(submit: Submit, line: Iterator[bytes], until: float) -> None:
        while time.perf_counter() < until and (tx := next(line, None)) is not None:
            await load.call(submit, tx)

    with load.timed(network):
        each = [(way.submit, line) for way, line in zip(network.ways, lines, strict=True)]
        until = time.perf_counter() + ROUND_S_MAX
        await asyncio.gather(*(calls(*each[number % len(each)], until) for number in range(callers)))
    return load


async def at_rate(network: Network, per_s: float, txs: int) -> Load:
    """So many transactions by the clock, whether earlier ones are final or not, at each member in turn."""
    ready = [next(network.ways[number % len(network.ways)].txs) for number in range(txs)]
    load, under_way = Load(), []
    with load.timed(network):
        began = time.perf_counter()
        for number, tx in enumerate(ready):
            await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            submit = network.ways[number % len(network.ways)].submit
            under_way.append(asyncio.create_task(load.call(submit, tx)))
        await asyncio.gather(*under_way)
    return load
