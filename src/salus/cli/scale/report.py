"""What follows from a run: whether it holds, what gives way first when there is more, and what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from salus.cli.scale.events import percentile
from salus.cli.scale.network import Play, Played
from salus.cli.scale.parameters import Assumed, Costs

EVENTS_MAX = 150_000  # A run's length follows from it: a few seconds for each.
SECONDS_MIN, SECONDS_MAX = 15.0, 120.0
READ_S_MAX = 2.0  # Of 95 in 100 unified views: then a clinician looks elsewhere.
BUSY_MAX = 0.9
LOADS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
SPARE = 0.6  # A machine is bought so that its busiest hour takes so much of it.
LEDGER_CORES = 2  # Machine and ordering engine.
HOURS_OF_DAY, DAYS = 24.0, 365.0
TERA = 1e12


@dataclass(frozen=True, slots=True)
class Cost:
    """For one patient and year, in the currency of the prices."""

    processors: float
    storage: float
    cores: float  # Of one member.
    terabytes: float  # Of one member, after all the years.

    @property
    def together(self) -> float:
        """Both."""
        return self.processors + self.storage


@dataclass(frozen=True, slots=True)
class Report:
    """One network."""

    usual: Played  # At its busiest hour.
    loads: tuple[tuple[float, Played], ...]  # At multiples of it, up to the one that no longer holds.
    cost: Cost

    @property
    def holds_to(self) -> float:
        """The greatest multiple of the busiest hour that holds; 0 where not even that does."""
        return max((load for load, played in self.loads if holds(played)), default=0.0)

    @property
    def bottleneck(self) -> str:
        """What gives way first: the busiest of all at the load that does not hold, else at the last one tried."""
        utilisation = self.loads[-1][1].utilisation
        return max(utilisation, key=lambda name: utilisation[name])

    @property
    def gave_way(self) -> bool:
        """Whether a load was found that does not hold."""
        return not holds(self.loads[-1][1])


def holds(played: Played) -> bool:
    """Whether what comes in also goes out, and views come in time."""
    return max(played.utilisation.values()) < BUSY_MAX and percentile(played.read_s, 0.95) <= READ_S_MAX


def report(
    costs: Costs,
    assumed: Assumed,
    seed: int,
    told: Callable[[float], None] = lambda _: None,
    loads: Sequence[float] = LOADS,
) -> Report:
    """Play a network's busiest hour, then more and more, until it gives way. Tells each load before it is played."""
    played: list[tuple[float, Played]] = []
    for load in loads:
        told(load)
        more = replace(assumed, peak=assumed.peak * load)
        played.append((load, Play(costs, more, seed).run(seconds_for(more))))
        if not holds(played[-1][1]):
            break
    return Report(played[0][1], tuple(played), cost_of(costs, assumed, played[0][1]))


def seconds_for(assumed: Assumed) -> float:
    """How long to play so that not too much happens."""
    encounter = (1 + assumed.writes) * (4 * assumed.committee + 8)
    per_s = assumed.hospitals * (assumed.encounters_per_s * encounter + assumed.consents_per_s * 4 * assumed.committee)
    return max(SECONDS_MIN, min(SECONDS_MAX, EVENTS_MAX / per_s))


def cost_of(costs: Costs, assumed: Assumed, busiest: Played) -> Cost:
    """What a member's machines and disks cost, for each of its patients and years."""
    used = busiest.utilisation["keeper and gateway"] * assumed.cores / SPARE
    cores = max(1.0, used) + LEDGER_CORES
    share = assumed.hours / (DAYS * HOURS_OF_DAY) / assumed.peak  # From the busiest hour to the year's mean.
    txs_per_year = busiest.txs_per_s * share * DAYS * HOURS_OF_DAY * 3600.0
    records = assumed.patients * assumed.encounters * assumed.writes * assumed.documents
    in_vaults, at_keepers = assumed.copies * costs.blob_bytes, assumed.committee * costs.holding_bytes
    held = records * (in_vaults + at_keepers + costs.index_bytes)
    terabytes = (held + txs_per_year * costs.state_bytes) * assumed.years_kept / TERA
    mean_terabytes = terabytes / 2.0  # It fills evenly over the years.
    return Cost(
        processors=cores * assumed.core_year / assumed.patients,
        storage=mean_terabytes * assumed.terabyte_year / assumed.patients,
        cores=cores,
        terabytes=terabytes,
    )
