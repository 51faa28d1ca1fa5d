"""A discrete-event simulation: things happen one after the other on a clock of their own, and wait in queues."""

import heapq
from collections.abc import Callable
from itertools import count

Then = Callable[[], None]


class Events:
    """What is still to happen. Equal times keep the order in which they were asked for, so a seed gives one story."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.happened = 0
        self._due: list[tuple[float, int, Then]] = []
        self._order = count()

    def after(self, delay_s: float, then: Then) -> None:
        """Let something happen so much later."""
        heapq.heappush(self._due, (self.now_s + delay_s, next(self._order), then))

    def run(self, until_s: float) -> None:
        """Let everything happen that is due before a time."""
        while self._due and self._due[0][0] < until_s:
            self.now_s, _, then = heapq.heappop(self._due)
            self.happened += 1
            then()
        self.now_s = until_s


class Server:
    """So many cores with one queue before them: first come, first served."""

    def __init__(self, events: Events, cores: int = 1) -> None:
        self._events = events
        self._free_at_s = [0.0] * cores
        self.busy_s = 0.0

    def serve(self, work_s: float, then: Then) -> None:
        """Do so much work as soon as a core is free, then go on."""
        start_s = max(self._events.now_s, self._free_at_s[0])
        heapq.heapreplace(self._free_at_s, start_s + work_s)
        self.busy_s += work_s
        self._events.after(start_s + work_s - self._events.now_s, then)

    def utilisation(self, over_s: float) -> float:
        """The share of its time that it was asked to work; above 1 the queue grows."""
        return self.busy_s / over_s / len(self._free_at_s)


def percentile(samples: list[float], share: float) -> float:
    """The sample below which this share lies; 0 where there are none."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
