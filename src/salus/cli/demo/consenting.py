"""The acts in which the patient decides: claim, grant, a refusal and its reason, revocation."""

from dataclasses import dataclass, field
from time import perf_counter

from salus.cli.actions import consents, patients
from salus.cli.actions.reads import TREATMENT, Record, log, read
from salus.cli.demo.cast import Cast
from salus.cli.demo.telling import Teller, counted, joined
from salus.cli.home import Home
from salus.cli.identity import PatientName, StaffName
from salus.cli.rules import Said
from salus.cli.words import shown_term
from salus.contracts.consent import ClearRule, Effect
from salus.contracts.members.transitions import SEATS_MAX
from salus.core.ids import Height, Purpose
from salus.crypto.digests import digest
from salus.sdk.reader import Wanted

EVIDENCE = b"A signed form, seen at the desk. Only its digest leaves the hospital."
RESEARCH = Purpose("HRESCH")
_REASONS_SHOWN = 2
BREAK_GLASS_REASON = "found unconscious, medication unknown"


@dataclass(slots=True)
class Timings:
    """Samples in milliseconds."""

    unified_read: list[float] = field(default_factory=list)
    grant_to_read: list[float] = field(default_factory=list)
    revoke_to_refusal: list[float] = field(default_factory=list)


async def view_and_claim(home: Home, cast: Cast, teller: Teller) -> None:
    """What a hospital sees before anybody has allowed anything; then the record becomes the patient's own."""
    teller.act("A view from one hospital, before the patient has said anything")
    record = await read(home, cast.clinician, cast.patient)
    elsewhere = cast.size - len(record.rows)
    teller.say(
        f"{cast.patient_name} has {counted(cast.size, 'record')}: "
        + joined([f"{count} at {author}" for author, count in cast.of.by_author.most_common()])
        + "."
    )
    teller.say(
        f"{cast.clinician} opens {counted(len(record.rows), 'record')}, those of {cast.reader} itself. "
        f"The other {elsewhere} look as if they did not exist."
    )
    teller.hold(len(record.rows) == cast.own, "a hospital reads its own records and no other's")
    custodian = cast.patient.custodian
    witness = next(writer for writer in cast.patient.writers if writer != custodian)
    done = await patients.claim(home, cast.patient, digest(EVIDENCE), witness=witness)
    cast.patient = done.patient
    teller.say(
        f"{cast.patient_name} claims the record from {custodian}; {witness} is witness. The keys are theirs now."
    )


async def grant(home: Home, cast: Cast, teller: Teller, timings: Timings) -> Height:
    """The reader's hospital may read for treatment, but for one kind of data; the height at which that holds."""
    teller.act("A grant, with an exception")
    height, record = await granted(home, cast, timings, excepts=cast.label)
    but = "" if cast.label is None else f", except {shown_term(cast.label)}"
    teller.say(f"{cast.patient_name} allows {cast.reader} to read for treatment{but}.")
    if cast.label is None:
        teller.say("Nothing at other hospitals carries a sensitive label here, so there is no exception to make.")
    foreign = sum(not row.opened.is_own for row in record.rows)
    teller.say(
        f"{timings.grant_to_read[-1]:.0f} ms later {cast.clinician} reads {counted(len(record.rows), 'record')} "
        f"of {cast.size}, {gaps(record)}; the keys of {foreign} came in shares from the keepers."
    )
    teller.hold(not record.gaps and not record.accusations, "what is permitted is whole, and nobody is accused")
    _check_count(cast, record, teller)
    return height


def _check_count(cast: Cast, record: Record, teller: Teller) -> None:
    own = sum(row.opened.is_own for row in record.rows)
    most = cast.size - cast.excepted
    teller.hold(own == cast.own, "the reader's own hospital's records stay readable")
    teller.hold(len(record.rows) <= most, "no record under the exception is read")
    if cast.label is None and not cast.named_only:
        teller.hold(len(record.rows) == cast.size, "everything that was granted is read")


async def granted(home: Home, cast: Cast, timings: Timings, *, excepts: str | None = None) -> tuple[Height, Record]:
    """Grant, and read at once through a request of its own; both go into the timings."""
    readers = await consents.readers_of(home, [cast.reader], [])
    purposes = (TREATMENT,)
    said = Said(Effect.PERMIT, readers, purposes, excepts=() if excepts is None else (excepts,))
    await home.people.staff(cast.clinician)  # Employed before the clock runs.
    started = perf_counter()
    changed = await consents.say(home, cast.patient, said)
    cast.patient = changed.patient
    record = await read(home, cast.clinician, cast.patient)
    timings.grant_to_read.append((perf_counter() - started) * 1_000)
    return changed.height, record


async def refusal(home: Home, cast: Cast, teller: Teller) -> None:
    """Somebody is refused, and the patient is told by which rule."""
    teller.act("A refusal, and its reason")
    researcher = StaffName("researcher", cast.author)
    record = await read(home, researcher, cast.patient, purpose=RESEARCH)
    teller.say(f"{researcher} asks for research and gets {counted(len(record.rows), 'record')}.")
    teller.hold(not record.rows, "a permit for treatment does not reach research")
    for who, purpose, asks in ((cast.clinician, TREATMENT, "for treatment"), (researcher, RESEARCH, "for research")):
        why = await consents.why(home, cast.patient, who, purpose)
        shut: dict[str, consents.Explained] = {}
        for group in sorted(why.groups, key=lambda one: -one.count):
            if not group.decision.permitted:
                shut.setdefault(group.decision.reasons[0].sentence, group)
        for sentence, group in list(shut.items())[:_REASONS_SHOWN]:
            teller.say(f"Why not {counted(group.count, 'record')} by {group.author} to {who} {asks}? “{sentence}”")


async def revocation(home: Home, cast: Cast, teller: Teller, timings: Timings) -> None:
    """The grant is taken back while the reader's page is still open."""
    teller.act("A revocation")
    answered, left = await revoked(home, cast, timings)
    teller.say(
        f"{cast.patient_name} takes the grant back. {timings.revoke_to_refusal[-1]:.0f} ms later the page that was "
        f"open at {cast.reader} is refused by all {answered} keepers; {left} foreign records are left on it."
    )
    teller.hold(answered == min(len(home.network.members), SEATS_MAX), "every keeper has answered")
    teller.hold(left == 0, "nothing of others is readable after a revocation")


async def revoked(home: Home, cast: Cast, timings: Timings) -> tuple[int, int]:
    """Revoke under an open request; how many keepers answered with nothing, and what was still to be seen."""
    wallet = cast.patient.wallet
    member, reader = await home.reader(cast.clinician)
    page = member.reading(reader, Wanted(wallet.subject, wallet.committee, TREATMENT))
    await page.read()
    rules: list[ClearRule] = consents.rules_named(cast.patient, [len(wallet.rules)], [])
    started = perf_counter()
    changed = await consents.revoke(home, cast.patient, rules)
    after = await page.read()
    timings.revoke_to_refusal.append((perf_counter() - started) * 1_000)
    cast.patient = changed.patient
    foreign = [one for one in after.view.records if not one.is_own]
    return after.view.answered, len(foreign) + len(after.view.gaps)


async def break_glass(home: Home, cast: Cast, teller: Teller) -> None:
    """An emergency opens what is closed, and the patient sees who did."""
    teller.act("Breaking the glass")
    where = next((m.name for m in home.network.members if m.name not in (cast.reader, cast.author)), cast.author)
    doctor = StaffName("emergency", where)
    record = await read(home, doctor, cast.patient, purpose=Purpose("BTG"), reason=BREAK_GLASS_REASON)
    teller.say(
        f"{doctor}: “{BREAK_GLASS_REASON}”. {counted(len(record.rows), 'record')} of {cast.size} open for an hour."
    )
    told = await log(home, cast.patient)
    use = next((use for use in told.uses if use.purpose == "BTG" and use.person == str(doctor)), None)
    teller.hold(use is not None and use.reason == BREAK_GLASS_REASON, "the patient's log shows who broke the glass")
    if use is not None:
        teller.say(
            f"{cast.patient_name}'s log has it at once: {use.person}, {counted(len(use.released), 'record')}, with the "
            f"reason typed, from {counted(len(use.logged_by), 'log')} that agree."
        )
    teller.say(
        f"It tells of {counted(len(told.uses), 'use')} in all, and of {counted(len(told.faults), 'fault')} in the logs."
    )
    teller.hold(not told.faults, "all logs are whole")


async def own_record(home: Home, cast: Cast) -> Record:
    """The patient's own record, from their own device, through a hospital that must ask the keepers."""
    return await read(home, PatientName(cast.patient.number), cast.patient, via=cast.reader)


def gaps(record: Record) -> str:
    """`no gaps`, or how many."""
    return counted(len(record.gaps), "gap") if record.gaps else "no gaps"
