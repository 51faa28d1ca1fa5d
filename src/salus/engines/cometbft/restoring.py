"""How a new member takes over a snapshot that peers serve, believing none of them.

CometBFT's light client has verified the root of the state at the snapshot's height. A snapshot is offered with the
hashes of its pieces; each piece must have its hash, or it is fetched again from somebody else; when all are there, the
tree is built anew from the rows, and its root must be the verified one. Everything lies in one open write transaction:
until then the store holds what it held before.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from salus.core.clock import Clock
from salus.core.errors import MalformedError
from salus.core.ids import MINUTE_MS, Digest
from salus.core.wire import decode, encode
from salus.crypto.digests import digest
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.server import reply
from salus.engines.cometbft.snapshots import FORMAT, PIECES_MAX, Piece, header_in, snapshot_hash
from salus.engines.layout import BASE_KEY, BLOCKS_PREFIX, HANDOVERS_PREFIX, INDEX_PREFIX, NEWEST_KEY
from salus.engines.replica import Replica, no_cyclic_collector
from salus.machine.block import Header
from salus.state import tree
from salus.state.key_value import Prefixed
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX

AHEAD_MS_MAX: Final = 10 * MINUTE_MS  # How far a snapshot's header may be ahead of the own clock.
_DIGEST_BYTES: Final = 32
_Offered = abci.OfferSnapshotResponse
_Applied = abci.ApplySnapshotChunkResponse


class _BadSnapshotError(Exception):
    """The snapshot as a whole is not what it says: another one may be."""


@dataclass(slots=True)
class _Under:
    """The snapshot that is being taken over."""

    height: int
    pieces: list[Digest]
    app_hash: Digest
    next: int = 0
    last_key: bytes = b""
    header: Header | None = None


class Restorer:
    """Takes one snapshot over into a replica that holds no block of its own yet. Not for two threads."""

    def __init__(self, replica: Replica, clock: Clock) -> None:
        self._replica = replica
        self._store = replica.values_and_tree
        self._clock = clock
        self._under: _Under | None = None
        self._open: AbstractContextManager[object] | None = None

    def offer(self, request: abci.Request) -> bytes:
        """Judge an offer: its form, and that this member is new."""
        asked = request.offer_snapshot
        snapshot = asked.snapshot
        said = snapshot.metadata
        pieces = [said[at : at + _DIGEST_BYTES] for at in range(0, len(said), _DIGEST_BYTES)]
        is_whole = len(said) == _DIGEST_BYTES * snapshot.chunks and 0 < snapshot.chunks <= PIECES_MAX
        if snapshot.format != FORMAT:
            result = _Offered.REJECT_FORMAT
        elif self._has_blocks():
            result = _Offered.ABORT
        elif not is_whole or snapshot_hash(pieces) != snapshot.hash or len(asked.app_hash) != _DIGEST_BYTES:
            result = _Offered.REJECT
        else:
            self._begin(_Under(height=snapshot.height, pieces=pieces, app_hash=asked.app_hash))
            result = _Offered.ACCEPT
        return reply(abci.Response(offer_snapshot=_Offered(result=result)))

    def apply(self, request: abci.Request) -> bytes:
        """Take over a piece; with the last, the whole."""
        asked, under = request.apply_snapshot_chunk, self._under
        answer = _Applied(result=_Applied.ACCEPT)
        if under is None or asked.index != under.next:
            answer.result = _Applied.RETRY_SNAPSHOT
            self.abandon()
        elif digest(asked.chunk) != under.pieces[asked.index]:
            answer.result = _Applied.RETRY
            answer.refetch_chunks.append(asked.index)
            answer.reject_senders.append(asked.sender)
        else:
            try:
                with no_cyclic_collector():
                    self._take(under, asked.chunk)
            except (_BadSnapshotError, MalformedError):
                answer.result = _Applied.REJECT_SNAPSHOT
                self.abandon()
        return reply(abci.Response(apply_snapshot_chunk=answer))

    @property
    def progress(self) -> tuple[int, int]:
        """How many pieces are here, of how many; none of none while no snapshot is being taken over."""
        return (0, 0) if self._under is None else (self._under.next, len(self._under.pieces))

    def _has_blocks(self) -> bool:
        """Whether it holds more than a snapshot: a crash may come between that and CometBFT's own first commit."""
        base = self._store.get(BASE_KEY)
        return self._replica.height > (0 if base is None else decode(Header, base).height)

    def abandon(self) -> None:
        """Forget what was taken over so far."""
        self._under = None
        self._close(_AbandonedError())

    def _begin(self, under: _Under) -> None:
        self.abandon()
        opened = self._store.write()
        opened.__enter__()
        self._open, self._under = opened, under
        for prefix in (VALUES_PREFIX, PAGES_PREFIX, BLOCKS_PREFIX, HANDOVERS_PREFIX, INDEX_PREFIX):
            for key in [key for key, _ in self._store.scan(prefix)]:  # What the genesis founded: little.
                self._store.delete(key)

    def _take(self, under: _Under, data: bytes) -> None:
        piece = decode(Piece, data)
        if (piece.head is not None) is not (under.next == 0):
            raise _BadSnapshotError
        if piece.head is not None:
            if piece.head.genesis != encode(self._replica.genesis):
                raise _BadSnapshotError
            under.header = self._believable(under, header_in(piece.head))
        for key, value in piece.rows:
            if key <= under.last_key:
                raise _BadSnapshotError
            under.last_key = key
            self._store.put(VALUES_PREFIX + key, value)
        under.next += 1
        if under.next == len(under.pieces):
            self._finish(under)

    def _believable(self, under: _Under, header: Header) -> Header:
        is_here = header.chain == self._replica.chain and header.height == under.height
        if not is_here or header.app_hash != under.app_hash or header.time > self._clock() + AHEAD_MS_MAX:
            raise _BadSnapshotError
        return header

    def _finish(self, under: _Under) -> None:
        """Build the tree; keep all if its root is the verified one."""
        assert under.header is not None
        values = _Everything(Prefixed(self._store, VALUES_PREFIX))
        if tree.update(Prefixed(self._store, PAGES_PREFIX), values) != under.app_hash:
            raise _BadSnapshotError
        self._store.put(NEWEST_KEY, encode(under.header))
        self._store.put(BASE_KEY, encode(under.header))
        self._under = None
        self._close(None)
        self._replica.reload()

    def _close(self, error: BaseException | None) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        if error is None:
            opened.__exit__(None, None, None)
            return
        try:
            opened.__exit__(type(error), error, None)
        except _AbandonedError:
            return


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


class _AbandonedError(Exception):
    """Rolls a write transaction back."""
