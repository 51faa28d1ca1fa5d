"""Replies remembered by the caller's key, so that a request that is sent again is carried out once.

This spares work and surprises after a lost reply; it is no guarantee. Memory is bounded for each peer: the oldest go
first, and a reply larger than a peer's share is not kept at all. What is forgotten is carried out again, which every
message allows: each creates what must be new or consumes what must be current.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from salus.core.ids import MIB_BYTES, Digest, MemberId
from salus.node.http.errors import OtherRequestError, OverloadedError

KEPT_S = 600.0
BYTES_MAX = 16 * MIB_BYTES  # Per peer.
COUNT_MAX = 10_000  # Per peer.
STOPPED_MS = 1000  # A member that stops may be back by then.

Work = Callable[[], Awaitable[bytes]]


@dataclass(slots=True)
class _Kept:
    body: Digest
    ends_s: float
    task: "asyncio.Task[bytes]"
    size_bytes: int = 0


class Replies:
    """One member's memory of what it answered whom."""

    def __init__(
        self,
        now_s: Callable[[], float],
        is_final: Callable[[bytes], bool],
        *,
        kept_s: float = KEPT_S,
        bytes_max: int = BYTES_MAX,
        count_max: int = COUNT_MAX,
    ) -> None:
        self._now_s = now_s
        self._is_final = is_final  # A peer that was told to come back must be heard when it does.
        self._kept_s = kept_s
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._peers: dict[MemberId, OrderedDict[bytes, _Kept]] = {}
        self._sizes: dict[MemberId, int] = {}

    async def once(self, peer: MemberId, key: bytes, request: bytes, work: Work) -> bytes:
        """The reply to a request: remembered, awaited where it is under way, or made now.

        A caller that goes away does not stop the work; it may come back for the reply.

        Raises:
            OtherRequestError: the key was used for other bytes.
            OverloadedError: all work was stopped.
        """
        kept = self._peers.setdefault(peer, OrderedDict())
        self._forget(peer, kept)
        body, known = hashlib.sha256(request).digest(), kept.get(key)
        if known is None:
            task = asyncio.ensure_future(work())
            known = kept[key] = _Kept(body, self._now_s() + self._kept_s, task)
            task.add_done_callback(lambda done: self._done(peer, key, done))
        elif known.body != body:
            raise OtherRequestError
        try:
            return await asyncio.shield(known.task)
        except asyncio.CancelledError:
            if not known.task.cancelled():
                raise  # It was the caller that was stopped.
            raise OverloadedError(wait_ms=STOPPED_MS) from None

    def size_bytes(self, peer: MemberId) -> int:
        """How much is remembered for a peer."""
        return self._sizes.get(peer, 0)

    async def close(self) -> None:
        """Stop what is under way, and forget all."""
        tasks = [kept.task for peer in self._peers.values() for kept in peer.values() if not kept.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._peers.clear()
        self._sizes.clear()

    def _done(self, peer: MemberId, key: bytes, task: "asyncio.Task[bytes]") -> None:
        kept = self._peers.get(peer, OrderedDict())
        if key not in kept:
            return
        failed = task.cancelled() or task.exception() is not None
        if failed or len(task.result()) > self._bytes_max or not self._is_final(task.result()):
            del kept[key]
            return
        kept[key].size_bytes = len(task.result())
        self._sizes[peer] = self._sizes.get(peer, 0) + kept[key].size_bytes
        self._forget(peer, kept)

    def _forget(self, peer: MemberId, kept: OrderedDict[bytes, _Kept]) -> None:
        """Drop what is over its time, then the oldest while there is too much; what is under way stays."""
        now = self._now_s()
        for _ in range(len(kept)):
            key, one = next(iter(kept.items()))
            is_too_much = self._sizes.get(peer, 0) > self._bytes_max or len(kept) > self._count_max
            if now < one.ends_s and not is_too_much:
                return
            if one.task.done():
                del kept[key]
                self._sizes[peer] = self._sizes.get(peer, 0) - one.size_bytes
            else:
                kept.move_to_end(key)
