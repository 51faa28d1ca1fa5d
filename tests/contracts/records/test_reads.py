"""What other rooms ask of records."""

import pytest

from salus.contracts.members.tables import AUTHORSHIPS, Authorship
from salus.contracts.records.messages import Anchor, Supersede, Withdraw
from salus.contracts.records.reads import dealer_of, overridden_by
from salus.contracts.records.tables import Dealing
from salus.core.ids import NO_DIGEST, BatchId, CommitteeId, MemberId
from salus.core.wire import Message
from salus.state.key_value import MemoryStore
from salus.state.state import State

MERCY, LAKESIDE = MemberId("mercy"), MemberId("lakeside")
OLD, OTHER, NEW = BatchId(b"o" * 16), BatchId(b"p" * 16), BatchId(b"n" * 16)


def anchor(*supersedes: Supersede) -> Anchor:
    return Anchor(
        batch_id=NEW,
        root=NO_DIGEST,
        share_root=NO_DIGEST,
        committee=CommitteeId(bytes(16)),
        epoch=0,
        receipts=(),
        supersedes=supersedes,
    )


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], set()),
        ([(MERCY, anchor())], set()),
        ([(MERCY, anchor(Supersede(OLD, 1, 0), Supersede(OTHER, 2, 1)))], {(MERCY, OLD), (MERCY, OTHER)}),
        ([(LAKESIDE, Withdraw(batch_id=OLD, index=3))], {(LAKESIDE, OLD)}),
    ],
)
def test_corrections_and_withdrawals_put_versions_of_older_batches_out_of_use(
    messages: list[tuple[MemberId, Message]], expected: set[tuple[MemberId, BatchId]]
) -> None:
    assert overridden_by(messages) == expected


@pytest.mark.parametrize(
    ("height", "gone", "expected"),
    [
        (5, {}, "mercy"),
        (5, {"mercy": ("lakeside", 5)}, "mercy"),  # In the block in which it left it could still say so.
        (6, {"mercy": ("lakeside", 5)}, "lakeside"),
        (6, {"mercy": ("lakeside", 5), "northgate": ("lakeside", 5)}, "lakeside"),  # That one had left before.
        (6, {"mercy": ("lakeside", 5), "northgate": ("st-luke", 9)}, "lakeside"),
        (6, {"mercy": ("lakeside", 5), "northgate": ("lakeside", 9)}, None),  # Northgate may have been between the two.
        (10, {"mercy": ("lakeside", 5), "northgate": ("lakeside", 9)}, "lakeside"),
        (4, {"mercy": ("lakeside", 5), "northgate": ("lakeside", 9)}, "mercy"),
    ],
)
def test_who_dealt_is_the_author_or_who_had_succeeded_it_then_or_is_not_known(
    height: int, gone: dict[str, tuple[str, int]], expected: str | None
) -> None:
    state = State(MemoryStore())
    for name, (successor, since) in gone.items():
        AUTHORSHIPS.put(state, MemberId(name), Authorship(successor=successor, height=since, jurisdiction="us"))
    assert dealer_of(state, MERCY, Dealing(epoch=1, share_root=NO_DIGEST, height=height, seats=0)) == expected
