"""`salus simulate-scale`: play networks of many hospitals through, say what gives way first and what it costs."""

import json
from itertools import product
from typing import Annotated

import typer

from salus.cli.output import Output, OwnStreams, own_screen
from salus.cli.scale.events import percentile
from salus.cli.scale.parameters import ParameterError, assumed_from, costs_from, shipped_costs, split
from salus.cli.scale.report import LOADS, Report, report

HOSPITALS, COMMITTEES = (100, 1_000), (4, 7)
HEAD = ("hospitals", "seats", "tx/s", "view p95", "sealed p95", "holds to", "gives way first", "€/patient, year")


def simulate_scale(
    hospitals: Annotated[list[int] | None, typer.Option(min=4, help="How many; repeat it for more networks.")] = None,
    committee: Annotated[list[int] | None, typer.Option(min=1, max=13, help="Seats for each patient.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="Another figure: delay_ms=40, machine_us=250.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of chance: the same seed plays the same hour.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Play the busiest hour of a network of many hospitals, then more, until something gives way.

    Nothing is sent and nobody is needed: what each step takes was measured, how much there is to do is assumed, and
    both can be set. The page docs/scale.md explains what comes out.

    Examples:
        salus simulate-scale
        salus simulate-scale --hospitals 300 --committee 7 --set delay_ms=40
        salus simulate-scale --set patients=20000 --set core_year=500 --json
    """
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    costs, more = split(read(given or ()))
    base = costs_from(costs, shipped_costs())
    found: list[Report] = []
    for members, seats in product(hospitals or HOSPITALS, committee or COMMITTEES):
        assumed = assumed_from({**more, "hospitals": members, "committee": seats})
        with output.progress(f"{members} hospitals, {seats} seats") as progress:
            found.append(
                report(base, assumed, seed, lambda load: progress.at(LOADS.index(load), f"{load:g} x", len(LOADS)))
            )
    if as_json:
        typer.echo(json.dumps({"networks": [as_data(one) for one in found]}))
        return
    output.table(HEAD, [row(one) for one in found])
    for one in found:
        output.say(said(one))


def read(given: list[str] | tuple[str, ...]) -> dict[str, float]:
    """`name=value` as figures.

    Raises:
        ParameterError: one is not of this form.
    """
    figures: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            figures[name] = float(value)
        except ValueError:
            raise ParameterError(parameter=name) from None
    return figures


def row(one: Report) -> tuple[str, ...]:
    """A network in the table."""
    usual, assumed = one.usual, one.usual.assumed
    return (
        str(assumed.hospitals),
        str(assumed.committee),
        f"{usual.txs_per_s:.0f}",
        f"{percentile(usual.read_s, 0.95) * 1000:.0f} ms",
        f"{percentile(usual.write_s, 0.95) * 1000:.0f} ms",
        f"{one.holds_to:g} x",
        one.bottleneck if one.gave_way else f"nothing ({one.bottleneck} is busiest)",
        f"{one.cost.together:.3f}",
    )


def said(one: Report) -> str:
    """A network in a sentence."""
    assumed, cost = one.usual.assumed, one.cost
    return (
        f"{assumed.hospitals} hospitals, {assumed.committee} seats: a member needs {cost.cores:.1f} cores and, after "
        f"{assumed.years_kept:g} years, {cost.terabytes:.1f} TB; {cost.processors:.3f} + {cost.storage:.3f} euros for "
        "a patient and year."
    )


def as_data(one: Report) -> dict[str, object]:
    """A network as plain data."""
    assumed, cost = one.usual.assumed, one.cost
    return {
        "hospitals": assumed.hospitals,
        "committee": assumed.committee,
        "validators": assumed.ordering,
        "holds_to": one.holds_to,
        "gave_way": one.gave_way,
        "bottleneck": one.bottleneck,
        "cost": {
            "processors": round(cost.processors, 5),
            "storage": round(cost.storage, 5),
            "together": round(cost.together, 5),
            "cores": round(cost.cores, 2),
            "terabytes": round(cost.terabytes, 3),
        },
        "loads": [
            {
                "load": load,
                "seconds": round(played.seconds, 1),
                "txs_per_s": round(played.txs_per_s, 2),
                "blocks_per_s": round(played.blocks_per_s, 2),
                "wire_bytes_per_s": round(played.wire_bytes_per_s),
                "read_ms": _percentiles(played.read_s),
                "sealed_ms": _percentiles(played.write_s),
                "final_ms": _percentiles(played.final_s),
                "utilisation": {name: round(share, 4) for name, share in played.utilisation.items()},
            }
            for load, played in one.loads
        ],
    }


def _percentiles(samples_s: list[float]) -> dict[str, float]:
    return {f"p{share:.0f}": round(percentile(samples_s, share / 100) * 1000, 1) for share in (50.0, 95.0)}
