"""What the ledger needs of a store: ordered keys and values, and nothing else.

`MemoryStore` serves tests and snapshots; `engines.lmdb_store` keeps bytes on disk. Atomicity and durability belong to
the store, never to this room. Next to read: `tree.py` for the root, `state.py` for what contracts see.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Protocol


class KeyValue(Protocol):
    """Bytes under bytes, in the order of the keys. Keys are not empty.

    Promise: a read sees every earlier write through the same object; `scan` is in ascending key order, and shows the
    moment at which it was called as long as nothing is written before it ends.
    """

    def get(self, key: bytes) -> bytes | None:
        """The value under this key, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value, whatever was there."""
        ...

    def delete(self, key: bytes) -> None:
        """Forget the key; that it was absent is no error."""
        ...

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix` and are not below `prefix + start`, with their values."""
        ...


class MemoryStore:
    """A `KeyValue` in a dictionary. Scans sort, so it is for tests and small states."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._values[key] = value

    def delete(self, key: bytes) -> None:
        self._values.pop(key, None)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        keys = sorted(key for key in self._values if key.startswith(prefix))
        return iter([(key, self._values[key]) for key in keys[bisect_left(keys, prefix + start) :]])


class Prefixed:
    """One part of a store, seen as a store of its own: every key gets `prefix` in front."""

    def __init__(self, store: KeyValue, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(self._prefix + key)

    def put(self, key: bytes, value: bytes) -> None:
        self._store.put(self._prefix + key, value)

    def delete(self, key: bytes) -> None:
        self._store.delete(self._prefix + key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        cut = len(self._prefix)
        return ((key[cut:], value) for key, value in self._store.scan(self._prefix + prefix, start))
