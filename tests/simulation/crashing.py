"""A process that ends at one durable step: what a test plugs into `Settings.faults`."""

from dataclasses import dataclass, field


class Crash(Exception):
    """The process ends here."""


@dataclass
class CrashAt:
    """Ends the process at one point, once; remembers all it passed."""

    point: str = ""
    passed: list[str] = field(default_factory=list)

    def hit(self, point: str) -> None:
        self.passed.append(point)
        if point == self.point:
            self.point = ""
            raise Crash(point)
