"""`network`: four members as processes of this machine, CometBFT between them, callers on the same cores.

Our ledger and CometBFT's kvstore run side by side and take turns under the same load, so that whatever else the machine
does meanwhile falls on both; what is compared with the floor is the median of the rounds' ratios. Processor time is
that of all processes of four members, and does not depend on who else wants the cores.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from salus.cli.bench.figures import RUNS_MIN, Figure, Options, Outcome, at_least, at_most, percentile
from salus.cli.bench.network.beginning import begun
from salus.cli.bench.network.floor import kvstores
from salus.cli.bench.network.load import Load, Network, at_rate, saturated
from salus.cli.bench.network.ordering import ledgers
from salus.cli.bench.network.processes import terminated_in_order
from salus.cli.bench.network.whole import consented, idled, returned, sealed, viewed, whole
from salus.engines.cometbft.supervisor import OUR_MAIN, STOCK, find_named

NAME = "network"
TARGETS = {
    "up_s": at_most(15),
    "kvstore_ratio": at_least(0.40),
    "stock_kvstore_ratio": at_least(0.30),
    "finality_20_p50_ms": at_most(60),
    "finality_20_p95_ms": at_most(160),
    "finality_half_p95_ms": at_most(200),
    "records_per_s": at_least(2_000),
    "first_1000_p95_ms": at_most(400),
    "grant_p95_ms": at_most(350),
    "revoke_p95_ms": at_most(350),
    "return_s": at_most(10),
    "idle_cpu_percent": at_most(15),
}
QUIET_PER_S = 20

Figures = dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of what."""

    callers: int = 2_000
    warm_txs: int = 2_000
    round_txs: int = 3_000
    rounds: int = 3
    quiet_s: int = 15
    half_s: int = 8
    patients: int = 40
    records: int = 1_000
    runs: int = RUNS_MIN
    idle_s: int = 15


SHORT = Sizes(
    callers=16, warm_txs=16, round_txs=64, rounds=1, quiet_s=1, half_s=1, patients=1, records=10, runs=2, idle_s=1
)


def measure(options: Options) -> Outcome:
    """`short` shows that each figure can be had."""
    with terminated_in_order():
        return asyncio.run(_measure(options.folder, SHORT if options.short else Sizes()))


async def _measure(folder: Path | None, sizes: Sizes) -> Outcome:
    figures: Figures = {}
    floors: Figures = {}
    with tempfile.TemporaryDirectory(prefix="salus-bench-", dir=folder) as name:
        for prefix, binary in (("", OUR_MAIN), ("stock_", STOCK)):
            more, bare = await _ordered(Path(name) / binary, find_named(binary), sizes, quiet=binary == OUR_MAIN)
            figures |= {prefix + key: value for key, value in more.items()}
            floors |= {prefix + key: value for key, value in bare.items()}
        figures |= await begun(made(Path(name) / "begun"))
        more, bare = await _felt(Path(name) / "whole", sizes)
    figures |= more
    floors |= bare
    return Outcome(NAME, figures, TARGETS, floors)


async def _felt(place: Path, sizes: Sizes) -> tuple[Figures, Figures]:
    """What people and operators see of a whole network."""
    charts = made(place / "charts")
    async with whole(place / "network") as network:
        figures = await idled(network, sizes.idle_s)
        more, floors = await sealed(network, charts, sizes.patients)
        figures |= more
        figures |= await consented(network, sizes.runs)
        figures |= await viewed(network, sizes.records, sizes.runs)
        return figures | await returned(network), floors


def made(folder: Path) -> Path:
    """A folder that is there."""
    folder.mkdir(parents=True)
    return folder


async def _ordered(place: Path, binary: Path, sizes: Sizes, *, quiet: bool) -> tuple[Figures, Figures]:
    """Our network and kvstores on one binary: saturated in turn, then ours at two rates."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(ledgers(place / "ours", binary))
        bare, batched = await stack.enter_async_context(kvstores(place / "kvstore", binary))
        ours_loads, bare_loads, batched_loads = await _in_turn((ours, bare, batched), sizes)
        figures = _rates("", ours_loads)
        floors = _rates("kvstore_", bare_loads) | _rates("kvstore_batched_", batched_loads)
        for name, loads in (("kvstore", bare_loads), ("kvstore_batched", batched_loads)):
            pairs = zip(ours_loads, loads, strict=True)
            figures[f"{name}_ratio"] = round(median(own.per_s / floor.per_s for own, floor in pairs), 3)
            figures[f"{name}_cpu_ratio"] = round(_cpu_s(loads) / _cpu_s(ours_loads), 3)
        if quiet:
            half_per_s = median(load.per_s for load in ours_loads) / 2
            figures |= await _finality("finality_20", ours, QUIET_PER_S, sizes.quiet_s)
            floors |= await _finality("kvstore_finality_20", bare, QUIET_PER_S, sizes.quiet_s)
            figures |= await _finality("finality_half", ours, half_per_s, sizes.half_s)
    return figures, floors


async def _in_turn(networks: Sequence[Network], sizes: Sizes) -> list[list[Load]]:
    loads: list[list[Load]] = [[] for _ in networks]
    for network in networks:
        await saturated(network, sizes.callers, sizes.warm_txs)
    for _ in range(sizes.rounds):
        for network, found in zip(networks, loads, strict=True):
            found.append(await saturated(network, sizes.callers, sizes.round_txs))
    return loads


def _rates(prefix: str, loads: list[Load]) -> Figures:
    txs = sum(len(load.waits_ms) for load in loads)
    assert not any(load.refused for load in loads), "Something was refused."
    used: Mapping[str, float] = {kind: sum(load.processor_s[kind] for load in loads) for kind in loads[0].processor_s}
    return {
        f"{prefix}txs_per_s": round(median(load.per_s for load in loads)),
        f"{prefix}tx_bytes": round(sum(load.sizes_bytes for load in loads) / txs),
        **{f"{prefix}{kind}_cpu_s_per_1000_txs": round(1_000 * seconds / txs, 3) for kind, seconds in used.items()},
    }


def _cpu_s(loads: list[Load]) -> float:
    """Processor time of everybody, for one transaction."""
    return sum(sum(load.processor_s.values()) for load in loads) / sum(len(load.waits_ms) for load in loads)


async def _finality(name: str, network: Network, per_s: float, seconds: int) -> Figures:
    load = await at_rate(network, per_s, max(4, round(per_s * seconds)))
    return {
        f"{name}_p50_ms": round(percentile(load.waits_ms, 50), 1),
        f"{name}_p95_ms": round(percentile(load.waits_ms, 95), 1),
        f"{name}_max_ms": round(max(load.waits_ms), 1),
        f"{name}_txs": len(load.waits_ms),
    }
