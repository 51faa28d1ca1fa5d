"""`salus bench`: choose measurements, run each, show what it found; `--json` for programs and for keeping.

Exit code 1 where a target is missed, unless `--short`: that form shows that a measurement works, never how fast.
"""

import json
import os
import platform
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from salus.cli.bench.figures import Figure, Options, Outcome, Target

# `seal` first, so that the peak of memory is its own.
MODULES = {
    "seal": "sealing",
    "read": "reading",
    "consent": "consenting",
    "decide": "deciding",
    "ledger": "ledger",
    "growth": "growing",
    "log": "logs",
    "verify": "verifying",
    "size": "sizing",
    "wire": "wiring",
    "network": "network.measuring",
    "joining": "network.joining",
}
ALL = "all"


def bench(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(MODULES)}, or all.")] = ALL,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Small and quick: whether it works, not how fast.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to lay out networks: the disk to measure.")] = None,
    data: Annotated[Path | None, typer.Option(help="For seal: a folder of FHIR R4 bundles.")] = None,
    patients: Annotated[int, typer.Option(min=1, help="For seal: how many patients at least.")] = 10_000,
) -> None:
    """Measure speed, memory and sizes, with floors in the same run.

    Examples:
        salus bench read
        salus bench seal --patients 500 --json
        salus bench all --short
    """
    names = list(MODULES) if name == ALL else [name]
    if not set(names) <= set(MODULES):
        raise typer.BadParameter(f"no such measurement: {name}; there are {', '.join(MODULES)}, and all")
    tell_machine(as_json)
    options = Options(folder, short, data, patients)
    outcomes = []
    for one in names:
        outcomes.append(run(one, options))
        tell(outcomes[-1], as_json)
    if name == ALL:
        whole = together(outcomes)
        typer.echo(json.dumps(whole.as_json()) if as_json else f"{len(outcomes)} measured, {said(whole)}")
    if not short and not all(outcome.met for outcome in outcomes):
        raise typer.Exit(1)


def run(name: str, options: Options) -> Outcome:
    """Take one measurement."""
    outcome = import_module(f"salus.cli.bench.{MODULES[name]}").measure(options)
    assert isinstance(outcome, Outcome)
    return outcome


def together(outcomes: list[Outcome]) -> Outcome:
    """All outcomes as one, each figure under `<measurement>.<figure>`."""
    figures: dict[str, Figure] = {}
    targets: dict[str, Target] = {}
    floors: dict[str, Figure] = {}
    for one in outcomes:
        figures |= {f"{one.name}.{key}": value for key, value in one.figures.items()}
        targets |= {f"{one.name}.{key}": value for key, value in one.targets.items()}
        floors |= {f"{one.name}.{key}": value for key, value in one.floors.items()}
    return Outcome(ALL, figures, targets, floors)


def machine() -> dict[str, Figure]:
    """What was measured on, and how busy it was before."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "model": _model(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def tell_machine(as_json: bool) -> None:
    """The first line: figures mean nothing without it."""
    found = machine()
    if as_json:
        typer.echo(json.dumps({"machine": found}))
    else:
        typer.echo(
            f"{found['cores']} cores of {found['model']}, {found['system']}, Python {found['python']}; "
            f"load before {found['load_1_min']}"
        )


def tell(outcome: Outcome, as_json: bool) -> None:
    """One measurement, as a line of JSON or a table."""
    if as_json:
        typer.echo(json.dumps(outcome.as_json()))
        return
    table = Table(title=f"{outcome.name}: {said(outcome)}", title_justify="left")
    for column in ("figure", "value", "target", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    for key, value in outcome.figures.items():
        target = outcome.targets.get(key)
        verdict = "" if target is None else ("met" if target.is_met(value) else "missed")
        table.add_row(key, _shown(value), "" if target is None else str(target), verdict)
    for key, value in outcome.floors.items():
        table.add_row(key, _shown(value), "floor", "")
    Console(soft_wrap=True).print(table)


def said(outcome: Outcome) -> str:
    """Whether its targets are met, in words."""
    missed = _missed(outcome.figures, outcome.targets)
    return f"{len(missed)} of {len(outcome.targets)} targets missed" if missed else "all targets met"


def _missed(figures: Mapping[str, Figure], targets: Mapping[str, Target]) -> list[str]:
    return [name for name, target in targets.items() if name not in figures or not target.is_met(figures[name])]


def _shown(value: Figure) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
