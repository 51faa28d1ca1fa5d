"""The pages of the tree: sixteen entries under one path of nibbles, their one encoding, and how they hash.

An entry is bytes whose length says what it is: none for an empty place, 32 for the hash of a deeper page, 64 for a
lone leaf (key hash ‖ value hash). A page is two bitmaps of 16 bits (places taken, places that hold a leaf), then the
entries taken, in order; a page of sixteen hashes, of which a block mostly changes one, keeps the rows of hashes above
them as well (8, 4 and 2), so that 4 are worked out anew and not 15. `page_key` says where a page lies.
Hashes are those of the JMT with SHA-256: https://github.com/penumbra-zone/jmt, `types/proof.rs`.
"""

from hashlib import sha256

from salus.core.ids import Digest
from salus.state.errors import CorruptPageError

EMPTY = b""
HASH_BYTES = 32
LEAF_BYTES = 64
PLACEHOLDER: Digest = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
_LEAF_DOMAIN = b"JMT::LeafNode"
_INNER_DOMAIN = b"JMT::IntrnalNode"  # Spelled so in the original.

HEX_DIGITS = b"0123456789abcdef"
NIBBLE_OF = {digit: nibble for nibble, digit in enumerate(HEX_DIGITS)}

_BANDS = [b"0", b"1", b"2", b"3"]
_FULL_HEAD = b"\0\0\xff\xff"
_FULL_BYTES = 4 + (16 + 8 + 4 + 2) * HASH_BYTES
# Where each row but the last begins, and where the row above it.
_FULL_ROWS = [(4 + 32 * row, 4 + 32 * above) for row, above in ((0, 16), (16, 24), (24, 28))]
_FULL_STARTS = [4 + 32 * row for row in (0, 16, 24, 28)]
_ALL_HASHES_SIZES = bytes([HASH_BYTES] * 16)
_BITS_OF_SIZE = {0: 0, HASH_BYTES: 1, LEAF_BYTES: 0x10001}  # A place's bit in both bitmaps.


def page_key(path: bytes) -> bytes:
    """Where the page of this path (hexadecimal digits) lies.

    Every block touches most pages of the upper four levels, so these lie together, level by level. Deeper, a block
    touches few, so there a page lies beside the pages below it: a store that writes in larger units writes fewer.
    """
    return (_BANDS[len(path)] if len(path) < len(_BANDS) else b"4") + path


def fold(left: bytes, right: bytes) -> bytes:
    """The entry above two neighbours: a lone leaf rises, two empty places stay empty, all else is hashed."""
    if not left:
        if len(right) != HASH_BYTES:
            return right
        return sha256(_INNER_DOMAIN + PLACEHOLDER + right).digest()
    if not right:
        if len(left) != HASH_BYTES:
            return left
        return sha256(_INNER_DOMAIN + left + PLACEHOLDER).digest()
    if len(left) == LEAF_BYTES:
        left = sha256(_LEAF_DOMAIN + left).digest()
    if len(right) == LEAF_BYTES:
        right = sha256(_LEAF_DOMAIN + right).digest()
    return sha256(_INNER_DOMAIN + left + right).digest()


def digest_of(entry: bytes) -> Digest:
    """The hash by which an entry counts in what is above it."""
    if not entry:
        return PLACEHOLDER
    return sha256(_LEAF_DOMAIN + entry).digest() if len(entry) == LEAF_BYTES else entry


def inner(left: Digest, right: Digest) -> Digest:
    """The hash above two hashes."""
    return sha256(_INNER_DOMAIN + left + right).digest()


def levels(entries: list[bytes]) -> list[list[bytes]]:
    """The four binary levels inside a page, from its sixteen entries up to the one that stands for it."""
    rows = [entries]
    while len(rows[-1]) > 1:
        below = rows[-1]
        rows.append([fold(below[place], below[place + 1]) for place in range(0, len(below), 2)])
    return rows


def seal(entries: list[bytes]) -> tuple[bytes, bytes]:
    """A page as bytes, and the entry that stands for it. The tree spends most of its time here."""
    sizes = bytes(map(len, entries))
    if sizes == _ALL_HASHES_SIZES:
        return _sealed_full(b"".join(entries))
    bitmaps = 0
    for size in reversed(sizes):
        bitmaps = bitmaps << 1 | _BITS_OF_SIZE[size]
    a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q = entries
    summit = fold(
        fold(fold(fold(a, b), fold(c, d)), fold(fold(e, f), fold(g, h))),
        fold(fold(fold(i, j), fold(k, m)), fold(fold(n, o), fold(p, q))),
    )
    return bitmaps.to_bytes(4, "big") + b"".join(entries), summit


def reseal(page: bytes, entries: list[bytes], places: list[int]) -> tuple[bytes, bytes]:
    """As `seal`, for a page of which only these places have changed: a full one is hashed along their paths alone."""
    if page[:4] != _FULL_HEAD or any(len(entries[place]) != HASH_BYTES for place in places):
        return seal(entries)
    after = bytearray(page)
    for place in places:
        at = 4 + HASH_BYTES * place
        after[at : at + HASH_BYTES] = entries[place]
    for row, above in _FULL_ROWS:
        places = sorted({place >> 1 for place in places})
        for place in places:
            below = row + 2 * HASH_BYTES * place
            at = above + HASH_BYTES * place
            after[at : at + HASH_BYTES] = sha256(_INNER_DOMAIN + after[below : below + 2 * HASH_BYTES]).digest()
    return bytes(after), sha256(_INNER_DOMAIN + after[-2 * HASH_BYTES :]).digest()


def is_full(page: bytes) -> bool:
    """Whether a page has sixteen hashes, and so keeps the rows above them."""
    return page[:4] == _FULL_HEAD and len(page) == _FULL_BYTES


def entry_of_full(page: bytes, place: int) -> Digest:
    """The hash at a place of a full page."""
    at = 4 + HASH_BYTES * place
    return page[at : at + HASH_BYTES]


def reseal_one(page: bytes, place: int, entry: Digest) -> tuple[bytes, bytes]:
    """As `reseal`, for a full page of which one hash has changed: the case of most pages in a large tree."""
    after = bytearray(page)
    for row in _FULL_STARTS:
        at = row + HASH_BYTES * place
        after[at : at + HASH_BYTES] = entry
        pair = row + 2 * HASH_BYTES * (place >> 1)
        entry = sha256(_INNER_DOMAIN + after[pair : pair + 2 * HASH_BYTES]).digest()
        place >>= 1
    return bytes(after), entry


def _sealed_full(row: bytes) -> tuple[bytes, bytes]:
    """A page of sixteen hashes, in which neighbours lie side by side and every row is kept."""
    rows = [_FULL_HEAD]
    while len(row) > HASH_BYTES:
        rows.append(row)
        row = b"".join([sha256(_INNER_DOMAIN + row[at : at + 64]).digest() for at in range(0, len(row), 64)])
    return b"".join(rows), row


def unpack(page: bytes) -> list[bytes]:
    """The sixteen entries of a page.

    Raises:
        CorruptPageError: the length or the bitmaps contradict each other.
    """
    if page[:4] == _FULL_HEAD:
        if len(page) != _FULL_BYTES:
            raise CorruptPageError(size_bytes=len(page))
        return [page[at : at + HASH_BYTES] for at in range(4, 4 + 16 * HASH_BYTES, HASH_BYTES)]
    bitmaps = int.from_bytes(page[:4], "big")
    entries = []
    at = 4
    for _ in range(16):
        if not bitmaps & 1:
            entries.append(EMPTY)
        else:
            end = at + (LEAF_BYTES if bitmaps & 0x10000 else HASH_BYTES)
            entries.append(page[at:end])
            at = end
        bitmaps >>= 1
    if at != len(page) or len(page) < 4:
        raise CorruptPageError(size_bytes=len(page))
    return entries
