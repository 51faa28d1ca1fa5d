"""The bytes a keeper signs for a batch, and that the contract and every reader check."""

from salus.core.ids import BatchId, ChainId, CommitteeId, Digest, Epoch, MemberId, TimeMs
from salus.core.wire import encode
from salus.crypto.digests import tagged


def deposited(
    *,
    chain: ChainId,
    author: MemberId,
    batch_id: BatchId,
    root: Digest,
    share_root: Digest,
    committee: CommitteeId,
    epoch: Epoch,
    good_until: TimeMs,
) -> Digest:
    """What a keeper signs once its shares of a batch are durable: both roots, for one epoch, until a time."""
    return tagged(
        "records.deposited", encode((chain, author, batch_id, root, share_root, committee, epoch, good_until))
    )
