"""`salus demo`: a folder, a network in it, the story, and an exit code that says whether all of it held."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from salus.cli import sample
from salus.cli.demo.play import Played, play
from salus.cli.demo.telling import Teller, counted
from salus.cli.home import Home, found_home
from salus.cli.output import Output, OwnStreams, own_screen


def demo(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A folder of FHIR R4 bundles. [default: two people who come with salus]"),
    ] = None,
    members: Annotated[int, typer.Option("--members", min=1, max=13, help="How many hospitals there are.")] = 4,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="A folder for the network, kept afterwards. [default: a temporary one]"),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the temporary folder, to go on with other commands.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the measured figures alone, as one JSON object.")
    ] = False,
) -> None:
    """Tell the whole story on a fresh network: import, read, consent, revoke, attack, prove.

    Nothing is prepared: every sentence is about what has just happened, and the exit code is 1 if any did not hold.

    Examples:
        salus demo
        salus demo --data ./bundles
        salus demo --members 7 --json
    """
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    with _folder(home, keep) as folder:
        played = asyncio.run(_played(folder, data or sample.FOLDER, members, output))
        if home is not None or keep:
            output.say(f"The network is in {folder}: try `salus ledger show --home {folder}`.")
    output.result(played.figures)
    if played.broken:
        output.note(f"{counted(len(played.broken), 'promise')} did not hold: " + "; ".join(played.broken))
        raise typer.Exit(1)


async def _played(folder: Path, data: Path, members: int, output: Output) -> Played:
    found_home(folder, members)
    async with Home.open(folder) as home:
        return await play(home, data, Teller(output))


@contextmanager
def _folder(home: Path | None, keep: bool) -> Iterator[Path]:
    if home is not None:
        yield home
        return
    folder = Path(tempfile.mkdtemp(prefix="salus-demo-"))
    try:
        yield folder / "network"
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
