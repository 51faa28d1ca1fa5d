"""The command: choose attacks, carry each out in a world of its own or a shared one, show what came of them."""

import asyncio
import json
import pkgutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from salus.cli import drill as package
from salus.cli.drill.attack import ATTACKS, Attack, Outcome
from salus.cli.drill.world import World, new_world
from salus.core.errors import SalusError

_STYLES = {"SUCCEEDED": "bold red"}


def drill(
    names: Annotated[list[str] | None, typer.Argument(help="Attacks to run; all of them if none is named.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    list_only: Annotated[bool, typer.Option("--list", help="Name the attacks and run none.")] = False,
) -> None:
    """Attack a small network of four, for real, and fail if any attack succeeds.

    Examples:
        salus drill
        salus drill "forged signature" "expired request"
        salus drill --json
    """
    attacks = chosen(names or [])
    if list_only:
        _show_list(attacks, as_json)
        return
    results = asyncio.run(_run(attacks, as_json))
    if as_json:
        typer.echo(json.dumps({"attacks": [as_shown(one, outcome) for one, outcome in results]}))
    succeeded = sum(outcome.result == "SUCCEEDED" for _, outcome in results)
    if not as_json:
        typer.echo(f"{len(results)} attacks, {succeeded} succeeded")
    if succeeded:
        raise typer.Exit(1)


def all_attacks() -> list[Attack]:
    """Every attack, family by family; a family is a module of this package."""
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return sorted(ATTACKS.values(), key=lambda one: one.family)


def chosen(names: Sequence[str]) -> list[Attack]:
    """The attacks that are named, by their name or their family; all if none is.

    Raises:
        typer.BadParameter: there is no such attack.
    """
    attacks = all_attacks()
    unknown = set(names) - {one.name for one in attacks} - {one.family for one in attacks}
    if unknown:
        raise typer.BadParameter(f"no such attack: {', '.join(sorted(unknown))}; see salus drill --list")
    return [one for one in attacks if not names or one.name in names or one.family in names]


async def carry_out(attacks: Sequence[Attack]) -> AsyncIterator[tuple[Attack, Outcome]]:
    """Carry attacks out in turn. A world is kept for the next attack unless one did harm, or broke through."""
    async with AsyncExitStack() as stack:
        world: World | None = None
        for one in attacks:
            if world is None or one.is_harmful:
                await stack.aclose()
                world = await stack.enter_async_context(new_world())
            await world.network.tend()  # Keepers whose log is overdue on the ledger would refuse for that alone.
            outcome = await _outcome(one, world)
            yield one, outcome
            if one.is_harmful or outcome.result == "SUCCEEDED":
                world = None


def as_shown(one: Attack, outcome: Outcome) -> dict[str, str]:
    """An attack as `--json` has it."""
    return {"name": one.name, "result": outcome.result, "evidence": outcome.evidence}


async def _outcome(one: Attack, world: World) -> Outcome:
    try:
        return await one.carry_out(world)
    except SalusError as error:  # What could not be shown to fail counts as success.
        return Outcome("SUCCEEDED", f"the attack could not be carried out: {error}")


async def _run(attacks: Sequence[Attack], quiet: bool) -> list[tuple[Attack, Outcome]]:
    console = Console(highlight=False)
    results: list[tuple[Attack, Outcome]] = []
    async for one, outcome in carry_out(attacks):
        results.append((one, outcome))
        if not quiet:
            style = _STYLES.get(outcome.result, "green")
            console.print(
                f"[{style}]{outcome.result:<9}[/]  {one.name:<52}  [dim]{outcome.evidence}[/]", soft_wrap=True
            )
    return results


def _show_list(attacks: Sequence[Attack], as_json: bool) -> None:
    if as_json:
        shown = [{"name": one.name, "family": one.family, "guard": one.guard} for one in attacks]
        typer.echo(json.dumps({"attacks": shown}))
        return
    table = Table("family", "attack", "what it tries", box=None)
    for one in attacks:
        table.add_row(one.family, one.name, one.about)
    Console().print(table)
