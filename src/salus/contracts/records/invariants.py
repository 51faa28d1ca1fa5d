"""What holds of records after every block; each yields whatever breaks it."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from salus.contracts.members.reads import committee_at, committee_of, member_of, successor_of
from salus.contracts.members.tables import DEALT
from salus.contracts.records.header import LEAVES_PER_BATCH
from salus.contracts.records.reads import dealings_of
from salus.contracts.records.tables import ATTESTED, BATCHES, OVERRIDES, Fate
from salus.core.ids import BatchId, MemberId
from salus.crypto.shares import quorum
from salus.state.state import State


def batches_have_authors_and_keepers(state: State) -> Iterator[str]:
    """Every batch has a member that answers for it, and was anchored with a committee at an epoch it has reached."""
    for (author, batch_id), batch in BATCHES.items(state):
        committee = committee_of(state, batch.committee)
        answers = successor_of(state, author) or author
        if member_of(state, answers) is None or committee is None or batch.epoch > committee.epoch:
            yield _shown(author, batch_id)


def overrides_name_records(state: State) -> Iterator[str]:
    """What was overridden lies in a batch of the same author."""
    for (author, batch_id, index), _ in OVERRIDES.items(state):
        if not BATCHES.has(state, (author, batch_id)) or not 0 <= index < LEAVES_PER_BATCH:
            yield _shown(author, batch_id, index)


def successors_come_later(state: State) -> Iterator[str]:
    """A superseded version names a successor: in another batch, anchored no earlier, by the author or for it."""
    for (author, batch_id, index), override in OVERRIDES.items(state):
        successor = override.successor
        if successor is None:
            if override.fate is Fate.SUPERSEDED:
                yield _shown(author, batch_id, index)
            continue
        by = author if successor.author is None else successor.author
        old, new = BATCHES.get(state, (author, batch_id)), BATCHES.get(state, (by, successor.batch_id))
        is_same = (by, successor.batch_id) == (author, batch_id)
        if is_same or successor.author == author or old is None or new is None or new.height < old.height:
            yield _shown(author, batch_id, index)


def dealings_follow_each_other(state: State) -> Iterator[str]:
    """Whatever was dealt again was so later, at a later epoch that its committee has reached, with a quorum's word."""
    for (author, batch_id, epoch), _ in ATTESTED.items(state):
        if not BATCHES.has(state, (author, batch_id)):
            yield _shown(author, batch_id, epoch)
    for (author, batch_id), batch in BATCHES.items(state):
        dealings = dealings_of(state, author, batch_id)
        for before, after in pairwise(dealings):
            committee = committee_at(state, batch.committee, after.epoch)
            need = 0 if committee is None else quorum(len(committee.seats))
            is_later = before.epoch < after.epoch and before.height <= after.height
            if committee is None or not is_later or after.seats.bit_count() < need:
                yield _shown(author, batch_id, after.epoch)


def batches_count_where_they_lie(state: State) -> Iterator[str]:
    """Every committee counts at each epoch as many batches as were dealt there last."""
    found = Counter(
        (batch.committee, dealings_of(state, author, batch_id)[-1].epoch)
        for (author, batch_id), batch in BATCHES.items(state)
    )
    counted = {key: dealt.batches for key, dealt in DEALT.items(state)}
    for committee, epoch in sorted(found.keys() | counted.keys()):
        if found[committee, epoch] != counted.get((committee, epoch), 0):
            yield f"{committee.hex()}/{epoch}"


def _shown(author: MemberId, batch_id: BatchId, *index: int) -> str:
    return "/".join((author, batch_id.hex(), *map(str, index)))


INVARIANTS = (
    batches_have_authors_and_keepers,
    overrides_name_records,
    successors_come_later,
    dealings_follow_each_other,
    batches_count_where_they_lie,
)
