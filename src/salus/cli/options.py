"""Options that many commands share, so that they read and behave alike everywhere."""

from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer

HomeFolder = Annotated[
    Path | None,
    typer.Option("--home", help="The network's folder. [default: $SALUS_HOME, else ./salus-data]", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
As = Annotated[str, typer.Option("--as", help="Who acts: clinician@mercy, emergency@mercy, … or patient:1.")]
AsPatient = Annotated[str, typer.Option("--as", help="The patient who acts: patient:1.")]
AsStaff = Annotated[str, typer.Option("--as", help="The member's person who acts: clinician@mercy.")]
ForPatient = Annotated[
    str | None,
    typer.Option(
        "--patient", help="Whose record: patient:1, or the hospital's number:4711. A patient reads their own."
    ),
]
Via = Annotated[str | None, typer.Option("--via", help="Through which member a patient acts.")]
Evidence = Annotated[
    Path | None,
    typer.Option("--evidence", help="A file that shows the patient's will; only its digest leaves this machine."),
]
Witness = Annotated[
    str | None, typer.Option("--witness", help="A second hospital that signs beside the one that keeps the keys.")
]


def with_examples(doc: str | None) -> str:
    """A docstring as help: the lines under `Examples:` stay as they are."""
    text = cleandoc(doc or "")
    start = text.find("Examples:")
    return text if start < 0 else f"{text[:start]}\b\n{text[start:]}"
