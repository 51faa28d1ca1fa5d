"""What other rooms ask of records."""

import pytest

from salus.contracts.records.messages import Anchor, Supersede, Withdraw
from salus.contracts.records.reads import overridden_by
from salus.core.ids import NO_DIGEST, BatchId, CommitteeId, MemberId
from salus.core.wire import Message

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
