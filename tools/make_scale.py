"""Writes docs/scale.md's tables and charts from played networks, which lie in docs/scale/played.json.

`.venv/bin/python -m tools.make_scale --play` plays them first (about two minutes); without it, only tables and charts
are made. The words around the tables stay. A test holds the page, the charts and what was played together.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from salus.cli.scale.command import as_data
from salus.cli.scale.parameters import Assumed, Costs, assumed_from, shipped_costs, shipped_machine, shipped_sources
from salus.cli.scale.report import LOADS, report
from tools.chart import Line, chart

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
FOLDER = PAGE.with_suffix("")
PLAYED = FOLDER / "played.json"
SEED = 1
SIZES = [(100, 4), (100, 7), (1_000, 4), (1_000, 7)]
DELAYS_MS = (2.0, 15.0, 40.0, 100.0)  # A town; a country, or a few; a continent; two.
UNITS = {"us": "µs", "bytes": "bytes", "ms": "ms", "s": "s", "year": "€ a year"}

Networks = list[dict[str, Any]]


def play() -> dict[str, Any]:
    """All networks of the page: four sizes under more and more load, and one of them at other distances."""
    costs = shipped_costs()
    usual = Assumed().delay_ms
    return {
        "seed": SEED,
        "costs": asdict(costs),
        "assumed": asdict(Assumed()),
        "sizes": [_played(costs, usual, hospitals, committee, LOADS) for hospitals, committee in SIZES],
        "delays": [
            {"delay_ms": delay_ms, **_played(costs, delay_ms, hospitals, committee, LOADS[:1])}
            for hospitals, committee in ((100, 4), (1_000, 7))
            for delay_ms in DELAYS_MS
        ],
    }


def _played(costs: Costs, delay_ms: float, hospitals: int, committee: int, loads: Sequence[float]) -> dict[str, Any]:
    print(f"{hospitals} hospitals, {committee} seats, {delay_ms:g} ms", file=sys.stderr)
    assumed = assumed_from({"hospitals": hospitals, "committee": committee, "delay_ms": delay_ms})
    return as_data(report(costs, assumed, SEED, loads=loads))


def tables(played: dict[str, Any]) -> dict[str, list[str]]:
    """The page's tables by name."""
    return {
        "networks": list(_networks(played["sizes"])),
        "delays": list(_delays(played["delays"])),
        "costs": list(_costs(played["costs"])),
        "assumed": list(_assumed(played["assumed"])),
    }


def _networks(sizes: Networks) -> Iterator[str]:
    heads = "hospitals|seats|tx/s|view, p95|sealed, p95|holds to|gives way first|cores|TB|€ a patient and year"
    yield f"| {heads.replace('|', ' | ')} |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |"
    for one in sizes:
        first, cost = one["loads"][0], one["cost"]
        way = one["bottleneck"] if one["gave_way"] else f"nothing yet; {one['bottleneck']} is busiest"
        holds = f"{one['holds_to']:g} ×" if one["gave_way"] else f"≥ {one['holds_to']:g} ×"
        yield (
            f"| {one['hospitals']} | {one['committee']} | {first['txs_per_s']:.0f} | {first['read_ms']['p95']:.0f} ms "
            f"| {first['sealed_ms']['p95']:.0f} ms | {holds} | {way} | {cost['cores']:.1f} "
            f"| {cost['terabytes']:.1f} | {cost['processors']:.3f} + {cost['storage']:.3f} |"
        )


def _delays(delays: Networks) -> Iterator[str]:
    yield "| one way | hospitals | seats | final, p95 | unified view, p95 | sealed and final, p95 |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in delays:
        (load,) = one["loads"]
        figures = " | ".join(f"{load[name]['p95']:.0f} ms" for name in ("final_ms", "read_ms", "sealed_ms"))
        yield f"| {one['delay_ms']:g} ms | {one['hospitals']} | {one['committee']} | {figures} |"


def _costs(costs: dict[str, float]) -> Iterator[str]:
    yield f"Measured on {shipped_machine()}."
    yield ""
    yield "| figure | | from |"
    yield "| --- | ---: | --- |"
    for name, source in shipped_sources().items():
        yield f"| `{name}` | {_amount(name, costs[name])} | {source} |"


def _assumed(assumed: dict[str, float]) -> Iterator[str]:
    yield "| figure | assumed |"
    yield "| --- | ---: |"
    for field in fields(Assumed):
        if field.name not in ("hospitals", "committee"):
            yield f"| `{field.name}` | {_amount(field.name, assumed[field.name])} |"


def _amount(name: str, value: float) -> str:
    return f"{value:,.10g} {UNITS.get(name.rpartition('_')[2], '')}".strip()


def charts(played: dict[str, Any]) -> dict[str, str]:
    """The page's charts by file."""
    sizes: Networks = played["sizes"]
    widest = sizes[2]
    kinds = list(widest["loads"][0]["utilisation"])
    return {
        "views.svg": chart(
            "Unified view under load",
            ("load, × the busiest hour", "95 in 100 within, ms"),
            [_line(one, lambda load: load["read_ms"]["p95"]) for one in sizes],
        ),
        "busy.svg": chart(
            f"{widest['hospitals']} hospitals, {widest['committee']} seats: how busy a member is",
            ("load, × the busiest hour", "busy, % of the time"),
            [
                Line(kind, [(load["load"], 100 * load["utilisation"][kind]) for load in widest["loads"]])
                for kind in kinds
            ],
        ),
        "delays.svg": chart(
            "Unified view by distance",
            ("one way between two members, ms", "95 in 100 within, ms"),
            [
                Line(
                    f"{hospitals} hospitals, {committee} seats",
                    [
                        (one["delay_ms"], one["loads"][0]["read_ms"]["p95"])
                        for one in played["delays"]
                        if (one["hospitals"], one["committee"]) == (hospitals, committee)
                    ],
                )
                for hospitals, committee in ((100, 4), (1_000, 7))
            ],
        ),
    }


def _line(one: dict[str, Any], figure: Callable[[dict[str, Any]], float]) -> Line:
    name = f"{one['hospitals']} hospitals, {one['committee']} seats"
    return Line(name, [(load["load"], figure(load)) for load in one["loads"]])


def filled(page: str, tables: dict[str, list[str]]) -> str:
    """The page with these tables between their marks, `<!-- name -->` and `<!-- end -->`."""
    for name, lines in tables.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not mark or not end:
            raise ValueError(f"The page has no place for {name}.")
        page = before + mark + "\n" + "\n".join(lines) + "\n\n" + end + after
    return page


def main() -> None:
    """Write all of it."""
    FOLDER.mkdir(exist_ok=True)
    if "--play" in sys.argv[1:]:
        PLAYED.write_text(json.dumps(play(), indent=1) + "\n")
    played = json.loads(PLAYED.read_text())
    for name, drawn in charts(played).items():
        (FOLDER / name).write_text(drawn)
    PAGE.write_text(filled(PAGE.read_text(), tables(played)))


if __name__ == "__main__":
    main()
