"""The tree as its definition reads, slow and without pages: what the real one is compared with."""

from collections.abc import Mapping
from hashlib import sha256


def reference_root(contents: Mapping[bytes, bytes]) -> bytes:
    """The root over all contents, from the definition alone."""
    return _root({sha256(key).digest(): sha256(value).digest() for key, value in contents.items()}, 0)


def _root(leaves: Mapping[bytes, bytes], depth: int) -> bytes:
    if not leaves:
        return b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
    if len(leaves) == 1:
        ((key_hash, value_hash),) = leaves.items()
        return sha256(b"JMT::LeafNode" + key_hash + value_hash).digest()
    left = {key: value for key, value in leaves.items() if not key[depth // 8] >> (7 - depth % 8) & 1}
    right = {key: value for key, value in leaves.items() if key not in left}
    return sha256(b"JMT::IntrnalNode" + _root(left, depth + 1) + _root(right, depth + 1)).digest()
