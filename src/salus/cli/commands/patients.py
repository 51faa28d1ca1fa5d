"""`salus patient new|list|link|claim`: who is a patient, who writes about them, who keeps their keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import As, AsJson, AsPatient, Evidence, HomeFolder, Via, Witness, with_examples
from salus.cli.output import Output
from salus.cli.running import run

if TYPE_CHECKING:
    from salus.cli.home import Home
    from salus.cli.people import Patient


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    group = typer.Typer(
        help="Patients: new ones, links to hospitals, claims.", no_args_is_help=True, rich_markup_mode=None
    )
    for command in (new, link, claim):
        group.command(help=with_examples(command.__doc__))(command)
    group.command("list", help=with_examples(list_.__doc__))(list_)
    app.add_typer(group, name="patient")


def new(
    writers: Annotated[list[str], typer.Option("--writer", help="A hospital that may write; repeat it for more.")],
    custodian: Annotated[
        str | None, typer.Option("--custodian", help="The hospital that keeps the keys of who has no device.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What to call them here; stays with the wallet.")] = "",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Open a record for a new patient, with a wallet of their own or in a hospital's custody.

    Examples:
      salus patient new --writer mercy --writer st-luke
      salus patient new --writer mercy --custodian mercy
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.patients import new_patient

        patient = await new_patient(place, writers, custodian=custodian, name=name)
        output.say(f"patient:{patient.number} is new; {_kept_by(patient)}. Writers: {', '.join(patient.writers)}.")
        output.result(_shown(patient))

    run(act, home, as_json)


def list_(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """List the patients of this folder, as its register (which stands for their own devices) knows them.

    Examples:
      salus patient list
    """

    async def act(place: "Home", output: Output) -> None:
        patients = list(place.people.patients())
        rows = [[f"patient:{p.number}", p.custodian or "own device", ", ".join(p.writers), p.name] for p in patients]
        output.table(["patient", "keys with", "writers", "name"], rows)
        output.result({"patients": [_shown(patient) for patient in patients]})

    run(act, home, as_json)


def link(
    as_: As,
    to: Annotated[str | None, typer.Option("--to", help="The hospital that is to write about the patient.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Let the hospital's desk take the link over at once.")
    ] = False,
    code: Annotated[
        str | None, typer.Option("--code", help="At the desk: the one-time code that the patient shows.")
    ] = None,
    number: Annotated[
        str, typer.Option("--number", help="At the desk: the hospital's own number for the patient.")
    ] = "",
    evidence: Evidence = None,
    witness: Witness = None,
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let a further hospital write about the patient: the patient gets a code, the hospital's desk takes it.

    Examples:
      salus patient link --as patient:1 --to lakeside
      salus patient link --as clerk@lakeside --code K7QWM2XTRA
      salus patient link --as patient:1 --to lakeside --accept
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.identity import PatientName, who

        acting = who(as_)
        if isinstance(acting, PatientName):
            await _send(place, output, acting.number)
        else:
            await _take(place, output)

    async def _send(place: "Home", output: Output, patient: int) -> None:
        from salus.cli.actions.patients import link as link_to

        if to is None:
            raise typer.BadParameter("say which hospital: --to lakeside", param_hint="--to")
        digest = evidence_digest(output, evidence)
        linked = await link_to(
            place, place.patient(patient), to, accept=accept, via=via, evidence=digest, witness=witness
        )
        if linked.is_accepted:
            output.say(f"{linked.to} may write about patient:{patient} now, and knows them.")
        else:
            output.say(f"{linked.to} may write about patient:{patient} now. Show this code at its desk: {linked.code}")
        code_shown = None if linked.is_accepted else linked.code
        output.result({**_shown(linked.patient), "to": linked.to, "code": code_shown, "height": linked.height})

    async def _take(place: "Home", output: Output) -> None:
        from salus.cli.actions.patients import accept_link
        from salus.cli.identity import StaffName, who

        acting = who(as_)
        assert isinstance(acting, StaffName), "Who is not a patient is a member's person."
        if code is None:
            raise typer.BadParameter("type the code that the patient shows: --code K7QWM2XTRA", param_hint="--code")
        patient = await accept_link(place, acting, code, number or f"link:{code}")
        named = "the patient" if patient is None else f"patient:{patient}"
        output.say(f"{acting.member} is linked to {named} now.")
        output.result({"member": acting.member, "patient": patient})

    run(act, home, as_json)


def claim(
    as_: AsPatient,
    evidence: Annotated[
        Path, typer.Option("--evidence", help="A file that shows who claims; only its digest leaves this machine.")
    ],
    witness: Witness = None,
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take your record over from the hospital that keeps its keys. Everything is yours alone from then on.

    The keepers want a second hospital's signature (--witness). Without one, the same command succeeds 24 hours after
    it was first given; all your hospitals are told meanwhile.

    Examples:
      salus patient claim --as patient:1 --evidence identity.pdf --witness st-luke
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.patients import claim as claim_record

        patient = place.patient(patient_of(as_))
        digest = evidence_digest(output, evidence)
        assert digest is not None, "The option is required."
        claimed = await claim_record(place, patient, digest, witness=witness, via=via)
        output.say(
            f"patient:{patient.number} keeps their own keys now; {claimed.was_kept_by} has destroyed what it held."
        )
        output.result({**_shown(claimed.patient), "height": claimed.height})

    run(act, home, as_json)


def patient_of(as_: str) -> int:
    """The number of a patient who acts; a member's person may not.

    Raises:
        NotTheirsError: it is a member's person.
    """
    from salus.cli.errors import NotTheirsError
    from salus.cli.identity import PatientName, who

    acting = who(as_)
    if not isinstance(acting, PatientName):
        raise NotTheirsError(wanted="patient:1")
    return acting.number


def evidence_digest(output: Output, path: Path | None) -> bytes | None:
    """The digest of a file that shows something; the file itself stays where it is."""
    from salus.cli.actions.ledger import read_file
    from salus.crypto.digests import digest

    return None if path is None else digest(read_file(output.path(path)))


def _kept_by(patient: "Patient") -> str:
    return f"{patient.custodian} keeps the keys" if patient.custodian else "an own device keeps the keys"


def _shown(patient: "Patient") -> dict[str, object]:
    return {
        "patient": patient.number,
        "name": patient.name,
        "custodian": patient.custodian,
        "writers": list(patient.writers),
    }
