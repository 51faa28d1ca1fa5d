"""How a member submits to CometBFT: hand a transaction over, wait until the own replica holds it.

The answer comes from the member's own replica when it commits the block, never from CometBFT's word. What cannot be
handed over now (still catching up, mempool full, process away) is tried again, with growing pauses, until the
transaction is final, has run out, or the caller's patience ends. To submit the same bytes again is harmless: whoever
waits for them gets the same answer.
"""

import asyncio
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Final

from salus.contracts.members.reads import parameters_of
from salus.core.clock import Clock
from salus.core.ids import Digest
from salus.core.wire import Record
from salus.engines.agreement import NotFinalError
from salus.engines.cometbft.rpc import CometRpc, EngineAwayError, EngineSaidError
from salus.engines.engine import Inclusion
from salus.engines.layout import StoredBlock
from salus.engines.ledger_copy import NotFoundError
from salus.engines.queue import BusyError
from salus.engines.replica import Replica
from salus.machine.admission import Submitted, read
from salus.machine.block import ACCEPTED
from salus.machine.errors import TooLargeError

SUBMIT_TIMEOUT_S: Final = 20.0
_PAUSE_S: Final = 0.05  # Before the second attempt; doubled each time, up to
_PAUSE_S_MAX: Final = 1.0
_AGAIN_S: Final = 3.0  # After so long without a block that holds it, hand it over again: a mempool is only memory.
_IN_CACHE: Final = "tx already exists in cache"
_NOT_YET: Final = frozenset({BusyError.code.encode()})  # Codes of a check that may be others a moment later.


class CometEngine:
    """Orders transactions through CometBFT. Satisfies `Engine`. For one event loop.

    `receipt_of` works out the proof of a final transaction.
    """

    def __init__(
        self,
        replica: Replica,
        rpc: CometRpc,
        clock: Clock,
        receipt_of: Callable[[Digest], Awaitable[Record]] | None = None,
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> None:
        self._replica = replica
        self._rpc = rpc
        self._clock = clock
        self._receipt_of = receipt_of or _no_receipts
        self.patience_s = timeout_s
        self._answers: dict[bytes, asyncio.Future[Inclusion]] = {}  # By transaction: who waits for what.
        self._handing: dict[bytes, asyncio.Task[None]] = {}
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
        answer = self._answers.get(tx)
        if answer is None:
            answer = self._answers[tx] = asyncio.get_running_loop().create_future()
            self._handing[tx] = asyncio.create_task(self._hand_over(tx, submitted, answer))
        await asyncio.wait((answer,), timeout=self.patience_s)  # Leaves the answer to others who wait for it.
        if not answer.done():
            raise NotFinalError(height=self._replica.height)
        return answer.result()

    async def receipt(self, tx_id: Digest) -> Record:
        """See `Engine.receipt`."""
        return await self._receipt_of(tx_id)

    @property
    def waiting(self) -> int:
        """How many transactions wait to become final."""
        return len(self._answers)

    async def stop(self) -> None:
        """Hand nothing over any more; whoever waits is told."""
        tasks = list(self._handing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._rpc.close()

    async def _hand_over(self, tx: bytes, submitted: Submitted, answer: "asyncio.Future[Inclusion]") -> None:
        """Offer a transaction until it is answered for; at most for twice as long as anybody waits."""
        try:
            async with asyncio.timeout(2 * self.patience_s):
                pause_s = _PAUSE_S
                while not answer.done() and submitted.body.valid_until >= self._replica.time:
                    handed = await self._offered(tx, submitted, answer)
                    await asyncio.wait((answer,), timeout=_AGAIN_S if handed else pause_s * (0.5 + random.random()))
                    pause_s = _PAUSE_S if handed else min(2 * pause_s, _PAUSE_S_MAX)
        except TimeoutError:
            pass
        finally:
            self._answers.pop(tx, None)
            self._handing.pop(tx, None)
            if not answer.done():
                answer.set_exception(NotFinalError(height=self._replica.height))
                answer.exception()  # Marked as seen: whoever submitted it may have gone.

    async def _offered(self, tx: bytes, submitted: Submitted, answer: "asyncio.Future[Inclusion]") -> bool:
        """Whether the mempool holds it now. A refusal by the check is an answer."""
        try:
            said = await self._rpc.call("broadcast_tx_sync", tx=b64encode(tx).decode())
        except EngineAwayError:
            return False
        except EngineSaidError as error:
            return _IN_CACHE in error.said
        if said["code"] == 0:
            return True
        code = bytes.fromhex(said["data"])
        if code in _NOT_YET:
            return False
        if not answer.done():
            refused = Inclusion(tx_id=submitted.tx_id, height=self._replica.height, code=code.decode())
            answer.set_result(self._accepted(submitted.tx_id) or refused)
        return True

    def _accepted(self, tx_id: Digest) -> Inclusion | None:
        known = self._replica.inclusion(tx_id)
        return known if known is not None and known.code == ACCEPTED else None

    def _committed(self, stored: StoredBlock) -> None:
        """Answer whoever waits for a transaction of this block. Other bytes of the same id do not speak for it."""
        for tx, result in zip(stored.block.txs, stored.results, strict=True):
            answer = self._answers.get(tx)
            if answer is not None and not answer.done():
                here = Inclusion(tx_id=result.tx_id, height=stored.header.height, code=result.code)
                answer.set_result(here if result.code == ACCEPTED else self._accepted(result.tx_id) or here)


async def _no_receipts(tx_id: Digest) -> Record:
    raise NotFoundError(tx_id=tx_id)
