"""Snapshots: the state at a height in pieces, the same bytes on every member, so that one can join without replay.

    members/mercy/snapshots/<height>/manifest    what the pieces must hash to
                                    /000000 …    pieces: rows of the state in order of keys; the first begins with
                                                 genesis and header

Every member makes one at the same heights, in a thread, from one committed moment of its store. A piece ends with the
row that fills it; so where it ends follows from the state alone. What is received is judged in `restoring.py`.
"""

import asyncio
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from salus.core.errors import IntegrityError, MalformedError, SalusError
from salus.core.ids import Digest, Height, Unsigned
from salus.core.wire import Record, decode, encode
from salus.crypto.digests import digest, tagged
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.server import reply
from salus.engines.layout import GENESIS_KEY, NEWEST_KEY
from salus.engines.lmdb_store import Snapshot as Moment
from salus.engines.replica import Replica
from salus.machine.block import Header
from salus.state.key_value import Prefixed
from salus.state.state import VALUES_PREFIX

FORMAT: Final = 1
EVERY_BLOCKS: Final = 2_000
KEPT: Final = 2
PIECE_BYTES: Final = 4 << 20
PIECES_MAX: Final = 65_536
_MANIFEST: Final = "manifest"

Row = tuple[bytes, bytes]


class Manifest(Record, tag="engine.snapshot/1", frozen=True):
    """What a snapshot is made of."""

    height: Height
    format: Unsigned
    pieces: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=PIECES_MAX)]


class Head(Record, tag="engine.snapshot_head/1", frozen=True):
    """What the first piece begins with."""

    genesis: bytes
    header: bytes


class Piece(Record, tag="engine.snapshot_piece/1", frozen=True):
    """A part of the state. Only the first has a head."""

    head: Head | None
    rows: tuple[Row, ...]


class SnapshotError(IntegrityError):
    """A snapshot on this member's disk is damaged."""

    code = "engine.snapshot"


def snapshot_hash(pieces: Iterable[Digest]) -> Digest:
    """What names a snapshot: the same on all members, or one of them has another state."""
    return tagged("engine.snapshot", b"".join(pieces))


def pieces_of(moment: Moment, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """The encoded pieces of one committed moment, in order."""
    head: Head | None = Head(genesis=moment.get(GENESIS_KEY) or b"", header=moment.get(NEWEST_KEY) or b"")
    rows: list[Row] = []
    size = 0
    for key, value in Prefixed(moment, VALUES_PREFIX).scan(b""):
        rows.append((key, value))
        size += len(key) + len(value)
        if size >= piece_bytes:
            yield encode(Piece(head=head, rows=tuple(rows)))
            head, rows, size = None, [], 0
    if rows or head is not None:
        yield encode(Piece(head=head, rows=tuple(rows)))


class Snapshots:
    """Makes, keeps and serves one member's snapshots. For one event loop; files are written in a thread."""

    def __init__(self, folder: Path, replica: Replica, every_blocks: int = EVERY_BLOCKS) -> None:
        self._folder = folder
        self._replica = replica
        self._every_blocks = every_blocks
        self._making: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None  # Of the last snapshot.

    def block_arrived(self) -> None:
        """Begin a snapshot if one is due at this height and none is being made."""
        height = self._replica.height
        if height and height % self._every_blocks == 0 and (self._making is None or self._making.done()):
            moment = self._replica.values_and_tree.moment()
            self._making = asyncio.create_task(asyncio.to_thread(self.make, moment, height))
            self._making.add_done_callback(self._done)

    async def made(self) -> None:
        """Wait until the snapshot that is being made is done."""
        if self._making is not None:
            await asyncio.wait((self._making,))

    def _done(self, task: "asyncio.Task[None]") -> None:
        """A disk that is full, say, costs this snapshot and nothing else; the next one tries again."""
        self.failure = None if task.cancelled() else task.exception()

    def make(self, moment: Moment, height: Height) -> None:
        """Write a snapshot whole, or nothing; forget those that are too old."""
        place = self._folder / str(height)
        if place.exists():
            return
        beside = self._folder / f"{height}.new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True, mode=0o700)
        digests = []
        for number, data in enumerate(pieces_of(moment)):
            _write(beside / f"{number:06}", data)
            digests.append(digest(data))
        _write(beside / _MANIFEST, encode(Manifest(height=height, format=FORMAT, pieces=tuple(digests))))
        beside.rename(place)
        for old in self.heights()[:-KEPT]:
            shutil.rmtree(self._folder / str(old), ignore_errors=True)

    def heights(self) -> list[Height]:
        """Of the snapshots that are kept, the oldest first."""
        if not self._folder.is_dir():
            return []
        return sorted(int(place.name) for place in self._folder.iterdir() if place.name.isdigit())

    def manifest(self, height: Height) -> Manifest:
        """What a snapshot is made of.

        Raises:
            SnapshotError: it is missing or damaged.
        """
        try:
            return decode(Manifest, (self._folder / str(height) / _MANIFEST).read_bytes())
        except (OSError, MalformedError):
            raise SnapshotError(height=height) from None

    def list(self, _request: abci.Request) -> bytes:
        """Answer with all that are kept."""
        answer = abci.ListSnapshotsResponse()
        for height in self.heights():
            try:
                answer.snapshots.append(offer(self.manifest(height)))
            except SalusError:
                continue  # Forgotten or damaged meanwhile.
        return reply(abci.Response(list_snapshots=answer))

    def load(self, request: abci.Request) -> bytes:
        """Answer with a piece; an empty one where there is none."""
        asked = request.load_snapshot_chunk
        data = b""
        if asked.format == FORMAT and asked.chunk < PIECES_MAX:
            place = self._folder / str(asked.height) / f"{asked.chunk:06}"
            data = place.read_bytes() if place.is_file() else b""
        return reply(abci.Response(load_snapshot_chunk=abci.LoadSnapshotChunkResponse(chunk=data)))


def offer(manifest: Manifest) -> abci.Snapshot:
    """A snapshot as CometBFT passes it on: its metadata are the hashes of its pieces."""
    return abci.Snapshot(
        height=manifest.height,
        format=manifest.format,
        chunks=len(manifest.pieces),
        hash=snapshot_hash(manifest.pieces),
        metadata=b"".join(manifest.pieces),
    )


def header_in(head: Head) -> Header:
    """The header that a snapshot begins with. Raises MalformedError where it is none."""
    return decode(Header, head.header)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
