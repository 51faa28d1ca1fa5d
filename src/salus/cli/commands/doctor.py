"""`salus doctor`: what is wrong with the members of a folder, and what to do about it."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output, OwnStreams, counted, own_screen
from salus.cli.running import here_only

if TYPE_CHECKING:
    from salus.node.doctor.examining import Examined


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("doctor", help=with_examples(doctor.__doc__))(doctor)


def doctor(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Look at every member here, running or at rest, and say what is wrong and what to do. Exit code 1 if anything is.

    Nothing is changed by looking, and nothing of a patient is told: the output may be shown to whoever helps.

    Examples:
      salus doctor
      salus doctor --json
    """
    import asyncio

    from salus.cli.folder import home_folder

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    _show(asyncio.run(examined(home_folder(home))), output)
    if output.exit_code:
        raise typer.Exit(output.exit_code)


async def examined(folder: Path) -> "Examined":
    """Examine a folder, with what its processes say of themselves.

    Raises:
        NoNetworkError: there is no network in it.
        NotANetworkError: its genesis cannot be read.
    """
    from salus.cli.commands.status import told_by_socket
    from salus.node.doctor.examining import examine
    from salus.node.first_light import is_of_first_light
    from salus.node.folder import is_apart, read_genesis
    from salus.node.observing.asking import asked
    from salus.node.site import SiteError

    if is_of_first_light(folder):
        return await examine(folder)
    read_genesis(folder)
    if not is_apart(folder):
        return await examine(folder, status=told_by_socket(folder))
    try:
        return await examine(folder, await asked(folder))
    except SiteError:
        return await examine(folder)  # It says whose addresses cannot be read.


def _show(result: "Examined", output: Output) -> None:
    state = "up" if result.is_up else "at rest"
    members = ", ".join(result.members) or "the folder"
    for one in result.findings:
        whose = " ".join(filter(None, (one.severity + ":", one.member, one.part)))
        output.say(f"{whose.removesuffix(':')}: {one.what}. [{one.code}]")
        output.say(f"    {one.to_do}")
    what = "all is well" if result.is_well else counted(len(result.findings), "finding")
    output.say(f"{members}, {state}: {what}.")
    findings = [one.as_json for one in result.findings]
    output.result({"well": result.is_well, "up": result.is_up, "members": list(result.members), "findings": findings})
    output.exit_code = 0 if result.is_well else 1
