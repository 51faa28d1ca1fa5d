"""How a command runs: in the network that is up in the folder, else in one that it opens for itself.

`run(act, …)` is what every command ends in. If a network is up it sends the command line to its socket; if not, it
opens the folder, acts, lets the members finish what is due, and closes it. In a process that serves others the
command is only parsed here (`parsed`), and `serving.py` carries it out.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from salus.cli.output import Output, OwnStreams, own_screen

if TYPE_CHECKING:
    from salus.cli.home import Home

Act = Callable[["Home", Output], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """A command that was parsed and waits to be carried out."""

    act: Act
    as_json: bool


command_line: ContextVar[Sequence[str]] = ContextVar("command_line", default=())
_parsed: ContextVar[list[Job] | None] = ContextVar("parsed", default=None)


def run(act: Act, folder: Path | None, as_json: bool) -> None:
    """Carry a command out, wherever its network runs; ends the process's command with its exit code."""
    waiting = _parsed.get()
    if waiting is not None:
        waiting.append(Job(act, as_json))
        return
    import asyncio  # A fifth of the time that `--help` may take.

    from salus.cli.folder import home_folder
    from salus.cli.socket import forwarded

    place = home_folder(folder)
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    code = forwarded(place, command_line.get(), OwnStreams(), output.screen)
    if code is None:
        asyncio.run(_alone(place, act, output))
        code = output.exit_code
    if code:
        raise typer.Exit(code)


def is_serving() -> bool:
    """Whether this process carries commands out for others, and now parses one of theirs."""
    return _parsed.get() is not None


def here_only() -> None:
    """For commands that act on no network that is up: whoever sends one to a socket has the wrong address.

    Raises:
        typer.BadParameter: this process serves others.
    """
    if is_serving():
        raise typer.BadParameter("this command does not go through a network that is up")


def parsed(parse: Callable[[], object]) -> Job | None:
    """What a command line would do, without doing it; None where it does nothing with a network."""
    jobs: list[Job] = []
    token = _parsed.set(jobs)
    try:
        parse()
    finally:
        _parsed.reset(token)
    return jobs[0] if jobs else None


async def _alone(folder: Path, act: Act, output: Output) -> None:
    from salus.cli.errors import NotUpError
    from salus.cli.home import Home
    from salus.node.folder import is_apart
    from salus.node.settings import Settings

    if is_apart(folder):
        raise NotUpError
    async with Home.open(folder, Settings(tend_every_s=None)) as home:
        await home.network.tend()  # An overdue log root would keep keepers from answering.
        try:
            await act(home, output)
        finally:
            await home.network.tend()
