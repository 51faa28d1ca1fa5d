"""`salus status`: how every part of every member here stands, and what to do where something is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output, OwnStreams, own_screen

if TYPE_CHECKING:
    from salus.cli.home import Home
    from salus.node.observing.judging import Status

Once = Annotated[bool, typer.Option("--once", help="Show it once, also on a terminal.")]
LOOK_EVERY_S = 2.0


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("status", help=with_examples(status.__doc__))(status)


def status(home: HomeFolder = None, once: Once = False, as_json: AsJson = False) -> None:
    """How every part of every member here stands; on a terminal a live table. Exit code 1 where something is not ready.

    Examples:
      salus status
      salus status --once
      salus status --json
    """
    from salus.cli.folder import home_folder
    from salus.cli.running import is_serving, run

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.status import status_of_network

        _show(await status_of_network(place.simulated), output)

    if is_serving():
        run(act, home, as_json)
        return
    folder = home_folder(home)
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    if output.screen.is_terminal and not (once or as_json):
        _live(folder)
        return
    _show(_looked(folder), output)
    if output.exit_code:
        raise typer.Exit(output.exit_code)


def _looked(folder: Path) -> "Status":
    import asyncio

    from salus.node.folder import is_apart, read_genesis
    from salus.node.observing.asking import asked
    from salus.node.observing.findings import found
    from salus.node.observing.judging import Status

    read_genesis(folder)
    if is_apart(folder):
        return asyncio.run(asked(folder)).status
    return told_by_socket(folder) or Status((), (found("network.down"),))


def told_by_socket(folder: Path) -> "Status | None":
    """Of a network in one process, as it says itself; None where it is not up."""
    import json

    from salus.cli.output import Kept, Screen
    from salus.cli.socket import forwarded
    from salus.node.observing.judging import status_from

    said = Kept()
    code = forwarded(folder, ["status", "--json", "--home", str(folder)], said, Screen(folder=Path.cwd()))
    return None if code is None or not said.out else status_from(json.loads(bytes(said.out)))


def _show(found: "Status", output: Output) -> None:
    from salus.cli.status import COLUMNS, row

    if found.parts:
        output.table(COLUMNS, [row(part) for part in found.parts])
    for one in found.wrong:
        whose = f"{one.member}'s {one.part}: " if one.member else ""
        output.say(f"{whose}{one.what}. {one.to_do}")
    output.result(found.as_json)
    output.exit_code = 0 if found.is_ready else 1


def _live(folder: Path) -> None:
    """A table that is drawn anew every two seconds, until Ctrl-C: that is its usual end."""
    import time
    from contextlib import suppress

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from salus.cli.output import Kept, Screen

    with suppress(KeyboardInterrupt), Live(console=Console(highlight=False), auto_refresh=False, screen=False) as live:
        while True:
            kept = Kept()
            _show(_looked(folder), Output(kept, Screen(True, own_screen().width), as_json=False))
            live.update(Text.from_ansi(bytes(kept.out).decode()), refresh=True)
            time.sleep(LOOK_EVERY_S)
