"""Typed tables over a state: ids in, records out.

    CELLS: Table[CellId, Cell] = Table("cells/cell/", Cell, Bytes(16))
    HELD: Table[tuple[MemberId, Height], Held] = Table("records/held/", Held, Text(), Integer())

A table's prefix ends with `/` and is not the beginning of another table's. Values are the canonical bytes of their
record (`core.wire`). Key parts are in `keys.py`.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Generic, TypeVar, cast

from salus.core import wire
from salus.core.errors import MalformedError
from salus.state.errors import CorruptValueError
from salus.state.keys import KeyPart, PartCodec
from salus.state.proofs import Proof
from salus.state.state import State

K = TypeVar("K", bound=KeyPart | tuple[KeyPart, ...])
V = TypeVar("V", bound=wire.Struct)

# Large records are few (members, committees) and every transaction reads some: their reading is remembered by content.
_LARGE_BYTES = 512
_LARGE_REMEMBERED = 256


class Table(Generic[K, V]):
    """Records of one shape under one prefix. Holds no data: the state is an argument of every call."""

    def __init__(self, prefix: str, shape: type[V], *parts: PartCodec) -> None:
        if not prefix.endswith("/") or not parts:
            raise ValueError("a table needs a prefix that ends with / and at least one key part")
        self.prefix = prefix.encode()
        self.shape = shape
        self.parts = parts

    def get(self, state: State, key: K) -> V | None:
        """The record under this key, or None.

        Raises:
            CorruptValueError: the stored bytes are no record of this table.
        """
        key_bytes = self.key_bytes(key)
        data = state.get(key_bytes)
        return None if data is None else self._decoded(key_bytes, data)

    def has(self, state: State, key: K) -> bool:
        """Whether there is a record under this key."""
        return state.get(self.key_bytes(key)) is not None

    def put(self, state: State, key: K, value: V) -> None:
        """Set the record, whatever was there."""
        state.put(self.key_bytes(key), wire.encode(value))

    def delete(self, state: State, key: K) -> None:
        """Forget the record; that it was absent is no error."""
        state.delete(self.key_bytes(key))

    def items(self, state: State, *leading: KeyPart) -> Iterator[tuple[K, V]]:
        """Keys and records in key order, of all or of those whose key begins with these parts.

        Shows the moment of the call, so that a caller may delete as it goes.

        Raises:
            CorruptValueError: a stored key or value is not of this table.
        """
        return self._rows(state.scan(self._start(leading)))

    def prove(self, state: State, key: K) -> Proof:
        """The proof of what is committed under this key; `proofs.verify` takes `key_bytes` and the encoded record."""
        return state.prove(self.key_bytes(key))

    def key_bytes(self, key: K) -> bytes:
        """Where a record lies in the state.

        Raises:
            ValueError: the key's parts are not those of this table.
        """
        if not isinstance(key, tuple) and len(self.parts) == 1:
            return self.prefix + self.parts[0].write(key)
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) != len(self.parts):
            raise ValueError(f"a key has {len(parts)} parts, not {len(self.parts)}")
        return self._start(parts)

    def _start(self, parts: tuple[KeyPart, ...]) -> bytes:
        if len(parts) > len(self.parts):
            raise ValueError(f"a key has at most {len(self.parts)} parts")
        return self.prefix + b"".join([codec.write(part) for codec, part in zip(self.parts, parts, strict=False)])

    def _rows(self, scanned: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[K, V]]:
        for key_bytes, data in scanned:
            yield self._key(key_bytes), self._decoded(key_bytes, data)

    def _key(self, key_bytes: bytes) -> K:
        parts: list[KeyPart] = []
        at = len(self.prefix)
        try:
            for codec in self.parts:
                part, at = codec.read(key_bytes, at)
                parts.append(part)
        except ValueError:
            raise self._corrupt(key_bytes) from None
        if at != len(key_bytes):
            raise self._corrupt(key_bytes)
        return cast(K, parts[0] if len(parts) == 1 else tuple(parts))

    def _decoded(self, key_bytes: bytes, data: bytes) -> V:
        try:
            return _decoded_large(self.shape, data) if len(data) >= _LARGE_BYTES else wire.decode(self.shape, data)
        except MalformedError:
            raise self._corrupt(key_bytes) from None

    def _corrupt(self, key_bytes: bytes) -> CorruptValueError:
        """Names the key by its hash, as the tree does: a keeper's keys may hold a subject's handle."""
        return CorruptValueError(table=self.prefix.decode(), key_hash=sha256(key_bytes).digest())


@lru_cache(_LARGE_REMEMBERED)
def _decoded_large(shape: type[V], data: bytes) -> V:
    """As `wire.decode`; frozen, so that one value may serve every reader."""
    return wire.decode(shape, data)
