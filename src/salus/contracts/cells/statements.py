"""The bytes a keeper signs when it holds what a cell's next commitment stands for."""

from salus.core.ids import CellId, ChainId, CommitteeId, Digest, Epoch, Version
from salus.core.wire import encode
from salus.crypto.digests import tagged


def held(
    *, chain: ChainId, cell_id: CellId, version: Version, commitment: Digest, committee: CommitteeId, epoch: Epoch
) -> Digest:
    """What a keeper signs for the version that `commitment` will make current."""
    return tagged("cells.held", encode((chain, cell_id, version, commitment, committee, epoch)))
