"""`salus new, up, import, demo, drill, bench`: networks as wholes."""

import importlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Nowhere, Output, OwnStreams, own_screen
from salus.cli.running import here_only, run
from salus.cli.told import reason

if TYPE_CHECKING:
    from salus.cli.home import Home
    from salus.cli.importing import ImportReport

Members = Annotated[int, typer.Option("--members", "--orgs", min=1, max=13, help="How many members a new network has.")]
Jurisdiction = Annotated[str, typer.Option("--jurisdiction", help="Whose law a new network's members follow: us, eu.")]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="embedded: all members in one process. cometbft: each in processes of its own."),
]
_ENGINES = ("embedded", "cometbft")
_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
_TROUBLES_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for name, about in (
        ("demo", "Tell the whole story on a fresh network: import, read, consent, revoke, attack, prove."),
        ("drill", "Attack a small network, for real, and fail if any attack succeeds."),
        ("bench", "Measure speed and memory, with floors in the same run."),
        ("simulate-scale", "Play networks of many hospitals through: what gives way first, and what it costs."),
    ):
        _pass_on(app, name, about)
    app.command("new", help=with_examples(new.__doc__))(new)
    app.command("up", help=with_examples(up.__doc__))(up)
    app.command("gateway", hidden=True)(gateway)
    app.command("import", help=with_examples(import_.__doc__))(import_)


def new(
    home: HomeFolder = None,
    members: Members = 4,
    jurisdiction: Jurisdiction = "us",
    engine: EngineName = "embedded",
    as_json: AsJson = False,
) -> None:
    """Make a new network in a folder, and leave it at rest.

    Examples:
      salus new
      salus new --engine cometbft --orgs 4
      salus new --home /srv/salus --members 7 --jurisdiction eu
    """
    from salus.cli.folder import home_folder
    from salus.cli.home import found_home

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(home)
    _check_jurisdiction(jurisdiction)
    _check_engine(engine)
    genesis = found_home(folder, members, jurisdiction, apart=engine == "cometbft")
    names = [member.member for member in genesis.members]
    output.say(f"A network of {len(names)} members is in {folder}: {', '.join(names)}.")
    output.result({"chain": genesis.chain, "folder": str(folder), "members": names})


def up(
    home: HomeFolder = None,
    members: Members = 4,
    jurisdiction: Jurisdiction = "us",
    engine: EngineName = "embedded",
    operator: Annotated[
        int | None,
        typer.Option("--operator", help="The port where its operator may look, on this machine alone; one process."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a network running; makes a new one where the folder holds none. Other commands find it by themselves.

    Examples:
      salus up
      salus up --engine cometbft --orgs 4
      salus up --home /srv/salus --members 7 --operator 9100
    """
    import asyncio

    from salus.cli.errors import OtherEngineError
    from salus.cli.folder import home_folder
    from salus.cli.home import found_home
    from salus.cli.serving import keep_up
    from salus.node.enlisting import NotJoinedError
    from salus.node.folder import GENESIS_FILE, is_apart

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(home)
    _check_jurisdiction(jurisdiction)
    _check_engine(engine)
    if not (folder / GENESIS_FILE).exists():
        if is_apart(folder):
            raise NotJoinedError
        found_home(folder, members, jurisdiction, apart=engine == "cometbft")
    if not is_apart(folder):
        if engine == "cometbft":
            raise OtherEngineError
        asyncio.run(keep_up(folder, output, operator=operator))
        return
    from salus.cli.apart import keep_apart_up

    code = asyncio.run(keep_apart_up(folder, output))
    if code:
        raise typer.Exit(code)


def gateway(home: HomeFolder = None) -> None:
    """The gateways of a folder whose members run apart: one of the processes that `salus up` starts."""
    import asyncio

    from salus.cli.folder import home_folder
    from salus.cli.serving import keep_up
    from salus.core.errors import SalusError
    from salus.node.departing import DEPARTED, DepartedError
    from salus.node.observing import logs

    here_only()
    logs.begin(part="gateway")
    try:
        asyncio.run(keep_up(home_folder(home), Output(Nowhere(), own_screen(), as_json=False)))
    except DepartedError:  # Its log says so already.
        raise typer.Exit(DEPARTED) from None
    except SalusError as error:  # Nobody reads what it prints but whoever reads its log.
        logs.say_error(error, "failed")
        raise typer.Exit(1) from None


def import_(
    path: Annotated[Path, typer.Argument(help="A folder of FHIR R4 bundles or NDJSON, or one such file.")],
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take FHIR R4 records in: each goes to the member that stands for its hospital. Safe to repeat, nothing doubles.

    A bad file is reported and passed over; then the exit code is 1.

    Examples:
      salus import ./bundles
      salus import export.ndjson.gz --json
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.importing import import_folder

        with output.progress("documents sealed") as progress:
            report = await import_folder(
                place,
                output.path(path),
                on_progress=lambda done: progress.at(
                    done.records_sealed, f"{done.files_done} of {done.files} files", done.documents
                ),
            )
        _show_import(report, output)

    run(act, home, as_json)


def _show_import(report: "ImportReport", output: Output) -> None:
    output.say(
        f"{report.resources_in} resources from {report.files} files, {report.patients} patients "
        f"({report.new_patients} new)."
    )
    output.say(
        f"{report.records_sealed} records sealed in {report.seconds:.1f} s ({report.sealed_per_s:.0f} a second), "
        f"{report.records_durable} of them held by every keeper; {report.repeated} were here already, "
        f"{report.changed} replace an older version."
    )
    output.say(f"{report.directory_entries} entries went to the members' directories.")
    if report.by_member:
        output.table(["member", "records"], [[name, str(count)] for name, count in sorted(report.by_member.items())])
    _show_troubles(report, output)
    troubles = [{"file": t.file, "place": t.place, "reason": t.reason, "count": t.count} for t in report.troubles]
    counts = ("members", "files", "patients", "new_patients", "resources_in", "directory_entries", "records_sealed")
    more = ("records_durable", "refused", "changed", "repeated", "rewritten", "batches")
    figures: dict[str, object] = {name: getattr(report, name) for name in (*counts, *more)}
    rates = {"seconds": round(report.seconds, 3), "sealed_per_s": round(report.sealed_per_s, 1)}
    output.result({**figures, **rates, "by_member": dict(report.by_member), "troubles": troubles})
    output.exit_code = 0 if report.is_whole else 1


def _show_troubles(report: "ImportReport", output: Output) -> None:
    for trouble in report.problems[:_TROUBLES_SHOWN]:
        times = f" ({trouble.count} times)" if trouble.count > 1 else ""
        output.note(
            f"not taken in: {trouble.file}, {trouble.place}{times}: {reason(trouble.reason)} [{trouble.reason}]"
        )
    if len(report.problems) > _TROUBLES_SHOWN:
        output.note(f"not taken in: {len(report.problems) - _TROUBLES_SHOWN} more; --json lists them all")
    doubts = Counter[str]()
    for trouble in report.troubles:
        doubts[trouble.reason] += trouble.count * trouble.is_warning
    for code, count in sorted((+doubts).items()):
        output.note(f"taken in, with a doubt ({count}): {reason(code)} [{code}]")


def _check_jurisdiction(jurisdiction: str) -> None:
    from salus.sdk.packs import SHIPPED

    if jurisdiction not in SHIPPED:
        raise typer.BadParameter(f"{jurisdiction} is not one of {', '.join(SHIPPED)}", param_hint="--jurisdiction")


def _check_engine(engine: str) -> None:
    if engine not in _ENGINES:
        raise typer.BadParameter(f"{engine} is not one of {', '.join(_ENGINES)}", param_hint="--engine")


def _pass_on(app: typer.Typer, name: str, about: str) -> None:
    """A command that lives in a folder of its own, read only when it is asked for."""

    def passed_on(context: typer.Context) -> int:
        here_only()
        place = name.rpartition("-")[2]  # `simulate-scale` lives in `scale`.
        found = getattr(importlib.import_module(f"salus.cli.{place}.command"), name.replace("-", "_"))
        inner = typer.Typer(
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        inner.command(name, help=with_examples(found.__doc__))(found)
        code = inner(args=context.args, prog_name=f"salus {name}", standalone_mode=False)
        return code if isinstance(code, int) else 0

    app.command(name, help=about, context_settings=_PASSED_ON, add_help_option=False)(passed_on)
