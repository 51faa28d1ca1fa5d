"""What other rooms ask of records. All need the author: batch ids are scoped to it."""

from collections.abc import Iterable

from salus.contracts.members.reads import committee_of, departure_of, departures
from salus.contracts.records.messages import Anchor, FirstWithdraw, Withdraw
from salus.contracts.records.tables import ATTESTED, BATCHES, OVERRIDES, Batch, Dealing, Override
from salus.core.ids import BatchId, Digest, MemberId
from salus.core.wire import Message
from salus.state.state import State


def batch_of(state: State, author: MemberId, batch_id: BatchId) -> Batch | None:
    """A batch on the ledger."""
    return BATCHES.get(state, (author, batch_id))


def dealings_of(state: State, author: MemberId, batch_id: BatchId) -> tuple[Dealing, ...]:
    """To whom a batch was dealt, one after the other; the last is in force. None where there is no such batch."""
    batch = BATCHES.get(state, (author, batch_id))
    if batch is None:
        return ()
    first = Dealing(epoch=batch.epoch, share_root=batch.share_root, height=batch.height, seats=batch.seats)
    committee = committee_of(state, batch.committee)
    if committee is not None and committee.epoch == batch.epoch:
        return (first,)  # As most are: there is nothing to look for.
    later = ATTESTED.items(state, author, batch_id)
    return (first, *(Dealing(key[2], one.share_root, one.height, one.seats) for key, one in later))


def dealing_of(state: State, author: MemberId, batch_id: BatchId) -> Dealing | None:
    """The dealing of a batch that is in force: whose shares, under which share root, count now."""
    dealings = dealings_of(state, author, batch_id)
    return dealings[-1] if dealings else None


def dealer_of(state: State, author: MemberId, dealing: Dealing) -> MemberId | None:
    """Who dealt: the author, or once it had left the member that had succeeded it then.

    None where that one has left too: of several that have, the ledger's state does not say who it was.
    """
    gone = departure_of(state, author)
    if gone is None or dealing.height <= gone.height:
        return author
    later = [one for name, one in departures(state) if name != author and one.height >= dealing.height]
    return None if any(one.successor == gone.successor for one in later) else gone.successor


def is_in_force(state: State, author: MemberId, batch_id: BatchId, root: Digest, share_root: Digest) -> bool:
    """Whether a batch is on the ledger under this root, and dealt last under this share root."""
    batch = BATCHES.get(state, (author, batch_id))
    if batch is None or batch.root != root:
        return False
    return dealings_of(state, author, batch_id)[-1].share_root == share_root


def fate_of(state: State, author: MemberId, batch_id: BatchId, index: int) -> Override | None:
    """What became of a version; None while it counts, and also where its batch is not on the ledger."""
    return OVERRIDES.get(state, (author, batch_id, index))


def is_current(state: State, author: MemberId, batch_id: BatchId, index: int) -> bool:
    """Whether a version counts: its batch is on the ledger, and nothing took its place."""
    known = BATCHES.has(state, (author, batch_id))
    return known and not OVERRIDES.has(state, (author, batch_id, index))


def overridden_by(accepted: Iterable[tuple[MemberId, Message]]) -> set[tuple[MemberId, BatchId]]:
    """The batches, by author, some version of which these messages with their sponsors put out of use."""
    overridden: set[tuple[MemberId, BatchId]] = set()
    for sponsor, message in accepted:
        if isinstance(message, Anchor):
            overridden.update((sponsor, target.batch_id) for target in message.supersedes)
        elif isinstance(message, Withdraw | FirstWithdraw):
            overridden.add((sponsor, message.batch_id))
    return overridden
