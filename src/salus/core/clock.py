"""Time as a member's own clock tells it: passed in, never fetched, so that rooms stay quiet and tests can turn it."""

from collections.abc import Callable

from salus.core.ids import TimeMs

Clock = Callable[[], TimeMs]
