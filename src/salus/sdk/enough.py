"""Asking many at once without waiting for the slowest: on with enough good answers, after a short grace for the rest.

One member that answers late must not set everybody's pace. What is late either goes on by itself, because the receiver
has a use for it, or is let go.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from salus.core.errors import SalusError

GRACE_S = 0.15  # For answers that are under way when there are enough: they make a batch durable, or a view whole.


K = TypeVar("K")
R = TypeVar("R")


class Asked(Generic[K, R]):
    """Calls that are under way, and what has come back of them."""

    def __init__(self, calls: Mapping[K, Coroutine[object, object, R]]) -> None:
        self._pending = {asyncio.get_running_loop().create_task(call): key for key, call in calls.items()}
        self.replies: dict[K, R | SalusError] = {}

    @property
    def waiting_for(self) -> list[K]:
        """Whose answers are still to come."""
        return list(self._pending.values())

    async def until(self, is_enough: Callable[[Mapping[K, R | SalusError]], bool], grace_s: float = GRACE_S) -> None:
        """Wait until all have answered, or those that have are enough and the grace is over.

        Errors of the four families are answers; any other is raised here, and the rest let go.
        """
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        try:
            while self._pending:
                if deadline is None and is_enough(self.replies):
                    deadline = loop.time() + grace_s
                wait_s = None if deadline is None else max(0.0, deadline - loop.time())
                done, _ = await asyncio.wait(self._pending, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._take(task)
                if not done and deadline is not None:
                    return
        except BaseException:
            self.let_go()
            raise

    def let_go(self) -> None:
        """Ask no longer."""
        for task in self._pending:
            task.cancel()
        self._pending.clear()

    def go_on(self, late: set[asyncio.Task[Any]]) -> None:
        """Leave what is under way to itself, among the `late`, who end with their gateway."""
        for task in self._pending:
            late.add(task)
            task.add_done_callback(late.discard)
            task.add_done_callback(_forget)
        self._pending.clear()

    def _take(self, task: asyncio.Task[R]) -> None:
        key = self._pending.pop(task)
        error = task.exception()
        if error is None:
            self.replies[key] = task.result()
        elif isinstance(error, SalusError):
            self.replies[key] = error
        else:
            raise error


def _forget(task: asyncio.Task[Any]) -> None:
    """A peer that fails late is like one that is away; a defect of our own is for the loop's handler to report."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, SalusError):
        task.get_loop().call_exception_handler({"message": "a late call failed", "exception": error, "task": task})
