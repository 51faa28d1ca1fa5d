"""What a record says of itself to those who hold its key shares: never on the ledger, only its salted digest is.

`leaf` binds a header to its place in a batch; the ledger carries the root of 1,024 leaves. Consent is decided on the
header alone, with its terms blinded, so that a keeper matches a patient's words without knowing them.
"""

import hashlib
from enum import IntFlag

from salus.core.ids import BatchId, Digest, FhirType, LeafIndex, Name, Salt, SubjectId, Token, Unsigned
from salus.core.wire import Record

LEAVES_PER_BATCH = 1024


class Bits(IntFlag):
    """What the law of the sealing author's place adds to a record, as bits that every keeper can read."""

    NO_BREAK_GLASS = 1
    NO_PROXY = 2  # Closed to proxies, open to clinicians: a minor's own services.
    NO_REDISCLOSURE = 4
    RESTRICTED = 8


class RecordId(Record, tag="records.id/1", frozen=True):
    """Where a record stands: the author's batch, and the leaf in it."""

    author: Name
    batch_id: BatchId
    index: LeafIndex


class Header(Record, tag="records.header/1", frozen=True):
    """One sealed document version, as its keepers see it."""

    subject: SubjectId
    record: RecordId
    replaces: RecordId | None  # The version that this one corrects.
    blobs: tuple[Digest, ...]  # Ciphertext digests in order; one, unless the document is above 64 MiB.
    size_bytes: Unsigned  # Of the document as submitted.
    key_com: Digest  # Commits to the document key; names neither committee nor epoch.
    fhir_type: FhirType
    terms: tuple[Token, ...]  # Blinded, sorted, padded to a bucket.
    explicit: tuple[Token, ...]  # Permits must together name every one of these; padded.
    bits: Unsigned  # `Bits`.


def leaf(salt: Salt, header: bytes) -> Digest:
    """The leaf of an encoded header: SHA-256(salt ‖ header)."""
    return hashlib.sha256(salt + header).digest()
