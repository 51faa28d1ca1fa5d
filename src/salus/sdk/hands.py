"""Who does pure work for the members of this process: the event loop itself, or other cores while somebody lends them.

An import lends worker processes for as long as it runs. A worker that dies takes nothing with it but time: its work is
pure, so it is done again here. What is durable, and when, does not depend on who worked.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager

from salus.core.work import Work


class Hands:
    """For one event loop."""

    def __init__(self) -> None:
        self._lent: Executor | None = None

    @property
    def are_many(self) -> bool:
        """Whether other cores are lent now."""
        return self._lent is not None

    async def carry(self, work: Work, given: bytes) -> bytes:
        """Get work done, elsewhere if there is an elsewhere. Satisfies `core.work.Carry`."""
        pool = self._lent
        if pool is None:
            return work(given)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work, given)
        except BrokenExecutor:
            if self._lent is pool:
                self._lent = None
            return work(given)

    @contextmanager
    def lent(self, pool: Executor) -> Iterator[None]:
        """Let a pool of processes work along until the end of the block; its owner ends it."""
        self._lent = pool
        try:
            yield
        finally:
            self._lent = None
