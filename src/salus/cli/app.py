"""The command line as a whole: which commands there are. Each group has its module in `commands/`."""

from collections.abc import Sequence

import typer

from salus.cli.commands import (
    backup,
    consent,
    doctor,
    governance,
    joining,
    keys,
    ledger,
    network,
    patients,
    records,
    status,
)
from salus.cli.told import INTERRUPTED, USAGE

app = typer.Typer(
    name="salus",
    help="A health ledger that hospitals share and none of them owns.\n\n"
    "\b\nStart here:\n  salus demo     a story of four hospitals, told by running it\n"
    "  salus up       keep a network running in ./salus-data\n"
    "  salus patient new --writer mercy --writer st-luke\n\n"
    "Exit codes: 0 done, 1 what was checked does not hold, 2 unknown command line, 3 refused, 4 malformed, "
    "5 unavailable (try again), 6 integrity (call the operator).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # A traceback with local values would show patients' data.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
network.add_to(app)
status.add_to(app)
doctor.add_to(app)
patients.add_to(app)
consent.add_to(app)
records.add_to(app)
ledger.add_to(app)
governance.add_to(app)
keys.add_to(app)
joining.add_to(app)
backup.add_to(app)


def parse(argv: Sequence[str]) -> int:
    """Parse a command line and do what it says; the exit code. A slip of the pen is told, with what was meant."""
    from typer import Abort
    from typer._click.exceptions import ClickException

    try:
        code = app(args=list(argv), prog_name="salus", standalone_mode=False)
    except ClickException as error:
        error.show()
        return USAGE
    except Abort:
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("salus: stopped; what was acknowledged is kept", err=True)
    return code if isinstance(code, int) else 0
