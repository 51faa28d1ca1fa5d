"""Who does pure work for the members of this process: the event loop itself, or other cores while somebody lends them.

An import lends worker processes for as long as it runs. A worker that dies takes nothing with it but time: its work is
pure, so it is done again here. What is durable, and when, does not depend on who worked.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager

from salus.core.work import Work

_Piece = tuple[bytes, "asyncio.Future[bytes]"]


class Hands:
    """For one event loop."""

    def __init__(self) -> None:
        self._lent: Executor | None = None
        self._gathered: dict[Work, list[_Piece]] = {}
        self._going: set[asyncio.Task[None]] = set()

    @property
    def are_many(self) -> bool:
        """Whether other cores are lent now."""
        return self._lent is not None

    async def carry(self, work: Work, given: bytes) -> bytes:
        """Get work done, elsewhere if there is an elsewhere. Satisfies `core.work.Carry`."""
        return (await self._carried(work, [given]))[0]

    async def carry_together(self, work: Work, given: bytes) -> bytes:
        """As `carry`, in one go with what others want of this work in the same turn of the loop."""
        if self._lent is None:
            return work([given])[0]
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        pieces = self._gathered.setdefault(work, [])
        pieces.append((given, answer))
        if len(pieces) == 1:
            loop.call_soon(self._send, work)
        return await answer

    @contextmanager
    def lent(self, pool: Executor) -> Iterator[None]:
        """Let a pool of processes work along until the end of the block; its owner ends it."""
        self._lent = pool
        try:
            yield
        finally:
            self._lent = None

    def _send(self, work: Work) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(work, self._gathered.pop(work)))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _answer(self, work: Work, pieces: list[_Piece]) -> None:
        try:
            answers = await self._carried(work, [given for given, _ in pieces])
        except Exception as error:  # It is theirs who asked, each of them.
            for _, waiting in pieces:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(pieces, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)

    async def _carried(self, work: Work, given: list[bytes]) -> list[bytes]:
        pool = self._lent
        if pool is None:
            return work(given)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work, given)
        except BrokenExecutor:
            if self._lent is pool:
                self._lent = None
            return work(given)
