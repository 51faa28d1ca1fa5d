"""How a snapshot becomes a member's ledger, whoever it came from.

Its root at its height is known beforehand, from headers that the members signed. Its pieces come in order; when all are
there, the tree is built anew from the rows, and its root must be the known one. Everything lies in one open write
transaction: until then the store holds what it held before.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from salus.core.clock import Clock
from salus.core.errors import MalformedError
from salus.core.ids import MINUTE_MS, Digest, Height
from salus.core.wire import decode, encode
from salus.engines.layout import BASE_KEY, BLOCKS_PREFIX, HANDOVERS_PREFIX, INDEX_PREFIX, NEWEST_KEY
from salus.engines.lmdb_store import OpenWrite
from salus.engines.replica import Replica, no_cyclic_collector
from salus.engines.snapshots import Piece, SnapshotError, header_in
from salus.machine.block import Header
from salus.state import tree
from salus.state.key_value import Prefixed
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX

AHEAD_MS_MAX: Final = 10 * MINUTE_MS  # How far a snapshot's header may be ahead of the own clock.


class TakingOver:
    """Takes one snapshot over into a replica that holds no block of its own yet. Not for two threads."""

    def __init__(
        self, replica: Replica, clock: Clock, height: Height, pieces: Sequence[Digest], app_hash: Digest
    ) -> None:
        """Begin: from here on the store's write transaction is open."""
        self.pieces = tuple(pieces)
        self.next = 0
        self._replica = replica
        self._store = replica.values_and_tree
        self._clock = clock
        self._height = height
        self._app_hash = app_hash
        self._last_key = b""
        self._header: Header | None = None
        self._open = OpenWrite(self._store)
        for prefix in (VALUES_PREFIX, PAGES_PREFIX, BLOCKS_PREFIX, HANDOVERS_PREFIX, INDEX_PREFIX):
            for key in [key for key, _ in self._store.scan(prefix)]:  # What the genesis founded: little.
                self._store.delete(key)

    @property
    def is_done(self) -> bool:
        """Whether the store is the snapshot's now."""
        return self.next == len(self.pieces)

    def take(self, data: bytes) -> None:
        """Take over the next piece, whose hash was checked; with the last, the whole.

        Raises:
            SnapshotError: what was hashed is no part of such a snapshot, or all parts have another root; abandon it.
        """
        try:
            with no_cyclic_collector():
                self._take(decode(Piece, data))
        except MalformedError:
            raise self._wrong("a piece that does not read") from None

    def abandon(self) -> None:
        """Forget what was taken over so far. Harmless once all is."""
        self._open.abandon()

    def _take(self, piece: Piece) -> None:
        if (piece.head is not None) is not (self.next == 0):
            raise self._wrong("a head elsewhere than at the beginning")
        if piece.head is not None:
            if piece.head.genesis != encode(self._replica.genesis):
                raise self._wrong("of another network")
            self._header = self._believable(header_in(piece.head))
        for key, value in piece.rows:
            if key <= self._last_key:
                raise self._wrong("rows that are not in order")
            self._last_key = key
            self._store.put(VALUES_PREFIX + key, value)
        self.next += 1
        if self.is_done:
            self._finish()

    def _believable(self, header: Header) -> Header:
        is_here = header.chain == self._replica.chain and header.height == self._height
        if not is_here or header.app_hash != self._app_hash or header.time > self._clock() + AHEAD_MS_MAX:
            raise self._wrong("not under the header that was verified")
        return header

    def _finish(self) -> None:
        """Build the tree; keep all if its root is the verified one."""
        assert self._header is not None
        values = _Everything(Prefixed(self._store, VALUES_PREFIX))
        if tree.update(Prefixed(self._store, PAGES_PREFIX), values) != self._app_hash:
            raise self._wrong("its values do not have the verified root")
        self._store.put(NEWEST_KEY, encode(self._header))
        self._store.put(BASE_KEY, encode(self._header))
        self._open.keep()
        self._replica.reload()

    def _wrong(self, reason: str) -> SnapshotError:
        return SnapshotError(reason=reason, height=self._height, piece=self.next)


class _Everything(Mapping[bytes, bytes | None]):
    """All values of a store as changes to an empty tree, read once and in order: they need not fit into memory."""

    def __init__(self, values: Prefixed) -> None:
        self._values = values

    def __getitem__(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, _ in self._values.scan(b""))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def items(self) -> Iterator[tuple[bytes, bytes | None]]:  # type: ignore[override]
        return self._values.scan(b"")
