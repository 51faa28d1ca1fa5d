"""From which height on CometBFT must keep its own blocks; the member's ledger keeps all of its blocks regardless.

By default everything is kept, and a hospital wants that: the receipt of an old entry, which a court may ask for years
later, is made from CometBFT's commit of that day. A member that is short of disk may set `kept_blocks` in its
`member.toml`, as long as some members keep all: it then gives no receipts of older entries, and says so
(`engine.no_such_transaction`), and nobody replays from it.

Never dropped is what others need. Evidence of a double signature counts while it is younger than either limit of the
genesis (100,000 blocks, 14 days); to check it takes the blocks since. Whoever joins by a snapshot fetches the blocks
after it.
"""

from collections.abc import Callable, Sequence

from salus.core.ids import SECOND_MS, Height
from salus.engines.cometbft.founding import EVIDENCE_AGE_BLOCKS, EVIDENCE_AGE_S
from salus.engines.ledger_copy import NotFoundError
from salus.engines.replica import Replica


def retain_height(
    replica: Replica,
    snapshots: Sequence[Height],
    kept_blocks: int | None,
    *,
    evidence_blocks: int = EVIDENCE_AGE_BLOCKS,
    evidence_s: int = EVIDENCE_AGE_S,
) -> Height:
    """The first height that CometBFT must keep; 0 where it must keep all it has.

    At most `kept_blocks` are kept if nothing needs more; None keeps all. Without a snapshot nothing is dropped.
    """
    if kept_blocks is None or not snapshots:
        return 0
    first = min(replica.height - max(kept_blocks, evidence_blocks), snapshots[0])
    if first <= 1:
        return 0
    try:
        time = replica.block(first).header.time
    except NotFoundError:
        return 0  # It came here in a snapshot: CometBFT has nothing older either.
    return first if time < replica.time - evidence_s * SECOND_MS else 0


def retaining(
    replica: Replica,
    snapshots: Callable[[], Sequence[Height]],
    kept_blocks: int | None,
    *,
    evidence_blocks: int = EVIDENCE_AGE_BLOCKS,
    evidence_s: int = EVIDENCE_AGE_S,
) -> Callable[[], int]:
    """The same as a question to be asked after each commit."""
    if kept_blocks is None:
        return lambda: 0
    return lambda: retain_height(
        replica, snapshots(), kept_blocks, evidence_blocks=evidence_blocks, evidence_s=evidence_s
    )
