"""`salus rotate`: a member's keys, replaced while everything runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output
from salus.cli.running import run

if TYPE_CHECKING:
    from salus.cli.home import Home

DUTIES = ("tls", "gateway", "keeper", "sealing", "validator", "ledger", "checkpoint")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(help=with_examples(rotate.__doc__))(rotate)


def rotate(
    duty: Annotated[list[str], typer.Argument(help=f"What the key is for: {', '.join(DUTIES)}; or several.")],
    as_: Annotated[str, typer.Option("--as", help="The member whose operator acts, with its ledger key: mercy.")],
    now: Annotated[bool, typer.Option("--now", help="End the old TLS key at once: it was stolen.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Replace a member's keys, without a pause. TLS and gateway keys are its own affair; others are voted on.

    Examples:
      salus rotate tls --as mercy
      salus rotate tls --as mercy --now
      salus rotate keeper sealing --as mercy
    """
    unknown = [name for name in duty if name not in DUTIES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is no duty of a key", param_hint="DUTY")

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.rotating import rotate as replace
        from salus.cli.commands.governance import tell_standing

        done = await replace(place, as_, list(dict.fromkeys(duty)), at_once=now)
        for name in done.in_use:
            output.say(f"The {name} key of {as_} is another now; the old one counts no more.")
        for name in done.announced:
            output.say(f"Another {name} key of {as_} is announced. The old one ends once all its servers show the new.")
        shown = None if done.standing is None else tell_standing(output, done.standing)
        output.result(
            {"in_use": done.in_use, "announced": done.announced, "proposed": done.proposed, "proposal": shown}
        )

    run(act, home, as_json)
