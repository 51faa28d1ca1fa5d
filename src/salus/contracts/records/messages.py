"""What an author may say of sealed records: a batch exists, is dealt to other seats, holds a version that is over."""

from typing import ClassVar

from salus.core.ids import BatchId, CommitteeId, Digest, Epoch, LeafIndex, Name, Seat, Signature, TimeMs
from salus.core.wire import Message, Record


class SeatReceipt(Record, tag="records.receipt/1", frozen=True):
    """A keeper's signature that it holds its shares of a batch until `good_until`, see `statements.deposited`."""

    seat: Seat
    good_until: TimeMs
    signature: Signature


class FirstSupersede(Record, tag="records.supersede/1", frozen=True):
    """`Supersede` as it was before members could be succeeded: of own records alone. Blocks of that time hold it."""

    batch_id: BatchId
    index: LeafIndex
    successor_index: LeafIndex
    author: ClassVar[None] = None


class Supersede(Record, tag="records.supersede/2", frozen=True):
    """An older version of the sponsor's, and the leaf of the new batch that takes its place."""

    batch_id: BatchId
    index: LeafIndex
    successor_index: LeafIndex
    author: Name | None = None  # The departed member that the sponsor has succeeded; None for an own record.


class Anchor(Message, tag="records.anchor/1", frozen=True):
    """Make up to 1,024 sealed records final, of many patients, as one entry. The sponsor is their author."""

    batch_id: BatchId
    root: Digest
    share_root: Digest
    committee: CommitteeId
    epoch: Epoch
    receipts: tuple[SeatReceipt, ...]  # At least a quorum, by rising seat.
    supersedes: tuple[Supersede | FirstSupersede, ...]


class Attest(Message, tag="records.attest/1", frozen=True):
    """A final batch was dealt again, to its committee at a later epoch. Its records stay as they are."""

    batch_id: BatchId
    epoch: Epoch  # The committee's current one.
    share_root: Digest
    receipts: tuple[SeatReceipt, ...]  # At least a quorum of that epoch's, by rising seat, over the batch's own root.
    author: Name | None = None  # As in `Supersede`.


class FirstWithdraw(Message, tag="records.withdraw/1", frozen=True):
    """`Withdraw` as it was before members could be succeeded, as `FirstSupersede`."""

    batch_id: BatchId
    index: LeafIndex
    author: ClassVar[None] = None


class Withdraw(Message, tag="records.withdraw/2", frozen=True):
    """Take one own record out of use, such as a document filed under the wrong patient."""

    batch_id: BatchId
    index: LeafIndex
    author: Name | None = None  # As in `Supersede`.
