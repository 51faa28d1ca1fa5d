"""Counting which epoch's holders the shares of how many batches are with: `records` says when a batch is dealt.

A batch counts where it was dealt last. While an earlier epoch counts any, whoever held seats then still serves them,
and no member goes whose shares are needed.
"""

from salus.contracts.members.tables import DEALT, Dealt
from salus.core.ids import CommitteeId, Epoch
from salus.state.state import State


def count_dealt(state: State, committee: CommitteeId, epoch: Epoch) -> None:
    """One more batch is dealt to a committee at this epoch."""
    before = DEALT.get(state, (committee, epoch))
    DEALT.put(state, (committee, epoch), Dealt(batches=1 if before is None else before.batches + 1))


def count_moved(state: State, committee: CommitteeId, *, before: Epoch, after: Epoch) -> None:
    """A batch that was dealt at one epoch is dealt at a later one."""
    left = DEALT.get(state, (committee, before))
    assert left is not None, "A batch is counted from its anchor on."
    if left.batches == 1:
        DEALT.delete(state, (committee, before))
    else:
        DEALT.put(state, (committee, before), Dealt(batches=left.batches - 1))
    count_dealt(state, committee, after)
