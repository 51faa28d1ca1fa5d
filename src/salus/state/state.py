"""What a contract sees of the ledger: committed values read through, its own writes on top, all or nothing.

A state lives for one block (or one query): transactions write into it, a refused one is rolled back, and `commit` hands
the rest and the new root to the store. The caller wraps `commit` in one write transaction of the store.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Final

from salus.core.ids import Digest
from salus.state import proofs, tree
from salus.state.errors import CorruptPageError
from salus.state.key_value import KeyValue, MemoryStore, Prefixed

VALUES_PREFIX = b"v"
PAGES_PREFIX = b"t"


class _Unwritten:
    """Stands for "not written in this block", which None (deleted) cannot."""


_UNWRITTEN: Final = _Unwritten()
_Buffered = bytes | None | _Unwritten


class State:
    """A view of a store with a buffer of writes. Not for two threads. Keys and values are bytes; see `Table`."""

    def __init__(self, store: KeyValue) -> None:
        self._values = Prefixed(store, VALUES_PREFIX)
        self._pages = Prefixed(store, PAGES_PREFIX)
        self._written: dict[bytes, bytes | None] = {}
        self._order: list[bytes] = []  # The keys of `_written`, sorted.
        self._undo: list[tuple[bytes, _Buffered]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value under this key, this block's writes included."""
        value = self._written.get(key, _UNWRITTEN)
        return self._values.get(key) if isinstance(value, _Unwritten) else value

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value until rolled back."""
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        """Forget the key until rolled back; that it was absent is no error."""
        self._write(key, None)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix` and are not below `prefix + start`, in order.

        Shows the moment of the call: what is written while it runs does not appear, so a caller may delete as it goes.
        """
        low = bisect_left(self._order, prefix + start)
        high = low
        while high < len(self._order) and self._order[high].startswith(prefix):
            high += 1
        written = [(key, self._written[key]) for key in self._order[low:high]]
        return _merged(self._values.scan(prefix, start), written)

    def savepoint(self) -> int:
        """A mark to which `rollback` returns. Marks nest; an earlier one covers all later ones."""
        return len(self._undo)

    def rollback(self, savepoint: int) -> None:
        """Take back every write since the mark."""
        while len(self._undo) > savepoint:
            key, before = self._undo.pop()
            if isinstance(before, _Unwritten):
                del self._written[key]
                del self._order[bisect_left(self._order, key)]
            else:
                self._written[key] = before

    @property
    def changes(self) -> Mapping[bytes, bytes | None]:
        """What was written since the last commit, None for deleted, in order of keys."""
        return {key: self._written[key] for key in self._order}

    def root(self) -> Digest:
        """The root of what is committed; the writes of this block are not in it yet."""
        return tree.root(self._pages)

    def prove(self, key: bytes) -> proofs.Proof:
        """The proof, against `root()`, of what is committed under this key."""
        return proofs.prove(self._pages, key)

    def commit(self) -> Digest:
        """Write values and tree into the store and return the new root; the buffer is empty afterwards."""
        changes = self.changes
        for key, value in changes.items():
            if value is None:
                self._values.delete(key)
            else:
                self._values.put(key, value)
        new_root = tree.update(self._pages, changes)
        self._written.clear()
        self._order.clear()
        self._undo.clear()
        return new_root

    def _write(self, key: bytes, value: bytes | None) -> None:
        before = self._written.get(key, _UNWRITTEN)
        if isinstance(before, _Unwritten):
            insort(self._order, key)
        self._undo.append((key, before))
        self._written[key] = value


def checked_root(store: KeyValue) -> Digest:
    """The root worked out anew, in memory, from all committed values; the stored tree must be its tree, page for page.

    Raises:
        CorruptPageError: a page is missing, left over or different, or a value is not the one that was committed.
    """
    anew = MemoryStore()
    root = tree.update(anew, dict(Prefixed(store, VALUES_PREFIX).scan(b"")))
    for expected, stored in zip_longest(anew.scan(b""), Prefixed(store, PAGES_PREFIX).scan(b"")):
        if expected != stored:
            raise CorruptPageError(path=(expected or stored)[0])
    return root


def _merged(
    committed: Iterator[tuple[bytes, bytes]], written: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    """Both in one order; where a key is in both, what was written counts."""
    at = 0
    for key, value in committed:
        while at < len(written) and written[at][0] < key:
            yield from _present(written[at])
            at += 1
        if at < len(written) and written[at][0] == key:
            yield from _present(written[at])
            at += 1
        else:
            yield key, value
    for row in written[at:]:
        yield from _present(row)


def _present(row: tuple[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    key, value = row
    if value is not None:
        yield key, value
