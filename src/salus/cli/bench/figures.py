"""What a measurement answers: figures, what they must reach, and floors taken in the same run.

A floor is what the same work would cost bare: without network, checks or stores. It tells a slow machine from a slow
program. Names carry their unit at the end; the figures that have a target go by the same name in `targets`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Figure = int | float | str

RUNS_MIN = 30  # Below, a 95th percentile says little.


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure."""

    folder: Path | None = None  # Where networks are laid out; the system's place for temporary files if none.
    short: bool = False  # Small sizes and few runs: shows that a measurement works, and no more.
    data: Path | None = None  # FHIR R4 bundles for `seal`; the shipped sample if none.
    patients: int = 10_000  # For `seal`.


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must reach."""

    limit: float
    is_ceiling: bool

    def is_met(self, figure: Figure) -> bool:
        """Whether a figure reaches it."""
        if isinstance(figure, str):
            return False
        return figure <= self.limit if self.is_ceiling else figure >= self.limit

    def as_json(self) -> dict[str, float]:
        """As it stands in the answer."""
        return {"at_most" if self.is_ceiling else "at_least": self.limit}

    def __str__(self) -> str:
        return f"{'≤' if self.is_ceiling else '≥'} {self.limit:,g}"


def at_most(limit: float) -> Target:
    """A ceiling."""
    return Target(limit, is_ceiling=True)


def at_least(limit: float) -> Target:
    """A minimum."""
    return Target(limit, is_ceiling=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One measurement, done."""

    name: str
    figures: Mapping[str, Figure]
    targets: Mapping[str, Target]
    floors: Mapping[str, Figure]

    @property
    def met(self) -> bool:
        """Whether every target is reached."""
        return all(name in self.figures and target.is_met(self.figures[name]) for name, target in self.targets.items())

    def as_json(self) -> dict[str, object]:
        """The object that `--json` ends with."""
        return {
            "name": self.name,
            "figures": dict(self.figures),
            "targets": {name: target.as_json() for name, target in self.targets.items()},
            "floors": dict(self.floors),
            "met": self.met,
        }


def percentiles(name: str, samples_ms: Sequence[float]) -> dict[str, Figure]:
    """Median, 95th percentile and worst of a series in milliseconds, and how many there were."""
    return {
        f"{name}_p50_ms": round(percentile(samples_ms, 50), 2),
        f"{name}_p95_ms": round(percentile(samples_ms, 95), 2),
        f"{name}_max_ms": round(max(samples_ms), 2),
        f"{name}_runs": len(samples_ms),
    }


def percentile(samples: Sequence[float], rank: int) -> float:
    """The smallest sample that at least `rank` per cent do not exceed: no value that did not occur."""
    ordered = sorted(samples)
    return ordered[max(0, -(-rank * len(ordered) // 100) - 1)]


class Stopwatch:
    """Collects a series in milliseconds."""

    def __init__(self) -> None:
        self.samples_ms: list[float] = []

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Time what is done inside."""
        began = time.perf_counter()
        yield
        self.samples_ms.append((time.perf_counter() - began) * 1000)


def median_ms(work: Callable[[], object], runs: int) -> float:
    """The median of some runs of a plain function, after one to warm up."""
    work()
    watch = Stopwatch()
    for _ in range(runs):
        with watch.lap():
            work()
    return round(percentile(watch.samples_ms, 50), 3)
