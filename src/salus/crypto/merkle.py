"""Hash trees: of any size, as RFC 6962 and CometBFT build them; and of exactly 1,024 leaves, one per record batch.

In the first, a leaf is hashed behind 0x00, an inner node behind 0x01, so that neither passes for the other; n leaves
are split at the largest power of two below n; an empty tree's root is SHA-256 of nothing.

In the second, leaves are digests already (`records.header.leaf`, or `dummy_leaf` where a batch has no record) and the
depth is fixed, so no inner node passes for a leaf. A proof for many leaves is only the siblings that cannot be computed
from the leaves themselves, joined: from the lowest level up, in each level from left to right. Its length follows from
the indices alone. Levels are blobs of digests, not lists: they are built for every batch of a thousand records.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise

from salus.core.ids import Digest
from salus.crypto.errors import BadProofError

LEAVES = 1024
DEPTH = 10
DIGEST_BYTES = 32

Levels = tuple[bytes, ...]  # 11 blobs: the 1,024 leaves first, the root last.

_LEAF = b"\x00"
_INNER = b"\x01"
_PAIR_BYTES = 2 * DIGEST_BYTES
_DUMMY = b"salus.batch.dummy/1\0"


def root(leaves: Sequence[bytes]) -> Digest:
    """The root over these leaves, in order (RFC 6962, section 2.1)."""
    if not leaves:
        return sha256().digest()
    return _root_of([sha256(_LEAF + leaf).digest() for leaf in leaves])


def path(leaves: Sequence[bytes], index: int) -> tuple[Digest, ...]:
    """The siblings from leaf `index` up to the root, the lowest first (RFC 6962, section 2.1.1).

    Raises:
        BadProofError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise BadProofError(index=index, total=len(leaves))
    nodes = [leaf_digest(leaf) for leaf in leaves]
    siblings: list[Digest] = []
    while len(nodes) > 1:
        split = _split(len(nodes))
        if index < split:
            siblings.append(_root_of(nodes[split:]))
            nodes = nodes[:split]
        else:
            siblings.append(_root_of(nodes[:split]))
            nodes, index = nodes[split:], index - split
    return tuple(reversed(siblings))


def root_from_path(leaf: bytes, index: int, total: int, path: Sequence[Digest]) -> Digest:
    """The root that `total` leaves have if `leaf` is the one at `index` and these are its siblings.

    Raises:
        BadProofError: no such leaf, or not as many siblings of 32 bytes as its place requires.
    """
    if not 0 <= index < total or any(len(sibling) != DIGEST_BYTES for sibling in path):
        raise BadProofError(index=index, total=total)
    sides = _sides(index, total)
    if len(sides) != len(path):
        raise BadProofError(index=index, total=total)
    node = leaf_digest(leaf)
    for sibling, is_left in zip(path, sides, strict=True):
        node = inner_digest(node, sibling) if is_left else inner_digest(sibling, node)
    return node


def leaf_digest(leaf: bytes) -> Digest:
    """SHA-256(0x00 ‖ leaf)."""
    return sha256(_LEAF + leaf).digest()


def inner_digest(left: Digest, right: Digest) -> Digest:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(_INNER + left + right).digest()


def levels(leaves: Sequence[Digest]) -> Levels:
    """All levels over these 1,024 leaves, from which `prove_many` takes its siblings.

    Raises:
        BadProofError: there are not 1,024 leaves of 32 bytes.
    """
    level = b"".join(leaves)
    if len(leaves) != LEAVES or len(level) != LEAVES * DIGEST_BYTES:
        raise BadProofError(leaves=len(leaves))
    built = [level]
    while len(level) > DIGEST_BYTES:
        starts = range(0, len(level), _PAIR_BYTES)
        level = b"".join([sha256(_INNER + level[start : start + _PAIR_BYTES]).digest() for start in starts])
        built.append(level)
    return tuple(built)


def batch_root(leaves: Sequence[Digest]) -> Digest:
    """The root over these 1,024 leaves.

    Raises:
        BadProofError: there are not 1,024 leaves of 32 bytes.
    """
    return levels(leaves)[DEPTH]


def dummy_leaf(seed: bytes, index: int) -> Digest:
    """The leaf at an unused place: SHA-256 of a tag, the batch's 32-byte seed and the index in two bytes."""
    return sha256(_DUMMY + seed + index.to_bytes(2, "big")).digest()


def prove_many(levels: Levels, indices: Sequence[int]) -> bytes:
    """The proof for the leaves at these indices, which ascend.

    Raises:
        BadProofError: no index, one out of range, or not strictly ascending.
    """
    return prove_alike((levels,), indices)[0]


def prove_alike(trees: Sequence[Levels], indices: Sequence[int]) -> list[bytes]:
    """As `prove_many`, for the same indices in each of several trees.

    Raises:
        BadProofError: as `prove_many`.
    """
    missing = [(height, DIGEST_BYTES * place) for height, place in _missing(_checked(indices))]
    return [b"".join([levels[height][start : start + DIGEST_BYTES] for height, start in missing]) for levels in trees]


def root_of_many(leaves: Mapping[int, Digest], proof: bytes) -> Digest:
    """The root that a batch has if these leaves stand at these indices. Compare it with the root on the ledger.

    Raises:
        BadProofError: no leaf, an index out of range, a leaf not of 32 bytes, or a proof of another length.
    """
    return _climb(leaves, proof)[DEPTH][0]


def narrow(leaves: Mapping[int, Digest], proof: bytes, keep: Sequence[int]) -> bytes:
    """The proof for some of these leaves, from the proof for all of them: what a reader gets who may see fewer.

    Raises:
        BadProofError: as `root_of_many`; or `keep` is empty, does not ascend, or names a leaf not given.
    """
    if any(index not in leaves for index in _checked(keep)):
        raise BadProofError(leaves=len(leaves))
    known = _climb(leaves, proof)
    return b"".join([known[height][place] for height, place in _missing(keep)])


def _climb(leaves: Mapping[int, Digest], proof: bytes) -> list[dict[int, Digest]]:
    """Every node that the leaves and the proof give, by height and place; the last height holds the root alone."""
    places = _checked(sorted(leaves))
    level = dict(leaves)
    if any(len(leaf) != DIGEST_BYTES for leaf in level.values()):
        raise BadProofError(leaves=len(leaves))
    known: list[dict[int, Digest]] = []
    used = 0
    for _ in range(DEPTH):
        above: dict[int, Digest] = {}
        for place in places:
            sibling = level.get(place ^ 1)
            if sibling is None:
                sibling = level[place ^ 1] = proof[used : used + DIGEST_BYTES]
                used += DIGEST_BYTES
            elif place & 1:
                continue  # Done together with its left sibling.
            pair = sibling + level[place] if place & 1 else level[place] + sibling
            above[place >> 1] = sha256(_INNER + pair).digest()
        known.append(level)
        level, places = above, list(above)
    if used != len(proof):
        raise BadProofError(leaves=len(leaves), size_bytes=len(proof))
    known.append(level)
    return known


def _missing(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Height and place of every sibling that a proof for these leaves must carry, in the proof's order."""
    for height in range(DEPTH):
        present = set(places)
        for place in places:
            if place ^ 1 not in present:
                yield height, place ^ 1
        places = list(dict.fromkeys([place >> 1 for place in places]))


def _checked(indices: Sequence[int]) -> Sequence[int]:
    if not indices or indices[0] < 0 or indices[-1] >= LEAVES or any(a >= b for a, b in pairwise(indices)):
        raise BadProofError(leaves=len(indices))
    return indices


def _root_of(nodes: list[Digest]) -> Digest:
    # Pairing neighbours level by level, the odd one moving up unchanged, splits as the RFC does and copies less.
    while len(nodes) > 1:
        pairs = [sha256(_INNER + nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes) - 1, 2)]
        nodes = pairs + nodes[len(pairs) * 2 :]
    return nodes[0]


def _split(total: int) -> int:
    """The largest power of two below `total`."""
    return 1 << ((total - 1).bit_length() - 1)


def _sides(index: int, total: int) -> list[bool]:
    """For each node from the leaf up, whether it is the left one of its pair."""
    sides: list[bool] = []
    while total > 1:
        split = _split(total)
        is_left = index < split
        sides.append(is_left)
        index, total = (index, split) if is_left else (index - split, total - split)
    return sides[::-1]
