"""The Merkle tree over all keys and values: updated once per block, its root a function of the contents alone.

A sparse tree over SHA-256(key) in which a subtree with one leaf is that leaf. Only the latest version is kept; history
is in the blocks. Works over any `KeyValue`, given a part of its own (`Prefixed`). Pages and hashes are in `pages.py`,
proofs in `proofs.py`.

Keep the cyclic garbage collector off during `update`: it is several times slower with it.
"""

from binascii import hexlify
from collections.abc import Mapping
from hashlib import sha256

from salus.core.ids import Digest
from salus.state.errors import CorruptPageError
from salus.state.key_value import KeyValue
from salus.state.pages import (
    EMPTY,
    HASH_BYTES,
    LEAF_BYTES,
    NIBBLE_OF,
    PLACEHOLDER,
    digest_of,
    entry_of_full,
    is_full,
    page_key,
    reseal,
    reseal_one,
    seal,
    unpack,
)

ROOT_KEY = page_key(b"")


def root(pages: KeyValue) -> Digest:
    """The root as it stands; the placeholder of an empty tree where nothing was ever written."""
    page = pages.get(ROOT_KEY)
    return PLACEHOLDER if page is None else digest_of(seal(unpack(page))[1])


def update(pages: KeyValue, changes: Mapping[bytes, bytes | None]) -> Digest:
    """Set these values (None deletes) and return the new root. Each page is read, hashed and written at most once."""
    if not changes:
        return root(pages)
    return digest_of(_Update(pages, changes).run())


class _Update:
    """One pass over the pages that a block touches, from the root down and back.

    Holds the changes in order of key hash, in two columns: `_paths` (hexadecimal) and `_leaves` (empty to delete).
    """

    def __init__(self, pages: KeyValue, changes: Mapping[bytes, bytes | None]) -> None:
        self._pages = pages
        rows = []
        for key, value in changes.items():
            key_hash = sha256(key).digest()
            rows.append((key_hash, EMPTY if value is None else key_hash + sha256(value).digest()))
        rows.sort()
        self._paths = [hexlify(key_hash) for key_hash, _ in rows]
        self._leaves = [leaf for _, leaf in rows]

    def run(self) -> bytes:
        page = self._pages.get(ROOT_KEY)
        entries = [EMPTY] * 16 if page is None else unpack(page)
        self._fill(entries, 0, 0, len(self._paths))
        written, summit = seal(entries)
        if any(entries):
            self._pages.put(ROOT_KEY, written)
        else:
            self._pages.delete(ROOT_KEY)
        return summit

    def _fill(self, entries: list[bytes], depth: int, low: int, high: int) -> list[int]:
        """Apply changes `low` to `high`, all of which pass through this page; answers which entries are others now."""
        paths = self._paths
        places = []
        while low < high:
            digit = paths[low][depth]
            end = low + 1
            while end < high and paths[end][depth] == digit:
                end += 1
            place = NIBBLE_OF[digit]
            before = entries[place]
            after = self._changed(before, depth + 1, low, end)
            if after != before:
                entries[place] = after
                places.append(place)
            low = end
        return places

    def _changed(self, entry: bytes, depth: int, low: int, high: int) -> bytes:
        """What becomes of one entry under changes `low` to `high`; `depth` counts the nibbles that lead to it."""
        if len(entry) == HASH_BYTES:
            return self._changed_page(entry, depth, low, high)
        if high - low == 1:
            leaf = self._leaves[low]
            if not entry:
                return leaf
            if hexlify(entry[:HASH_BYTES]) == self._paths[low]:
                return leaf
            if not leaf:
                return entry
        return self._new_page(entry, depth, low, high)

    def _changed_page(self, entry: bytes, depth: int, low: int, high: int) -> bytes:
        key = page_key(self._paths[low][:depth])
        page = self._pages.get(key)
        if page is None:
            raise CorruptPageError(path=key)
        if high - low == 1 and is_full(page):
            return self._changed_once(key, page, entry, depth, low)
        entries = unpack(page)
        places = self._fill(entries, depth, low, high)
        if not places:
            return entry
        written, summit = reseal(page, entries, places)
        if len(written) <= 4 + LEAF_BYTES and _is_lone(entries):
            self._pages.delete(key)
        else:
            self._pages.put(key, written)
        return summit

    def _changed_once(self, key: bytes, page: bytes, entry: bytes, depth: int, low: int) -> bytes:
        """As `_changed_page`, for a page of sixteen hashes and one change: most of what a block meets in a large tree.

        Such a page is changed where it lies; it stays one, or at least keeps fifteen entries.
        """
        place = NIBBLE_OF[self._paths[low][depth]]
        before = entry_of_full(page, place)
        after = self._changed_page(before, depth + 1, low, low + 1)
        if after == before:
            return entry
        if len(after) == HASH_BYTES:
            written, summit = reseal_one(page, place, after)
        else:
            entries = unpack(page)
            entries[place] = after
            written, summit = seal(entries)
        self._pages.put(key, written)
        return summit

    def _new_page(self, entry: bytes, depth: int, low: int, high: int) -> bytes:
        """Grow a page where nothing or a lone leaf was, unless what remains is again nothing or a lone leaf."""
        entries = [EMPTY] * 16
        if entry:
            entries[_nibble(entry, depth)] = entry
        self._fill(entries, depth, low, high)
        written, summit = seal(entries)
        if not _is_lone(entries):
            self._pages.put(page_key(self._paths[low][:depth]), written)
        return summit


def _is_lone(entries: list[bytes]) -> bool:
    """Whether nothing or one leaf is left, so that no page is needed."""
    left = [entry for entry in entries if entry]
    return not left or (len(left) == 1 and len(left[0]) == LEAF_BYTES)


def _nibble(key_hash: bytes, depth: int) -> int:
    byte = key_hash[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4
