"""The cyclic garbage collector of a process that serves: kept off the path of answers.

What members hold at the start lives as long as they do, and what messages are made of cannot be part of a cycle, so
the collector finds next to nothing; yet a full round stops every member of the process for tens of milliseconds. It is
told to leave alone what is there at the start, and to look at the rest far less often.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

_YOUNG_MAX = 10_000  # Objects made and not let go before the youngest are looked at.
_ROUNDS = (20, 50)  # Of the younger before the next older, so that a full round is rare.


class CalmCollector:
    """Calm from `begin` to `end`. Where several overlap, the last to end sets everything back."""

    _calm: ClassVar[set["CalmCollector"]] = set()
    _before: ClassVar[tuple[int, int, int]] = gc.get_threshold()

    def begin(self) -> None:
        """Leave alone what is there now."""
        if not self._calm:
            CalmCollector._before = gc.get_threshold()
            gc.set_threshold(_YOUNG_MAX, *_ROUNDS)
        self._calm.add(self)
        gc.freeze()

    def end(self) -> None:
        """Collect as before, once nobody else wants it calm. To end twice, or without beginning, is harmless."""
        if self in self._calm:
            self._calm.remove(self)
            if not self._calm:
                gc.unfreeze()
                gc.set_threshold(*self._before)


@contextmanager
def calm_collector() -> Iterator[None]:
    """Keep the collector calm for as long as this block runs."""
    collector = CalmCollector()
    collector.begin()
    try:
        yield
    finally:
        collector.end()
