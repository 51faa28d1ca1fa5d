"""Reading a patient's record, and the log of who has done so."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from salus.cli.actions.summary import Summary, summary_of
from salus.cli.errors import AmbiguousDocumentError, CustodialError, UnknownDocumentError, UnknownPatientError
from salus.cli.home import Home
from salus.cli.identity import PatientName, StaffName, Who
from salus.cli.people import Patient, reader_of
from salus.contracts.consent.purposes import BTG
from salus.contracts.reads.opening import Selection
from salus.contracts.records.header import RecordId
from salus.contracts.records.tables import Fate
from salus.core.ids import Height, MemberId, Purpose, TimeMs
from salus.keeper.messages import LogEntry
from salus.keeper.repairs import KIND as REPAIR
from salus.node.gateway_side import GatewaySide
from salus.sdk.links import Link
from salus.sdk.patient_log import LogFault, read_log
from salus.sdk.reader import Reader, Wanted
from salus.sdk.unified import Unified
from salus.sdk.views import Accusation, Gap, Opened

TREATMENT = Purpose("TREAT")
PATIENTS_REQUEST = Purpose("PATRQT")
SHORT_HEX = 8
_INDEX_BYTES = 2


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """One document that was read."""

    opened: Opened
    summary: Summary

    @property
    def record(self) -> RecordId:
        """Where it stands."""
        return self.opened.header.record

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader should know of how it came here."""
        fate = self.opened.fate
        return (
            *(["own"] if self.opened.is_own else []),
            *(["stale"] if self.opened.is_stale else []),
            *([fate.value] if isinstance(fate, Fate) else []),
            *self.opened.obligations,
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A unified record at one moment, newest first."""

    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    accusations: tuple[Accusation, ...]
    absent: tuple[MemberId, ...]
    height: Height
    is_stale: bool


@dataclass(frozen=True, slots=True)
class Use:
    """One request for a patient's record, as all logs together tell of it."""

    time: TimeMs
    request_id: bytes
    member: MemberId
    person: str  # Their name where it is known here, else `credential 1f0c…` or `own device`.
    kind: str
    purpose: str
    reason: str
    released: frozenset[RecordId]
    withheld: tuple[tuple[str, int], ...]  # The most that any log counted.
    logged_by: tuple[MemberId, ...]
    times: int  # How often it was used: 1, and once more for each use from memory.


@dataclass(frozen=True, slots=True)
class Log:
    """Who saw what, and what could not be trusted of it."""

    uses: tuple[Use, ...]
    faults: tuple[LogFault, ...]
    silent: tuple[MemberId, ...]  # Kept this record before, and told nothing now.
    entries: int
    anchored: int


@dataclass(slots=True)
class _Gathered:
    """What the logs say of one request so far."""

    entries: list[LogEntry] = field(default_factory=list)
    again: int = 0


async def read(
    home: Home,
    who: Who,
    patient: Patient | Link,
    *,
    purpose: Purpose | None = None,
    reason: str = "",
    types: Sequence[str] = (),
    history: bool = False,
    via: str | None = None,
    second: StaffName | None = None,
) -> Record:
    """The record as this person may see it now. Usually a clinician treats and a patient reads for themselves.

    A clinician knows the patient's handle from the hospital's own link to them (`linked`); for patients of this folder
    the register stands for the patient who says it.

    Raises:
        PeerRefusalError: keepers refused the request itself: person, role, reason, quota.
        TooFewSeatsError: too few keepers are up.
    """
    member, reader = await home.reader(who, via)
    usual = PATIENTS_REQUEST if isinstance(who, PatientName) else TREATMENT
    selection = Selection(fhir_types=tuple(types), history=history)
    whose = patient if isinstance(patient, Link) else patient.wallet
    wanted = Wanted(whose.subject, whose.committee, purpose or usual, reason, selection)
    other = None if second is None else reader_of(await home.people.staff(second))
    return await read_record(member, reader, wanted, other)


def linked(home: Home, who: StaffName, number: str) -> Link:
    """The hospital's own link to a patient, by the number under which its desk took it.

    Raises:
        ElsewhereError: the hospital's people act on another machine.
        UnknownPatientError: nobody has this number there.
    """
    link = home.member(who.member).store.link(number)
    if link is None:
        raise UnknownPatientError(member=who.member)
    return link


async def break_glass(
    home: Home, who: StaffName, patient: Patient | Link, reason: str, *, second: StaffName | None = None
) -> Record:
    """Open a record in an emergency: at most 60 minutes, told to the patient, to be reviewed.

    Raises:
        PeerRefusalError: no emergency role, no reason, or beyond three a day without a second person.
    """
    return await read(home, who, patient, purpose=BTG, reason=reason, second=second)


async def read_record(member: GatewaySide, reader: Reader, wanted: Wanted, second: Reader | None = None) -> Record:
    """One read through a member, put into rows."""
    return record_of(await member.reading(reader, wanted, second).read())


def record_of(unified: Unified) -> Record:
    """Rows of what a read gave, newest first."""
    rows = [Row(opened, summary_of(opened.data)) for opened in unified.view.records]
    rows.sort(
        key=lambda row: (row.summary.date, row.record.author, row.record.batch_id, row.record.index), reverse=True
    )
    view = unified.view
    return Record(tuple(rows), tuple(view.gaps), tuple(view.accusations), view.absent, view.height, unified.is_stale)


async def log(home: Home, patient: Patient, *, via: str | None = None) -> Log:
    """Who used the record, from all keepers and all writers; the entries of one request in one line.

    Raises:
        CustodialError: a hospital keeps the keys: only a device of the patient may ask.
        TooFewSeatsError: nobody answered.
    """
    if patient.custodian is not None:
        raise CustodialError(number=patient.number, custodian=patient.custodian)
    gateway = home.gateway(patient, via)
    wallet = patient.wallet
    told = await read_log(gateway, wallet.subject, wallet.committee, patient.writers, wallet.device_key())
    return Log(uses_of(home, told.entries), tuple(told.faults), tuple(told.silent), len(told.entries), told.anchored)


def uses_of(home: Home, entries: Sequence[LogEntry]) -> tuple[Use, ...]:
    """Entries gathered by request, newest first."""
    gathered: dict[bytes, _Gathered] = {}
    for entry in entries:
        one = gathered.setdefault(entry.request_id, _Gathered())
        if entry.kind == "again":
            one.again += 1
        else:
            one.entries.append(entry)
    uses = [_use(home, request_id, one) for request_id, one in gathered.items() if one.entries]
    return tuple(sorted(uses, key=lambda use: use.time, reverse=True))


def released_in(entry: LogEntry) -> set[RecordId]:
    """The records that an entry names."""
    found: set[RecordId] = set()
    for author, batch_id, indices in entry.released:
        for at in range(0, len(indices), _INDEX_BYTES):
            found.add(RecordId(MemberId(author), batch_id, int.from_bytes(indices[at : at + _INDEX_BYTES], "big")))
    return found


def pick(record: Record, document: str) -> Row:
    """The one document that this id means: its place (`mercy/1f0c22aa/17`, or how it begins) or its `Type/id`.

    Raises:
        UnknownDocumentError: none of those that were read.
        AmbiguousDocumentError: several.
    """
    found = [row for row in record.rows if row.summary.source == document or is_meant(row.record, document)]
    current = [row for row in found if row.opened.fate is None]
    if len(found) > 1 and len(current) == 1:
        return current[0]
    if len(found) > 1:
        raise AmbiguousDocumentError(documents=len(found))
    if not found:
        raise UnknownDocumentError(seen=len(record.rows))
    return found[0]


def is_meant(record: RecordId, document: str) -> bool:
    """Whether an id as typed means this record: author, the first part of the batch's id, and the place in it."""
    author, _, rest = document.partition("/")
    batch, _, index = rest.partition("/")
    is_place = author == record.author and len(batch) > 0 and record.batch_id.hex().startswith(batch)
    return is_place and index in ("", str(record.index))


def place_of(record: RecordId) -> str:
    """A record's id as people type it; the first part of the batch's id suffices."""
    return f"{record.author}/{record.batch_id.hex()}/{record.index}"


def short_place(record: RecordId) -> str:
    """The id as tables show it."""
    return f"{record.author}/{record.batch_id.hex()[:SHORT_HEX]}/{record.index}"


def _use(home: Home, request_id: bytes, one: _Gathered) -> Use:
    first = min(one.entries, key=lambda entry: entry.time)
    withheld: dict[str, int] = {}
    for entry in one.entries:
        for code, count in entry.withheld:
            withheld[code] = max(count, withheld.get(code, 0))
    return Use(
        time=first.time,
        request_id=request_id,
        member=first.member,
        person=_person(home, first),
        kind=first.kind,
        purpose=first.purpose,
        reason=first.reason,
        released=frozenset(record for entry in one.entries for record in released_in(entry)),
        withheld=tuple(sorted(withheld.items())),
        logged_by=tuple(sorted({entry.where for entry in one.entries})),
        times=1 + one.again,
    )


def _person(home: Home, entry: LogEntry) -> str:
    if entry.kind == "widening":
        return "custodian"
    if entry.kind == REPAIR:
        return "successor of an author"
    if entry.credential_id is None:
        return "own device" if entry.kind == "patient" else "acts for the patient"
    return home.people.name_of(entry.credential_id) or f"credential {entry.credential_id.hex()[:SHORT_HEX]}"
