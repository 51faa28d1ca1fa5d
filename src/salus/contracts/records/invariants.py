"""What holds of records after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.members.reads import committee_of, member_of, successor_of
from salus.contracts.records.header import LEAVES_PER_BATCH
from salus.contracts.records.tables import BATCHES, OVERRIDES, Fate
from salus.core.ids import BatchId, MemberId
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


def _shown(author: MemberId, batch_id: BatchId, *index: int) -> str:
    return "/".join((author, batch_id.hex(), *map(str, index)))


INVARIANTS = (batches_have_authors_and_keepers, overrides_name_records, successors_come_later)
