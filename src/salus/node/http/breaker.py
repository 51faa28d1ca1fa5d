"""A circuit breaker: who has failed several times in a row is left alone for a while, then tried with one call."""

import random
from collections.abc import Callable

FAILURES_MAX = 5
OPEN_S = 0.5
OPEN_S_MAX = 2.0  # A member that started again should be missed no longer.


class Breaker:
    """Watches the calls to one place. `closed` lets all through, `open` none, `half-open` one."""

    def __init__(self, now_s: Callable[[], float], failures_max: int = FAILURES_MAX, open_s: float = OPEN_S) -> None:
        self._now_s = now_s
        self._failures_max = failures_max
        self._open_s_first = open_s
        self._open_s = open_s
        self._failures = 0
        self._until_s = 0.0
        self._is_probing = False

    @property
    def state(self) -> str:
        """One word, for people."""
        if self._failures < self._failures_max:
            return "closed"
        return "open" if self._is_probing or self._now_s() < self._until_s else "half-open"

    def admits(self) -> bool:
        """Whether a call may go out; whoever got a yes says afterwards how it went."""
        if self._failures < self._failures_max:
            return True
        if self._is_probing or self._now_s() < self._until_s:
            return False
        self._is_probing = True
        return True

    def succeeded(self) -> None:
        """The peer answered, whatever it said."""
        self._failures, self._is_probing, self._open_s = 0, False, self._open_s_first

    def failed(self) -> None:
        """The peer did not answer."""
        self._failures += 1
        self._is_probing = False
        if self._failures >= self._failures_max:
            self._until_s = self._now_s() + self._open_s * random.uniform(0.5, 1.0)
            self._open_s = min(2 * self._open_s, OPEN_S_MAX)

    def given_up(self) -> None:
        """The caller lost interest: nothing is known."""
        self._is_probing = False
