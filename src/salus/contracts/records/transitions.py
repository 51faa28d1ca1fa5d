"""One function per message; each checks, then writes.

Only an author can touch its records: targets are looked up under the sponsor, so another's are simply not there.
"""

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_of, holder_of
from salus.contracts.records.errors import (
    AlreadyOverriddenError,
    AlreadyWithdrawnError,
    BadReceiptError,
    BatchExistsError,
    BatchNotFoundError,
    CommitteeNotFoundError,
    ReceiptEndsEarlyError,
    ReceiptsOutOfOrderError,
    StaleEpochError,
    TargetInOwnBatchError,
    TargetTwiceError,
    TooFewReceiptsError,
    UnknownSeatError,
)
from salus.contracts.records.messages import Anchor, Withdraw
from salus.contracts.records.statements import deposited
from salus.contracts.records.tables import BATCHES, OVERRIDES, Batch, Fate, Override, Successor
from salus.core.context import Context
from salus.crypto.shares import quorum
from salus.state.state import State


def anchor(state: State, ctx: Context, msg: Anchor) -> None:
    """Make a batch final, and let its records take the place of older ones.

    Raises, in this order:
        ReceiptsOutOfOrderError: seats do not rise strictly.
        ReceiptEndsEarlyError: a receipt's `good_until` is before the transaction's `valid_until`.
        TargetInOwnBatchError: a record of this very batch would be superseded.
        TargetTwiceError: one record would be superseded twice.
        BatchExistsError: the sponsor has used this `batch_id`.
        CommitteeNotFoundError: no committee has this id.
        StaleEpochError: the committee is at another epoch.
        UnknownSeatError: a receipt names a seat that the committee does not have.
        TooFewReceiptsError: fewer receipts than a quorum.
        BatchNotFoundError: a target's batch is not the sponsor's.
        AlreadyOverriddenError: a target was superseded or withdrawn before.
        BadReceiptError: a signature is not its seat's over this batch.
    """
    _check_alone(ctx, msg)
    if BATCHES.has(state, (ctx.sponsor, msg.batch_id)):
        raise BatchExistsError(author=ctx.sponsor, batch_id=msg.batch_id)
    committee = committee_of(state, msg.committee)
    if committee is None:
        raise CommitteeNotFoundError(committee=msg.committee)
    if msg.epoch != committee.epoch:
        raise StaleEpochError(committee=msg.committee, epoch=committee.epoch)
    _check_seats(committee, msg)
    _check_targets(state, ctx, msg)
    _check_signatures(committee, ctx, msg)  # Last, because signatures cost a hundred times what the rest does.
    batch = Batch(
        root=msg.root,
        share_root=msg.share_root,
        committee=msg.committee,
        epoch=msg.epoch,
        height=ctx.height,
        seats=sum(1 << (receipt.seat - 1) for receipt in msg.receipts),  # Strictly rising, so none counts twice.
    )
    BATCHES.put(state, (ctx.sponsor, msg.batch_id), batch)
    for target in msg.supersedes:
        successor = Successor(batch_id=msg.batch_id, index=target.successor_index)
        override = Override(fate=Fate.SUPERSEDED, successor=successor)
        OVERRIDES.put(state, (ctx.sponsor, target.batch_id, target.index), override)


def withdraw(state: State, ctx: Context, msg: Withdraw) -> None:
    """Take one own record out of use. One that was superseded keeps the name of its successor.

    Raises, in this order:
        BatchNotFoundError: the sponsor has no such batch.
        AlreadyWithdrawnError: the record was withdrawn before.
    """
    if not BATCHES.has(state, (ctx.sponsor, msg.batch_id)):
        raise BatchNotFoundError(author=ctx.sponsor, batch_id=msg.batch_id)
    before = OVERRIDES.get(state, (ctx.sponsor, msg.batch_id, msg.index))
    if before is not None and before.fate is Fate.WITHDRAWN:
        raise AlreadyWithdrawnError(author=ctx.sponsor, batch_id=msg.batch_id, index=msg.index)
    override = Override(fate=Fate.WITHDRAWN, successor=None if before is None else before.successor)
    OVERRIDES.put(state, (ctx.sponsor, msg.batch_id, msg.index), override)


def _check_alone(ctx: Context, msg: Anchor) -> None:
    """What the message says of itself."""
    last = 0
    for receipt in msg.receipts:
        if receipt.seat <= last:
            raise ReceiptsOutOfOrderError(batch_id=msg.batch_id, seat=receipt.seat)
        last = receipt.seat
    for receipt in msg.receipts:
        if receipt.good_until < ctx.valid_until:
            raise ReceiptEndsEarlyError(batch_id=msg.batch_id, seat=receipt.seat, good_until=receipt.good_until)
    for target in msg.supersedes:
        if target.batch_id == msg.batch_id:
            raise TargetInOwnBatchError(batch_id=msg.batch_id, index=target.index)
    targets: set[tuple[bytes, int]] = set()
    for target in msg.supersedes:
        if (target.batch_id, target.index) in targets:
            raise TargetTwiceError(batch_id=target.batch_id, index=target.index)
        targets.add((target.batch_id, target.index))


def _check_seats(committee: Committee, msg: Anchor) -> None:
    for receipt in msg.receipts:
        if holder_of(committee, receipt.seat) is None:
            raise UnknownSeatError(committee=msg.committee, seat=receipt.seat)
    if len(msg.receipts) < quorum(len(committee.seats)):
        raise TooFewReceiptsError(batch_id=msg.batch_id, receipts=len(msg.receipts))


def _check_targets(state: State, ctx: Context, msg: Anchor) -> None:
    for target in msg.supersedes:
        if not BATCHES.has(state, (ctx.sponsor, target.batch_id)):
            raise BatchNotFoundError(author=ctx.sponsor, batch_id=target.batch_id)
    for target in msg.supersedes:
        if OVERRIDES.has(state, (ctx.sponsor, target.batch_id, target.index)):
            raise AlreadyOverriddenError(author=ctx.sponsor, batch_id=target.batch_id, index=target.index)


def _check_signatures(committee: Committee, ctx: Context, msg: Anchor) -> None:
    for receipt in msg.receipts:
        statement = deposited(
            chain=ctx.chain,
            author=ctx.sponsor,
            batch_id=msg.batch_id,
            root=msg.root,
            share_root=msg.share_root,
            committee=msg.committee,
            epoch=msg.epoch,
            good_until=receipt.good_until,
        )
        if not ctx.verify(committee.seats[receipt.seat - 1].key, statement, receipt.signature):
            raise BadReceiptError(batch_id=msg.batch_id, seat=receipt.seat)
