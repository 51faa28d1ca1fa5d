"""One function per message; each checks, then writes.

Only an author can touch its records, or the member that succeeded it: another's are simply not there.
"""

from salus.contracts.members.dealing import count_dealt, count_moved
from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_of, holder_of, may_act_for
from salus.contracts.records.errors import (
    AlreadyOverriddenError,
    AlreadyWithdrawnError,
    AttestedBeforeError,
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
from salus.contracts.records.messages import (
    Anchor,
    Attest,
    FirstSupersede,
    FirstWithdraw,
    SeatReceipt,
    Supersede,
    Withdraw,
)
from salus.contracts.records.reads import dealings_of
from salus.contracts.records.statements import deposited
from salus.contracts.records.tables import ATTESTED, BATCHES, OVERRIDES, Attested, Batch, Fate, Override, Successor
from salus.core.context import Context
from salus.core.ids import CommitteeId, Digest, MemberId
from salus.crypto.shares import quorum
from salus.state.state import State

Named = Attest | Supersede | FirstSupersede | Withdraw | FirstWithdraw


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
        BatchNotFoundError: a target's batch is neither the sponsor's nor that of one it has succeeded.
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
    # Last, because signatures cost a hundred times what the rest does.
    _check_signatures(committee, msg.committee, msg.root, ctx.sponsor, ctx, msg)
    batch = Batch(
        root=msg.root,
        share_root=msg.share_root,
        committee=msg.committee,
        epoch=msg.epoch,
        height=ctx.height,
        seats=_signed(msg.receipts),
    )
    BATCHES.put(state, (ctx.sponsor, msg.batch_id), batch)
    count_dealt(state, msg.committee, msg.epoch)
    for target in msg.supersedes:
        author = _author(ctx, target)
        other = None if author == ctx.sponsor else ctx.sponsor
        successor = Successor(batch_id=msg.batch_id, index=target.successor_index, author=other)
        override = Override(fate=Fate.SUPERSEDED, successor=successor)
        OVERRIDES.put(state, (author, target.batch_id, target.index), override)


def attest(state: State, ctx: Context, msg: Attest) -> None:
    """Say that a quorum of the committee at its current epoch holds the shares of a batch, dealt again.

    Raises, in this order:
        ReceiptsOutOfOrderError: seats do not rise strictly.
        ReceiptEndsEarlyError: a receipt's `good_until` is before the transaction's `valid_until`.
        BatchNotFoundError: neither the sponsor nor one it has succeeded has such a batch.
        StaleEpochError: the committee is at another epoch.
        AttestedBeforeError: the batch is dealt to this epoch already.
        UnknownSeatError: a receipt names a seat that the committee does not have.
        TooFewReceiptsError: fewer receipts than a quorum.
        BadReceiptError: a signature is not its seat's over this batch, dealt at this epoch under this share root.
    """
    _check_receipts(ctx, msg)
    author = _author(ctx, msg)
    _check_batch(state, ctx, msg)
    batch = BATCHES.get(state, (author, msg.batch_id))
    assert batch is not None, "It was found a line above."
    committee = committee_of(state, batch.committee)
    if committee is None or msg.epoch != committee.epoch:
        raise StaleEpochError(committee=batch.committee, epoch=0 if committee is None else committee.epoch)
    before = dealings_of(state, author, msg.batch_id)[-1].epoch
    if before == msg.epoch:
        raise AttestedBeforeError(batch_id=msg.batch_id, epoch=msg.epoch)
    _check_seats(committee, msg)
    _check_signatures(committee, batch.committee, batch.root, author, ctx, msg)
    attested = Attested(share_root=msg.share_root, height=ctx.height, seats=_signed(msg.receipts))
    ATTESTED.put(state, (author, msg.batch_id, msg.epoch), attested)
    count_moved(state, batch.committee, before=before, after=msg.epoch)


def withdraw(state: State, ctx: Context, msg: Withdraw | FirstWithdraw) -> None:
    """Take one own record out of use. One that was superseded keeps the name of its successor.

    Raises, in this order:
        BatchNotFoundError: neither the sponsor nor one it has succeeded has such a batch.
        AlreadyWithdrawnError: the record was withdrawn before.
    """
    author = _author(ctx, msg)
    _check_batch(state, ctx, msg)
    before = OVERRIDES.get(state, (author, msg.batch_id, msg.index))
    if before is not None and before.fate is Fate.WITHDRAWN:
        raise AlreadyWithdrawnError(author=author, batch_id=msg.batch_id, index=msg.index)
    override = Override(fate=Fate.WITHDRAWN, successor=None if before is None else before.successor)
    OVERRIDES.put(state, (author, msg.batch_id, msg.index), override)


def _author(ctx: Context, named: Named) -> MemberId:
    """Whose record is meant."""
    return ctx.sponsor if named.author is None else named.author


def _check_batch(state: State, ctx: Context, named: Named) -> None:
    """Raise BatchNotFoundError where there is no such batch, and also where it is not the sponsor's to touch."""
    author = _author(ctx, named)
    if not BATCHES.has(state, (author, named.batch_id)) or not may_act_for(state, ctx.sponsor, author):
        raise BatchNotFoundError(author=author, batch_id=named.batch_id)


def _signed(receipts: tuple[SeatReceipt, ...]) -> int:
    """A bit for each seat. They rise strictly, so none counts twice."""
    return sum(1 << (receipt.seat - 1) for receipt in receipts)


def _check_receipts(ctx: Context, msg: Anchor | Attest) -> None:
    """What receipts say of themselves."""
    last = 0
    for receipt in msg.receipts:
        if receipt.seat <= last:
            raise ReceiptsOutOfOrderError(batch_id=msg.batch_id, seat=receipt.seat)
        last = receipt.seat
    for receipt in msg.receipts:
        if receipt.good_until < ctx.valid_until:
            raise ReceiptEndsEarlyError(batch_id=msg.batch_id, seat=receipt.seat, good_until=receipt.good_until)


def _check_alone(ctx: Context, msg: Anchor) -> None:
    """What the message says of itself."""
    _check_receipts(ctx, msg)
    for target in msg.supersedes:
        if target.batch_id == msg.batch_id and _author(ctx, target) == ctx.sponsor:
            raise TargetInOwnBatchError(batch_id=msg.batch_id, index=target.index)
    targets: set[tuple[MemberId, bytes, int]] = set()
    for target in msg.supersedes:
        named = (_author(ctx, target), target.batch_id, target.index)
        if named in targets:
            raise TargetTwiceError(batch_id=target.batch_id, index=target.index)
        targets.add(named)


def _check_seats(committee: Committee, msg: Anchor | Attest) -> None:
    for receipt in msg.receipts:
        if holder_of(committee, receipt.seat) is None:
            raise UnknownSeatError(batch_id=msg.batch_id, seat=receipt.seat)
    if len(msg.receipts) < quorum(len(committee.seats)):
        raise TooFewReceiptsError(batch_id=msg.batch_id, receipts=len(msg.receipts))


def _check_targets(state: State, ctx: Context, msg: Anchor) -> None:
    for target in msg.supersedes:
        _check_batch(state, ctx, target)
    for target in msg.supersedes:
        author = _author(ctx, target)
        if OVERRIDES.has(state, (author, target.batch_id, target.index)):
            raise AlreadyOverriddenError(author=author, batch_id=target.batch_id, index=target.index)


def _check_signatures(
    committee: Committee, named: CommitteeId, root: Digest, author: MemberId, ctx: Context, msg: Anchor | Attest
) -> None:
    for receipt in msg.receipts:
        statement = deposited(
            chain=ctx.chain,
            author=author,
            batch_id=msg.batch_id,
            root=root,
            share_root=msg.share_root,
            committee=named,
            epoch=msg.epoch,
            good_until=receipt.good_until,
        )
        if not ctx.verify(committee.seats[receipt.seat - 1].key, statement, receipt.signature):
            raise BadReceiptError(batch_id=msg.batch_id, seat=receipt.seat)
