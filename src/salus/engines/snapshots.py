"""Snapshots: the state at a height in pieces, the same bytes on every member, so that one can join without replay.

    members/mercy/snapshots/<height>/manifest    what the pieces must hash to
                                    /000000 …    pieces: rows of the state in order of keys; the first begins with
                                                 genesis and header
                                    /proof       that the members signed it, where an operator made it

Between machines every member makes one at the same heights, in a thread, from one committed moment of its store; an
operator makes one at any height (`node/snapshots.py`). A piece ends with the row that fills it; so where it ends
follows from the state alone. What is received, or put back, is judged in `taking_over.py`.
"""

import asyncio
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from salus.core.errors import IntegrityError, MalformedError
from salus.core.ids import Digest, Height, Unsigned
from salus.core.wire import Record, decode, encode
from salus.crypto.digests import digest, tagged
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
MANIFEST: Final = "manifest"

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
    """A snapshot is damaged, or is not what it says it is."""

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


class SnapshotFolder:
    """One snapshot on a disk."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def manifest(self) -> Manifest:
        """What it is made of.

        Raises:
            SnapshotError: that is missing or damaged.
        """
        try:
            manifest = decode(Manifest, (self.place / MANIFEST).read_bytes())
        except (OSError, MalformedError):
            raise SnapshotError(reason="no manifest that reads") from None
        if manifest.format != FORMAT:
            raise SnapshotError(reason="another format", found=manifest.format, expected=FORMAT)
        return manifest

    def piece(self, manifest: Manifest, number: int) -> bytes:
        """One of its pieces, checked against its hash.

        Raises:
            SnapshotError: that one is missing, or its bytes are others.
        """
        try:
            data = (self.place / piece_name(number)).read_bytes()
        except OSError:
            raise SnapshotError(reason="a piece is missing", height=manifest.height, piece=number) from None
        if digest(data) != manifest.pieces[number]:
            raise SnapshotError(reason="a piece is damaged", height=manifest.height, piece=number)
        return data

    def head(self, manifest: Manifest) -> Head:
        """What it begins with. Raises as `piece`."""
        try:
            head = decode(Piece, self.piece(manifest, 0)).head
        except MalformedError:
            head = None
        if head is None:
            raise SnapshotError(reason="its first piece has no head", height=manifest.height, piece=0)
        return head

    def size_bytes(self) -> int:
        """What it takes on the disk."""
        return sum(path.stat().st_size for path in self.place.iterdir() if path.is_file())


def piece_name(number: int) -> str:
    """The file of a piece."""
    return f"{number:06}"


def heights_in(folder: Path) -> list[Height]:
    """Of the snapshots in a folder, the lowest first; none where it cannot be read."""
    try:
        return sorted(int(place.name) for place in folder.iterdir() if place.name.isdigit())
    except OSError:
        return []


def write_snapshot(folder: Path, moment: Moment, height: Height, beside: Mapping[str, bytes] | None = None) -> Path:
    """Write one snapshot into its place in a folder, whole or not at all; one that is there already stays as it is.

    `beside` are further files to lie with it.

    Raises:
        OSError: the disk has no room, or failed.
    """
    place, making = folder / str(height), folder / f"{height}.new"
    if place.exists():
        return place
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True, mode=0o700)
    digests = []
    for number, data in enumerate(pieces_of(moment)):
        _write(making / piece_name(number), data)
        digests.append(digest(data))
    for name, data in (beside or {}).items():
        _write(making / name, data)
    _write(making / MANIFEST, encode(Manifest(height=height, format=FORMAT, pieces=tuple(digests))))
    making.rename(place)
    return place


def prune(folder: Path, kept: int) -> list[Height]:
    """Forget all but the newest few snapshots of a folder; the heights of those that went."""
    gone = heights_in(folder)[:-kept] if kept else heights_in(folder)
    for height in gone:
        shutil.rmtree(folder / str(height), ignore_errors=True)
    return gone


class Snapshots:
    """Makes and keeps one member's snapshots as blocks arrive. For one event loop; files are written in a thread."""

    def __init__(self, folder: Path, replica: Replica, every_blocks: int = EVERY_BLOCKS) -> None:
        self.folder = folder
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
        write_snapshot(self.folder, moment, height)
        prune(self.folder, KEPT)

    def heights(self) -> list[Height]:
        """Of the snapshots that are kept, the lowest first."""
        return heights_in(self.folder)


def header_in(head: Head) -> Header:
    """The header that a snapshot begins with. Raises MalformedError where it is none."""
    return decode(Header, head.header)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
