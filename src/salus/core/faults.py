"""Named places where a test can make a durable step fail, before it is kept and after.

Every write to a disk, vault or peer passes `step` on both sides, so that faults come in pairs: *failed and not kept*,
*failed but kept*. In a running member `NO_FAULTS` does nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Faults(Protocol):
    """What a test plugs in."""

    def hit(self, point: str) -> None:
        """Called at `name:before` and `name:after` each durable step; raises to simulate a crash there."""


class NoFaults:
    """Nothing fails on purpose."""

    def hit(self, point: str) -> None:
        """Do nothing."""


NO_FAULTS = NoFaults()


@contextmanager
def step(faults: Faults, name: str) -> Iterator[None]:
    """Mark one durable step."""
    faults.hit(f"{name}:before")
    yield
    faults.hit(f"{name}:after")
