"""What may leave of the records a keeper holds: those selected, in versions that a reader may see, with their paths.

Whether a record is permitted says `consent.decide`; who asks and when, `answers.py`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from salus.contracts.consent import Decision, ReadKind, ReadRequest
from salus.contracts.reads.opening import Opening, Selection
from salus.contracts.records.batch import share_row
from salus.contracts.records.header import Header, RecordId, leaf
from salus.contracts.records.tables import Fate, Override
from salus.core.ids import BatchId, MemberId
from salus.core.wire import encode
from salus.crypto.merkle import narrow
from salus.keeper.checking import Holding
from salus.keeper.messages import BatchProof, Item


class Candidate(NamedTuple):
    """A record of the subject that this keeper holds and the ledger knows."""

    position: int  # In its holding's entries.
    header: Header
    override: Override | None


@dataclass(slots=True)
class Found:
    """One holding with what may leave of it."""

    author: MemberId
    batch_id: BatchId
    holding: Holding
    candidates: list[Candidate]
    released: list[tuple[Candidate, Decision]] = field(default_factory=list)


def asked_for(one: Found, opening: Opening, facts: ReadRequest) -> list[Candidate]:
    """Those of a holding that the opening selects, in versions that this reader may see at all."""
    selection = opening.selection
    chosen = one.candidates
    if selection.fhir_types or selection.records:
        chosen = [candidate for candidate in chosen if _selected(candidate.header, selection)]
    return [each for each in chosen if each.override is None or _may_see_version(each, opening, facts)]


def _selected(header: Header, selection: Selection) -> bool:
    wanted_type = not selection.fhir_types or header.fhir_type in selection.fhir_types
    return wanted_type and (not selection.records or header.record in selection.records)


def _may_see_version(candidate: Candidate, opening: Opening, facts: ReadRequest) -> bool:
    """Overridden versions go to requests for history; withdrawn ones to their author and the patient alone."""
    if candidate.override is None:
        return True
    if not opening.selection.history:
        return False
    is_own = facts.kind is ReadKind.PATIENT or opening.member == candidate.header.record.author
    return candidate.override.fate is Fate.SUPERSEDED or is_own


def keep_only_with_current(found: list[Found], permitted: set[RecordId]) -> None:
    """Of a superseded version, release only what has a permitted current one."""
    overrides = {c.header.record: c.override for one in found for c in one.candidates if c.override is not None}

    def current(record: RecordId) -> RecordId:
        for _ in range(len(overrides) + 1):
            override = overrides.get(record)
            if override is None or override.successor is None:
                return record
            by = override.successor.author or record.author
            record = RecordId(by, override.successor.batch_id, override.successor.index)
        return record

    for one in found:
        one.released = [
            (candidate, decision)
            for candidate, decision in one.released
            if candidate.override is None
            or candidate.override.fate is Fate.WITHDRAWN
            or current(candidate.header.record) in permitted
        ]


def indices(found: Found) -> bytes:
    """Which records of a holding are released, two bytes each."""
    return b"".join(candidate.header.record.index.to_bytes(2, "big") for candidate, _ in found.released)


def content(found: list[Found]) -> tuple[tuple[bytes, ...], tuple[BatchProof, ...]]:
    """Items to release and, per batch, the paths of exactly these records: a path for more would tell of more."""
    items: list[bytes] = []
    proofs: list[BatchProof] = []
    for one in found:
        if not one.released:
            continue
        entries = one.holding.entries
        for candidate, decision in one.released:
            entry = entries[candidate.position]
            item = Item(entry.header, entry.salt, entry.share, entry.share_hashes, decision.obligations)
            items.append(encode(item))
        proofs.append(_proof(one))
    return tuple(items), tuple(proofs)


def _proof(one: Found) -> BatchProof:
    holding = one.holding
    leaf_proof, row_proof = holding.leaf_proof, holding.row_proof
    if len(one.released) < len(holding.entries):
        kept = [candidate.header.record.index for candidate, _ in one.released]
        leaf_proof = narrow({e.index: leaf(e.salt, e.header) for e in holding.entries}, leaf_proof, kept)
        row_proof = narrow({e.index: share_row(e.share_hashes) for e in holding.entries}, row_proof, kept)
    return BatchProof(author=one.author, batch_id=one.batch_id, leaf_proof=leaf_proof, row_proof=row_proof)
