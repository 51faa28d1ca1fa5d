"""Transactions on their way into CometBFT's mempool: many with one call, again while no block holds them.

CometBFT is not waited for while it checks: it asks this member's own application, which then says what it answered
(`checked`). What cannot be handed over now (still catching up, mempool full, process away) is tried again, with growing
pauses; what was handed over is offered again after a while, since a mempool is only memory.

Before a chain's first block nothing is handed over: CometBFT passes it on at once, and members that have not begun to
vote throw away what is passed on to them. It would wait until this one proposes, on an idle chain for a minute.
"""

import asyncio
import random
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from salus.core.ids import MIB_BYTES
from salus.engines.cometbft.rpc import EngineAwayError, EngineSaidError

BATCH_TXS_MAX: Final = 128
_BATCH_BYTES_MAX: Final = MIB_BYTES  # In base64 well within what CometBFT's RPC takes as one request.
_AT_ONCE: Final = 2  # Calls under way: while CometBFT reads one, the next gathers.
PAUSE_S: Final = 0.05  # Before the second attempt; doubled each time, up to
_PAUSE_S_MAX: Final = 1.0
AGAIN_S: Final = 3.0  # After so long without a block that holds it, hand it over again.
_IN_CACHE: Final = "tx already exists in cache"


class Rpc(Protocol):
    """CometBFT's RPC, such as `rpc.CometRpc`."""

    async def call_many(self, method: str, parameters: list[dict[str, object]]) -> list[object]:
        """The result of each call, or the EngineSaidError that was its answer."""


@dataclass(slots=True)
class _Offer:
    pause_s: float
    due: asyncio.TimerHandle | None = None  # When it is handed over again.


class Handing:
    """Hands transactions to one CometBFT until they are withdrawn. For one event loop."""

    def __init__(
        self,
        rpc: Rpc,
        pause_s: float = PAUSE_S,
        again_s: float = AGAIN_S,
        has_begun: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rpc = rpc
        self._has_begun = has_begun
        self._pause_s = pause_s
        self._again_s = again_s
        self._offers: dict[bytes, _Offer] = {}
        self._due: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def offer(self, tx: bytes) -> None:
        """Hand a transaction over, and again, until `withdraw`."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._hand_over()) for _ in range(_AT_ONCE)]
        offer = self._offers[tx] = _Offer(self._pause_s)
        self._put(tx, offer)

    def withdraw(self, tx: bytes) -> None:
        """It needs no handing over any more."""
        offer = self._offers.pop(tx, None)
        if offer is not None and offer.due is not None:
            offer.due.cancel()

    def put_off(self, tx: bytes) -> None:
        """It found no room just now: hand it over after a pause."""
        offer = self._offers.get(tx)
        if offer is not None:
            self._later(tx, offer, offer.pause_s * (0.5 + random.random()))
            offer.pause_s = min(2 * offer.pause_s, _PAUSE_S_MAX)

    async def stop(self) -> None:
        """Hand nothing over any more."""
        for tx in list(self._offers):
            self.withdraw(tx)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _put(self, tx: bytes, offer: _Offer) -> None:
        offer.due = None
        self._due.append(tx)
        self._some.set()

    def _later(self, tx: bytes, offer: _Offer, pause_s: float) -> None:
        if offer.due is not None:
            offer.due.cancel()
        offer.due = asyncio.get_running_loop().call_later(pause_s, self._put, tx, offer)

    async def _hand_over(self) -> None:
        """Call with whatever is due, for ever."""
        while True:
            await self._some.wait()
            batch = self._taken()
            if not batch:
                self._some.clear()
                continue
            if not self._has_begun():
                for tx in batch:
                    self._later(tx, self._offers[tx], self._pause_s)
                continue
            parameters: list[dict[str, object]] = [{"tx": b64encode(tx).decode()} for tx in batch]
            try:
                said = await self._rpc.call_many("broadcast_tx_async", parameters)
            except (EngineAwayError, EngineSaidError):
                for tx in batch:
                    self.put_off(tx)
                continue
            for tx, answer in zip(batch, said, strict=True):
                self._answered(tx, answer)

    def _taken(self) -> list[bytes]:
        """What is due and still offered, as much as one call takes: one transaction at least."""
        batch: list[bytes] = []
        room = _BATCH_BYTES_MAX
        while self._due and len(batch) < BATCH_TXS_MAX:
            if batch and len(self._due[0]) > room:
                break
            tx = self._due.popleft()
            if tx in self._offers:
                batch.append(tx)
                room -= len(tx)
        return batch

    def _answered(self, tx: bytes, answer: object) -> None:
        offer = self._offers.get(tx)
        if offer is None:
            return
        if isinstance(answer, EngineSaidError) and _IN_CACHE not in answer.said:
            self.put_off(tx)
        elif offer.due is None:  # Else the check has put it off already.
            self._later(tx, offer, self._again_s)
