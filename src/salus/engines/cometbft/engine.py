"""How a member submits to CometBFT: offer a transaction, wait until the own replica holds it.

The answer comes from the member's own application when it refuses the transaction at the door, and from its own replica
when it commits the block, never from CometBFT's word. How transactions get into the mempool is in `handing.py`; they
are offered until they are final, have run out, or the callers' patience has ended twice over. To submit the same bytes
again is harmless: whoever waits for them gets the same answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from salus.contracts.members.reads import parameters_of
from salus.core.ids import Digest
from salus.core.wire import Record
from salus.engines.agreement import NotFinalError
from salus.engines.cometbft.handing import Handing
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.engine import Inclusion
from salus.engines.layout import StoredBlock
from salus.engines.ledger_copy import NotFoundError
from salus.engines.queue import BusyError
from salus.engines.replica import Replica
from salus.machine.admission import Submitted, read
from salus.machine.block import ACCEPTED
from salus.machine.errors import TooLargeError

SUBMIT_TIMEOUT_S: Final = 20.0
_NOT_YET: Final = frozenset({BusyError.code})  # Codes of a check that may be others a moment later.


@dataclass(slots=True)
class _Pending:
    """A transaction that somebody waits for, and when to stop offering it."""

    submitted: Submitted
    end: asyncio.TimerHandle
    waiting: list["asyncio.Future[Inclusion]"] = field(default_factory=list)


class CometEngine:
    """Orders transactions through CometBFT. Satisfies `Engine`. For one event loop.

    `receipt_of` works out the proof of a final transaction. Whoever answers CometBFT's checks calls `checked`.
    """

    def __init__(
        self,
        replica: Replica,
        rpc: CometRpc,
        receipt_of: Callable[[Digest], Awaitable[Record]] | None = None,
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> None:
        self._replica = replica
        self._rpc = rpc
        self._receipt_of = receipt_of or _no_receipts
        self.patience_s = timeout_s
        self._pending: dict[bytes, _Pending] = {}  # By transaction.
        self._handing = Handing(rpc, has_begun=lambda: replica.height > 0)
        replica.listen(self._committed)

    async def submit(self, tx: bytes) -> Inclusion:
        """See `Engine.submit`. To cancel it withdraws nothing: the transaction may still become final."""
        submitted = read(tx)
        known = self._accepted(submitted.tx_id)
        if known is not None:
            return known
        limit = parameters_of(self._replica.state).transaction_bytes_max
        if len(tx) > limit:
            raise TooLargeError(size_bytes=len(tx), size_bytes_max=limit)
        answer: asyncio.Future[Inclusion] = asyncio.get_running_loop().create_future()
        (self._pending.get(tx) or self._offered(tx, submitted)).waiting.append(answer)
        try:
            async with asyncio.timeout(self.patience_s):
                return await answer
        except TimeoutError:
            raise NotFinalError(height=self._replica.height) from None

    async def receipt(self, tx_id: Digest) -> Record:
        """See `Engine.receipt`."""
        return await self._receipt_of(tx_id)

    @property
    def waiting(self) -> int:
        """How many transactions wait to become final."""
        return len(self._pending)

    def checked(self, tx: bytes, code: str) -> None:
        """The own application let a transaction wait, or refused it at the door with a code: that is an answer."""
        pending = self._pending.get(tx)
        if pending is None or code == ACCEPTED:
            return
        if code in _NOT_YET:
            self._handing.put_off(tx)
            return
        tx_id = pending.submitted.tx_id
        refused = Inclusion(tx_id=tx_id, height=self._replica.height, code=code)
        self._answer(tx, self._accepted(tx_id) or refused)

    async def stop(self) -> None:
        """Hand nothing over any more; whoever waits is told."""
        await self._handing.stop()
        for tx in list(self._pending):
            self._answer(tx, None)
        self._rpc.close()

    def _offered(self, tx: bytes, submitted: Submitted) -> _Pending:
        end = asyncio.get_running_loop().call_later(2 * self.patience_s, self._answer, tx, None)
        self._pending[tx] = _Pending(submitted, end)
        self._handing.offer(tx)
        return self._pending[tx]

    def _answer(self, tx: bytes, answer: Inclusion | None) -> None:
        """Tell whoever waits, None for that it did not become final, and offer it no longer."""
        pending = self._pending.pop(tx)
        pending.end.cancel()
        self._handing.withdraw(tx)
        for waiting in pending.waiting:
            if waiting.done():
                continue  # Out of patience, or gone.
            if answer is None:
                waiting.set_exception(NotFinalError(height=self._replica.height))
            else:
                waiting.set_result(answer)

    def _accepted(self, tx_id: Digest) -> Inclusion | None:
        known = self._replica.inclusion(tx_id)
        return known if known is not None and known.code == ACCEPTED else None

    def _committed(self, stored: StoredBlock) -> None:
        """Answer whoever waits for a transaction of this block. Other bytes of the same id do not speak for it."""
        for tx, result in zip(stored.block.txs, stored.results, strict=True):
            if tx in self._pending:
                here = Inclusion(tx_id=result.tx_id, height=stored.header.height, code=result.code)
                self._answer(tx, here if result.code == ACCEPTED else self._accepted(result.tx_id) or here)
        over = [tx for tx, one in self._pending.items() if one.submitted.body.valid_until < stored.header.time]
        for tx in over:
            self._answer(tx, None)


async def _no_receipts(tx_id: Digest) -> Record:
    raise NotFoundError(tx_id=tx_id)
