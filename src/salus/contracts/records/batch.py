"""How a batch is laid out: 1,024 leaves for headers, 1,024 rows for shares, dummies where there is no record.

The author builds both trees, each keeper builds them again from what it was sent, a reader checks paths into them.
Sizes say nothing: a batch of one looks like a batch of a thousand to whoever lacks the dummy seed.
"""

import hashlib
from collections.abc import Mapping, Sequence

from salus.contracts.records.header import LEAVES_PER_BATCH, RecordId
from salus.core.ids import BatchId, ChainId, CommitteeId, Digest, Epoch, MemberId
from salus.core.wire import encode
from salus.crypto.digests import tagged
from salus.crypto.merkle import Levels, dummy_leaf, levels

DIGEST_BYTES = 32
_SHARE_ROW = b"\x02"


def leaf_levels(leaves: Mapping[int, Digest], dummy_seed: bytes) -> Levels:
    """The tree over header leaves: `leaves` by index, dummies elsewhere."""
    return _filled(leaves, tagged("records.dummy_leaves", dummy_seed))


def row_levels(rows: Mapping[int, Digest], dummy_seed: bytes) -> Levels:
    """The tree over share rows: `rows` by index, dummies elsewhere."""
    return _filled(rows, tagged("records.dummy_rows", dummy_seed))


def repair_seed(batch_id: BatchId, epoch: Epoch, keys: Sequence[bytes]) -> Digest:
    """The seed of dummy rows where a successor deals: from the keys, by rising index, as nobody has the author's."""
    return tagged("records.repair", batch_id, encode(epoch), *keys)


def share_row(share_hashes: bytes) -> Digest:
    """A record's row: one digest over SHA-256 of each seat's share, in the order of seats."""
    return hashlib.sha256(_SHARE_ROW + share_hashes).digest()


def share_contexts_prefix(
    *,
    chain: ChainId,
    author: MemberId,
    batch_id: BatchId,
    committee: CommitteeId,
    epoch: Epoch,
    seats: int,
    threshold: int,
) -> bytes:
    """What the coefficients of a batch's shares depend on, besides each key and its index."""
    return tagged("records.dealing", encode((chain, author, batch_id, committee, epoch, seats, threshold)))


def share_context(prefix: bytes, index: int) -> bytes:
    """The dealing context of one record of a batch."""
    return prefix + index.to_bytes(2, "big")


def key_commitment(*, chain: ChainId, record: RecordId, key: bytes) -> Digest:
    """`key_com`: binds a header to the document key, and names neither committee nor epoch."""
    return hashlib.sha256(_KEY_COMMITMENT + _place(chain, record) + key).digest()


def document_context(chain: ChainId, record: RecordId) -> bytes:
    """What a document's encryption is bound to: chain, record id, author."""
    return _place(chain, record)


_KEY_COMMITMENT = b"\x03key"


def _place(chain: ChainId, record: RecordId) -> bytes:
    return encode((chain, record.author, record.batch_id, record.index))


def _filled(some: Mapping[int, Digest], seed: bytes) -> Levels:
    get = some.get
    return levels([get(index) or dummy_leaf(seed, index) for index in range(LEAVES_PER_BATCH)])
