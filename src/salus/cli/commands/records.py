"""`salus read, break-glass, log, misfiled`: the record itself, and who has seen it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import As, AsJson, AsPatient, AsStaff, ForPatient, HomeFolder, Via, with_examples
from salus.cli.output import Output, counted
from salus.cli.running import run

if TYPE_CHECKING:
    from salus.cli.actions.reads import Record, Row, Use
    from salus.cli.home import Home
    from salus.cli.identity import StaffName, Who
    from salus.cli.people import Patient
    from salus.sdk.links import Link

AsBundle = Annotated[bool, typer.Option("--bundle", help="Print a FHIR Bundle with the documents' exact bytes.")]
Document = Annotated[
    str | None, typer.Option("--document", help="Print one document's exact bytes: its id, or Type/id.")
]
History = Annotated[bool, typer.Option("--history", help="Also versions that were superseded or withdrawn.")]
OWN_NUMBER = "number:"
Second = Annotated[str | None, typer.Option("--second", help="A second emergency person, beyond three a day.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (read, log, misfiled):
        app.command(help=with_examples(command.__doc__))(command)
    app.command("break-glass", help=with_examples(break_glass.__doc__))(break_glass)


def read(
    as_: As,
    patient: ForPatient = None,
    purpose: Annotated[str | None, typer.Option("--for", help="For what; usually TREAT, a patient PATRQT.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, in the reader's words; the patient sees it.")] = "",
    types: Annotated[list[str], typer.Option("--type", help="Only this FHIR type; repeat it for more.")] = [],  # noqa: B006
    history: History = False,
    bundle: AsBundle = False,
    document: Document = None,
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Read a record: every document that may be seen, from all hospitals, verified end to end.

    What is known and cannot be read now is shown as a gap. What may not be seen looks like what is not there.

    Examples:
      salus read --as clinician@st-luke --patient 1
      salus read --as clinician@st-luke --patient number:4711
      salus read --as patient:1 --history
      salus read --as clinician@st-luke --patient 1 --type Observation --bundle > record.json
      salus read --as patient:1 --document DocumentReference/17 > letter.json
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import reads
        from salus.cli.identity import who
        from salus.cli.words import purpose_of, type_of

        record = await reads.read(
            place,
            who(as_),
            _patient(place, as_, patient),
            purpose=None if purpose is None else purpose_of(purpose),
            reason=reason,
            types=[type_of(word) for word in types],
            history=history,
            via=via,
        )
        _show_record(output, record, bundle, document)

    run(act, home, as_json)


def break_glass(
    as_: AsStaff,
    patient: Annotated[str, typer.Option("--patient", help="Whose record: patient:1, or the hospital's number:4711.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in your words; the patient reads them.")],
    second: Second = None,
    bundle: AsBundle = False,
    document: Document = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Open a record in an emergency, whatever the patient's rules say: for an hour, told to them, to be reviewed.

    Examples:
      salus break-glass --as emergency@lakeside --patient 1 --reason "found unconscious"
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import reads
        from salus.cli.identity import StaffName, who

        acting = _staff(as_)
        other = None if second is None else who(second)
        record = await reads.break_glass(
            place,
            acting,
            _whose(place, acting, patient),
            reason,
            second=other if isinstance(other, StaffName) else None,
        )
        output.note("The glass is broken: the patient is told, and a review falls due.")
        _show_record(output, record, bundle, document)

    run(act, home, as_json)


def log(as_: AsPatient, via: Via = None, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Show who has used your record, from the logs of all keepers and all writers, checked against the ledger.

    Examples:
      salus log --as patient:1
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import reads
        from salus.cli.commands.patients import patient_of

        told = await reads.log(place, place.patient(patient_of(as_)), via=via)
        columns = ["when", "who", "at", "for", "records", "withheld", "logged by", "reason"]
        output.table(columns, [_use_row(use) for use in told.uses])
        if not told.uses:
            output.say("Nobody has used this record.")
        output.say(f"{told.entries} log entries, {told.anchored} of them under a root on the ledger.")
        for fault in told.faults:
            output.say(f"The log of {fault.where} cannot be trusted: {fault.what}.")
        for member in told.silent:
            output.say(
                f"{member} sat among the keepers before, and tells nothing: it is away, or knows no such device."
            )
        output.result(
            {
                "uses": [_use(use) for use in told.uses],
                "faults": [{"member": fault.where, "what": fault.what} for fault in told.faults],
                "silent": list(told.silent),
                "entries": told.entries,
                "anchored": told.anchored,
            }
        )

    run(act, home, as_json)


def misfiled(
    as_: AsStaff,
    document: Annotated[str, typer.Option("--document", help="The document: its id, or Type/id.")],
    wrong: Annotated[str, typer.Option("--from", help="Under whom it was filed.")],
    right: Annotated[str, typer.Option("--to", help="Whose it is.")],
    corrected: Annotated[
        Path | None, typer.Option("--corrected", help="The document with the right patient in it, to seal instead.")
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Move a document of your hospital that was filed under the wrong patient, and list who has read it there.

    Examples:
      salus misfiled --as clerk@mercy --document DiagnosticReport/17 --from patient:1 --to patient:2
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.ledger import read_file
        from salus.cli.actions.misfiled import move
        from salus.cli.actions.reads import place_of, short_place
        from salus.cli.identity import patient_number

        first, second = (place.patient(patient_number(text)) for text in (wrong, right))
        mended = None if corrected is None else read_file(output.path(corrected))
        moved = await move(place, _staff(as_), document, first, second, mended)
        output.say(f"Withdrawn from patient:{first.number}: {short_place(moved.withdrawn)}")
        output.say(f"Sealed for patient:{second.number}: {short_place(moved.sealed)}")
        if moved.read_by:
            output.say("Read meanwhile, as the logs of this hospital tell (the patient sees all logs):")
            output.table(["when", "who", "at", "for"], [_use_row(use)[:4] for use in moved.read_by])
        else:
            output.say("Nobody had read it, as far as the logs of this hospital tell.")
        output.result(
            {
                "withdrawn": place_of(moved.withdrawn),
                "sealed": place_of(moved.sealed),
                "tx_id": None if moved.tx_id is None else moved.tx_id.hex(),
                "read_by": [_use(use) for use in moved.read_by],
            }
        )

    run(act, home, as_json)


def _staff(as_: str) -> "StaffName":
    from salus.cli.errors import NotTheirsError
    from salus.cli.identity import StaffName, who

    acting = who(as_)
    if not isinstance(acting, StaffName):
        raise NotTheirsError(wanted="clinician@mercy")
    return acting


def _patient(place: "Home", as_: str, typed: str | None) -> "Patient | Link":
    """Whose record is meant: a patient's own, unless another is named (then keepers will say no)."""
    from salus.cli.identity import PatientName, who

    acting = who(as_)
    if typed is not None:
        return _whose(place, acting, typed)
    if isinstance(acting, PatientName):
        return place.patient(acting.number)
    raise typer.BadParameter("say whose record: --patient 1", param_hint="--patient")


def _whose(place: "Home", acting: "Who", typed: str) -> "Patient | Link":
    """A patient of this folder, or one whom the acting person's hospital has under a number of its own."""
    from salus.cli.actions.reads import linked
    from salus.cli.identity import StaffName, patient_number

    number = typed.removeprefix(OWN_NUMBER)
    if number == typed:
        return place.patient(patient_number(typed))
    if not isinstance(acting, StaffName):
        raise typer.BadParameter("a hospital's own numbers are for its people", param_hint="--patient")
    return linked(place, acting, number)


def _show_record(output: Output, record: "Record", as_bundle: bool, document: str | None) -> None:
    from salus.cli.actions.bundle import bundle_of
    from salus.cli.actions.reads import pick, short_place

    for line in _warnings(record):
        output.note(line)
    if document is not None:
        output.raw(pick(record, document).opened.data)
        return
    if as_bundle:
        output.raw(bundle_of(record))
        return
    rows = [
        [row.summary.date, row.opened.header.fhir_type, row.summary.what, row.record.author, ", ".join(row.marks)]
        for row in record.rows
    ]
    places = [short_place(row.record) for row in record.rows]
    gaps = [["", "", f"({_gap(gap.reason)})", gap.record.author, "gap"] for gap in record.gaps]
    places += [short_place(gap.record) for gap in record.gaps]
    lines = [[*row, place] for row, place in zip([*rows, *gaps], places, strict=True)]
    output.table(["date", "type", "what", "author", "marks", "id"], lines)
    authors = len({row.record.author for row in record.rows})
    documents, hospitals = counted(len(record.rows), "document"), counted(authors, "hospital")
    output.say(f"{documents} of {hospitals}, {counted(len(record.gaps), 'gap')}.")
    output.result(_record(record))


def _warnings(record: "Record") -> list[str]:
    lines: dict[str, int] = {}
    for one in record.accusations:
        text = f"{one.member} {_ACCUSED.get(one.what, one.what)}"
        lines[text] = lines.get(text, 0) + 1
    found = [f"Caught: {text} ({count})." for text, count in lines.items()]
    if record.absent:
        found.append(f"No answer from the keepers of {', '.join(record.absent)}; the others sufficed.")
    if record.is_stale:
        found.append("Stale: the network did not answer, so only this hospital's own records are shown.")
    if record.gaps:
        found.append(f"Known and permitted, and not to be read now: {counted(len(record.gaps), 'record')}.")
    return found


_ACCUSED = {
    "bad_share": "gave a bad share of a record",
    "wrong_header": "gave a header that does not belong to this record",
    "wrong_dealing": "gave shares of another dealing than the one in force",
    "bad_signature": "did not sign its answer",
    "stale_policy": "decided by an old consent",
    "omitted_record": "left out a record that others gave",
    "bad_blob": "gave a wrong ciphertext",
    "unreadable_answer": "gave an answer that does not open",
    "inconsistent_dealer": "dealt shares that do not fit together",
}


def _gap(reason: str) -> str:
    return {
        "too_few_shares": "too few keepers gave their share of the key",
        "inconsistent_dealer": "whoever dealt it dealt shares that do not fit together",
        "blob_missing": "no vault gave its ciphertext",
    }.get(reason, reason)


def _record(record: "Record") -> dict[str, object]:
    from salus.cli.actions.reads import place_of

    return {
        "documents": [_row(row) for row in record.rows],
        "gaps": [{"id": place_of(gap.record), "reason": gap.reason} for gap in record.gaps],
        "accusations": [
            {"member": one.member, "what": one.what, "id": None if one.record is None else place_of(one.record)}
            for one in record.accusations
        ],
        "absent": list(record.absent),
        "height": record.height,
        "is_stale": record.is_stale,
    }


def _row(row: "Row") -> dict[str, object]:
    from salus.cli.actions.reads import place_of

    return {
        "id": place_of(row.record),
        "source": row.summary.source,
        "date": row.summary.date,
        "type": row.opened.header.fhir_type,
        "what": row.summary.what,
        "author": row.record.author,
        "marks": list(row.marks),
        "size_bytes": row.opened.header.size_bytes,
    }


def _use_row(use: "Use") -> list[str]:
    from salus.cli.words import shown_time

    times = f" ({use.times} times)" if use.times > 1 else ""
    withheld = ", ".join(f"{count} {code}" for code, count in use.withheld)
    by = ", ".join(use.logged_by)
    return [
        shown_time(use.time),
        use.person,
        use.member,
        use.purpose + times,
        str(len(use.released)),
        withheld,
        by,
        use.reason,
    ]


def _use(use: "Use") -> dict[str, object]:
    from salus.cli.actions.reads import place_of

    return {
        "time_ms": use.time,
        "request_id": use.request_id.hex(),
        "person": use.person,
        "member": use.member,
        "kind": use.kind,
        "purpose": use.purpose,
        "reason": use.reason,
        "times": use.times,
        "released": sorted(place_of(record) for record in use.released),
        "withheld": dict(use.withheld),
        "logged_by": list(use.logged_by),
    }
