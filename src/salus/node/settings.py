"""What members may be opened with. The defaults are for people; tests turn clocks and plug faults in."""

import time
from dataclasses import dataclass

from salus.core.clock import Clock
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import TimeMs
from salus.engines.embedded import HEARTBEAT_S

TEND_EVERY_S = 10.0


def system_clock() -> TimeMs:
    """This machine's time."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Clock, faults and rhythm."""

    clock: Clock = system_clock
    heartbeat_s: float = HEARTBEAT_S
    faults: Faults = NO_FAULTS
    tend_every_s: float | None = TEND_EVERY_S  # None: only when `tend` is called.
