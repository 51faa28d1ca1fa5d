"""Proofs that a key has a value, or that it has none, checked against a root alone.

A proof is the way from the root down to where the key's path ends: at the key's own leaf, at another leaf, or at an
empty place. The side hashes follow in that order, empty ones as a bit instead of 32 bytes. One fact has one proof.
"""

from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from salus.core.ids import Digest
from salus.core.wire import Record
from salus.state.errors import CorruptPageError
from salus.state.key_value import KeyValue
from salus.state.pages import (
    EMPTY,
    HASH_BYTES,
    HEX_DIGITS,
    LEAF_BYTES,
    PLACEHOLDER,
    digest_of,
    inner,
    levels,
    page_key,
    unpack,
)

DEPTH_MAX = 8 * HASH_BYTES


class Proof(Record, frozen=True, tag="state.proof/1"):
    """The way from a root to the end of one key's path."""

    depth: Annotated[int, Meta(ge=0, le=DEPTH_MAX)]  # Steps from the root: side hashes, empty ones included.
    taken: Annotated[bytes, Meta(max_length=DEPTH_MAX // 8)]  # A bit per step, highest first: its side is not empty.
    sides: Annotated[bytes, Meta(max_length=DEPTH_MAX * HASH_BYTES)]  # Of the steps taken, from the root down.
    other: Annotated[bytes, Meta(max_length=LEAF_BYTES)]  # Another key's leaf (key hash ‖ value hash) at the end.


def prove(pages: KeyValue, key: bytes) -> Proof:
    """The proof of what the tree says about this key, be it a value or absence."""
    key_hash = sha256(key).digest()
    sides, end = _descend(pages, key_hash)
    bits = 0
    for side in sides:
        bits = bits << 1 | (side != EMPTY)
    size = (len(sides) + 7) // 8
    return Proof(
        depth=len(sides),
        taken=(bits << (8 * size - len(sides))).to_bytes(size, "big"),
        sides=b"".join(digest_of(side) for side in sides if side),
        other=end if end[:HASH_BYTES] != key_hash else EMPTY,
    )


def verify(root: Digest, key: bytes, value: bytes | None, proof: Proof) -> bool:
    """Whether under this root the key has this value (None: no value). False for any other form of a true proof."""
    key_hash = sha256(key).digest()
    if value is not None:
        if proof.other:
            return False
        node = digest_of(key_hash + sha256(value).digest())
    elif proof.other and not _is_beside(proof.other, key_hash, proof.depth):
        return False
    else:
        node = digest_of(proof.other)
    sides = _sides(proof)
    if sides is None:
        return False
    path = int.from_bytes(key_hash, "big") >> (DEPTH_MAX - proof.depth)
    for side in reversed(sides):
        node = inner(side, node) if path & 1 else inner(node, side)
        path >>= 1
    return node == root


def _descend(pages: KeyValue, key_hash: bytes) -> tuple[list[bytes], bytes]:
    """The side entries from the root down, and the entry (empty or a leaf) where the path ends."""
    sides: list[bytes] = []
    path = b""
    page = pages.get(page_key(path))
    if page is None:
        return sides, EMPTY
    for depth in range(2 * HASH_BYTES):
        nibble = key_hash[depth >> 1] >> (0 if depth & 1 else 4) & 15
        rows = levels(unpack(page))
        for level in range(4, -1, -1):
            entry = rows[level][nibble >> level]
            if len(entry) != HASH_BYTES:
                return sides, entry
            if level:
                sides.append(rows[level - 1][nibble >> (level - 1) ^ 1])
        path += HEX_DIGITS[nibble : nibble + 1]
        below = pages.get(page_key(path))
        if below is None:
            break
        page = below
    raise CorruptPageError(path=path)


def _is_beside(other: bytes, key_hash: bytes, depth: int) -> bool:
    """Whether this is another key's leaf, at a place where the key's own leaf would have to be."""
    if len(other) != LEAF_BYTES or other[:HASH_BYTES] == key_hash:
        return False
    apart = int.from_bytes(other[:HASH_BYTES], "big") ^ int.from_bytes(key_hash, "big")
    return apart >> (DEPTH_MAX - depth) == 0


def _sides(proof: Proof) -> list[Digest] | None:
    """The side hashes from the root down, or None where the fields are not in their one form."""
    spare = -proof.depth % 8
    bits = int.from_bytes(proof.taken, "big")
    if len(proof.taken) * 8 != proof.depth + spare or bits & ((1 << spare) - 1):
        return None
    if len(proof.sides) != bits.bit_count() * HASH_BYTES:
        return None
    sides: list[Digest] = []
    at = 0
    for step in range(proof.depth + spare - 1, spare - 1, -1):
        side = PLACEHOLDER
        if bits >> step & 1:
            side = proof.sides[at : at + HASH_BYTES]
            at += HASH_BYTES
            if side == PLACEHOLDER:  # Has its own form: a bit left unset.
                return None
        sides.append(side)
    return sides
