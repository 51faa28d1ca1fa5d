"""A document filed under the wrong patient: withdrawn there, sealed where it belongs, and who has read it meanwhile.

    1. The author opens its own document; that leaves its trace in the wrong patient's log.
    2. It is withdrawn: from that block on nobody but author and wrong patient gets it.
    3. It is sealed for the right patient, as it was or as corrected; labels that it had stay.
    4. The author lists who has read it, from its own log and its own keeper's. The patient sees the union of all logs.

Safe to repeat: a crash between 2 and 3 leaves a withdrawn document, which the next run seals.
"""

from dataclasses import dataclass

from salus.cli.actions.reads import TREATMENT, Use, is_meant, released_in, uses_of
from salus.cli.errors import AmbiguousDocumentError, UnknownDocumentError
from salus.cli.home import Home
from salus.cli.identity import StaffName
from salus.cli.people import Patient, reader_of
from salus.cli.words import LABELS
from salus.contracts.consent.sealing import seal_facts
from salus.contracts.reads.opening import Opening, Selection, to_sign
from salus.contracts.records.header import Bits, Header, RecordId
from salus.core.ids import Digest, SubjectId
from salus.core.transport import ask
from salus.core.wire import reopen
from salus.crypto.digests import blind
from salus.crypto.hpke import OpeningKey
from salus.fhir.bundle import Bundle, read_bundle
from salus.fhir.labels import ancestors_of, confidentiality, labels_of
from salus.fhir.references import Directory, Resolver
from salus.fhir.terms import terms_of
from salus.keeper.keeper import LogForOwnMember, OwnMemberWantsLog
from salus.keeper.messages import LogEntry
from salus.node.gateway_side import GatewaySide
from salus.sdk.author import NewDocument
from salus.sdk.errors import NoSuchSubjectError
from salus.sdk.gateway import new_id, new_secret
from salus.sdk.views import Opened

REASON = "correcting a document that was filed under the wrong patient"


@dataclass(frozen=True, slots=True)
class Moved:
    """A document that lies where it belongs."""

    withdrawn: RecordId
    sealed: RecordId
    tx_id: Digest | None  # Of the withdrawal; None where an earlier run did it.
    read_by: tuple[Use, ...]  # As far as this author's own logs tell.


async def move(
    home: Home, who: StaffName, document: str, wrong: Patient, right: Patient, corrected: bytes | None = None
) -> Moved:
    """Move a document of the person's own hospital from one patient to another.

    `corrected` are the bytes to seal instead, such as with the right patient's reference in them.

    Raises:
        NoSuchSubjectError: this hospital writes about only one of the two.
        UnknownDocumentError, AmbiguousDocumentError: no document of this hospital, or several, are meant.
        FhirInputError: the corrected bytes are no FHIR resource.
        TooFewSeatsError: too few keepers are up; repeat it.
    """
    member = home.member(who.member)
    for patient in (wrong, right):
        if member.store.link_of(patient.wallet.subject) is None:
            raise NoSuchSubjectError(member=member.name)
    record = _find(member, wrong.wallet.subject, document)
    opened, request_id = await _open(home, member, who, wrong, record)
    tx_id = None if opened.fate is not None else await member.author.withdraw(record)
    sealed = await _seal(member, opened, wrong, right, corrected or opened.data)
    return Moved(record, sealed, tx_id, await _read_by(home, member, wrong.wallet.subject, record, request_id))


def _find(member: GatewaySide, subject: SubjectId, document: str) -> RecordId:
    """The own record that this id means."""
    version = member.author.version_of(subject, document)
    if version is not None:
        return version
    own = [RecordId(member.name, batch, one.index) for batch, es in member.store.own_of_subject(subject) for one in es]
    found = [record for record in own if is_meant(record, document)]
    if len(found) > 1:
        raise AmbiguousDocumentError(documents=len(found))
    if not found:
        raise UnknownDocumentError(member=member.name)
    return found[0]


async def _open(
    home: Home, member: GatewaySide, who: StaffName, wrong: Patient, record: RecordId
) -> tuple[Opened, bytes]:
    """Open an own document as the person, logged under a request of its own."""
    reader = reader_of(await home.people.staff(who))
    opening = Opening(
        chain=member.gateway.chain,
        request_id=new_id(),
        salt=new_secret(),
        subject=wrong.wallet.subject,
        member=member.name,
        key=reader.key.public,
        credential_id=reader.credential_id,
        purpose=TREATMENT,  # To keep two charts right is part of treating both patients.
        reason=REASON,
        selection=Selection(records=(record,), history=True),
        reply_key=OpeningKey(new_secret()).public,
    )
    view = member.own.read(opening, reader.key.sign(to_sign(opening)), reader.claims)
    if not view.records:
        raise UnknownDocumentError(member=member.name)
    return view.records[0], opening.request_id


async def _seal(member: GatewaySide, opened: Opened, wrong: Patient, right: Patient, data: bytes) -> RecordId:
    bundle = read_bundle(data)
    entry = bundle.entries[0]
    subject = right.wallet.subject
    done = member.author.was_sealed(subject, entry.key, data)
    if done is not None:
        return done
    labels = _labels(member, opened.header, wrong.wallet.subject, bundle)
    level = confidentiality(entry.facts, labels)
    facts = seal_facts(member.pack, labels, frozenset({level}))
    document = NewDocument(
        subject=subject,
        data=data,
        fhir_type=opened.header.fhir_type,
        terms=terms_of(entry.facts, labels, level, Resolver(bundle, Directory())),
        explicit=facts.explicit,
        bits=facts.bits | Bits(opened.header.bits),
        source=entry.key,
    )
    batch = await member.author.seal([document])
    return batch.records[0]


def _labels(member: GatewaySide, header: Header, subject: SubjectId, bundle: Bundle) -> frozenset[str]:
    """The document's labels: by its own codes, and those it bore, which this author can still tell by its own key.

    A label may come from the visit that the document told of, which its bytes alone no longer say.
    """
    link = member.store.link_of(subject)
    assert link is not None, "Links were checked before."
    borne = {label for label in LABELS if blind(link.term_key, f"label:{label}") in header.terms}
    entry = bundle.entries[0]
    return ancestors_of(labels_of(entry.resource_type, entry.facts) | borne)


async def _read_by(
    home: Home, member: GatewaySide, subject: SubjectId, record: RecordId, own_request: bytes
) -> tuple[Use, ...]:
    kept = await ask(member.gateway.transport, member.name, OwnMemberWantsLog(subject=subject), LogForOwnMember)
    entries = [reopen(LogEntry, data) for data in (*member.own_log.entries(subject), *kept.entries)]
    requests = {e.request_id for e in entries if record in released_in(e)} - {own_request}
    uses = uses_of(home, [entry for entry in entries if entry.request_id in requests])
    return tuple(use for use in uses if use.reason != REASON)
