"""The opening of a request to read: what its commitment on the ledger stands for, shown to keepers alone.

It is signed by the person's own key, so that a member's gateway cannot ask in the name of its staff. A repair is asked
for by a member itself, for no person and no patient: a departed author's batch, to deal it again.
"""

from typing import Annotated

from msgspec import Meta

from salus.contracts.records.header import RecordId
from salus.core.ids import (
    BatchId,
    ChainId,
    CredentialId,
    Digest,
    Name,
    PublicKey,
    Purpose,
    RequestId,
    Salt,
    SealingKey,
    SubjectId,
)
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged

RECORDS_MAX = 4096  # Named in one selection.
TYPES_MAX = 256
REASON_CHARACTERS_MAX = 1000

Reason = Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)]
TypeName = Annotated[str, Meta(max_length=64)]


class Selection(Record, tag="reads.selection/1", frozen=True):
    """Which of a subject's records are asked for. Empty fields do not constrain."""

    records: Annotated[tuple[RecordId, ...], Meta(max_length=RECORDS_MAX)] = ()
    fhir_types: Annotated[tuple[TypeName, ...], Meta(max_length=TYPES_MAX)] = ()
    except_author: Name | None = None  # The reader's own member, which opens its own records itself.
    history: bool = False  # Also versions that were superseded, where the current one is permitted too.


class Opening(Record, tag="reads.opening/1", frozen=True):
    """Who reads whom, why, under which credential: none for a patient or proxy who reads from an own device."""

    chain: ChainId
    request_id: RequestId
    salt: Salt
    subject: SubjectId
    member: Name  # Through whose gateway the person reads.
    key: PublicKey  # The person's own key: bound to their credential, or one of the policy's devices or proxies.
    credential_id: CredentialId | None
    purpose: Annotated[Purpose, Meta(max_length=32)]
    reason: Reason  # Typed by a person; required for break-glass. Never leaves the keepers' logs.
    selection: Selection
    reply_key: SealingKey  # Single use.


class RepairOpening(Record, tag="reads.repair_opening/1", frozen=True):
    """Which departed author's batch is asked for by the member that succeeded it, to deal it to other keepers."""

    chain: ChainId
    request_id: RequestId
    salt: Salt
    member: Name  # The successor.
    author: Name
    batch_id: BatchId
    reply_key: SealingKey  # Single use.


def commitment(opening: Opening) -> Digest:
    """What the ledger holds of this opening."""
    return tagged("reads.opening", encode(opening))


def reply_key_digest(key: SealingKey) -> Digest:
    """What the ledger holds of the single-use reply key."""
    return tagged("reads.reply_key", key)


def to_sign(opening: Opening) -> Digest:
    """What the person's own key signs."""
    return tagged("reads.opening.person", encode(opening))


def repair_commitment(opening: RepairOpening) -> Digest:
    """What the ledger holds of an opening for a repair."""
    return tagged("reads.repair", encode(opening))


def repair_to_sign(opening: RepairOpening) -> Digest:
    """What the successor's ledger key signs."""
    return tagged("reads.repair.member", encode(opening))
