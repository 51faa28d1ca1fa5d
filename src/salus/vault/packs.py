"""A pack: the blobs of one batch that one vault keeps, in one file, found by digest without a database.

    magic (8) | count (4) | count × (digest 32, offset 8, size 8), by digest | blobs

Offsets count from the start of the file. A blob is checked against its digest whenever it is read.
"""

import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from salus.core.errors import IntegrityError
from salus.core.ids import Digest

MAGIC = b"SALUSPK1"
_HEAD = struct.Struct(">8sI")
_ROW = struct.Struct(">32sQQ")
HEAD_BYTES = _HEAD.size
ROW_BYTES = _ROW.size


class PackError(IntegrityError):
    """A pack's index does not read."""

    code = "vault.pack"


def write_pack(blobs: Mapping[Digest, bytes]) -> list[bytes]:
    """A pack's pieces, to be written one after the other."""
    ordered = sorted(blobs.items())
    offset = HEAD_BYTES + ROW_BYTES * len(ordered)
    rows: list[bytes] = []
    for digest, blob in ordered:
        rows.append(_ROW.pack(digest, offset, len(blob)))
        offset += len(blob)
    return [_HEAD.pack(MAGIC, len(ordered)), *rows, *(blob for _, blob in ordered)]


class Index:
    """Where the blobs of a pack lie."""

    def __init__(self, head: bytes, rows: bytes) -> None:
        """Read a pack's index from its first bytes.

        Raises:
            PackError: they are not those of a pack.
        """
        if count_of(head) * ROW_BYTES != len(rows):
            raise PackError(reason="index cut short")
        self._rows = rows
        self.digests: Sequence[Digest] = [rows[at : at + 32] for at in range(0, len(rows), ROW_BYTES)]

    def find(self, digest: Digest) -> tuple[int, int] | None:
        """Offset and size of a blob."""
        at = bisect_left(self.digests, digest)
        if at == len(self.digests) or self.digests[at] != digest:
            return None
        _, offset, size = _ROW.unpack_from(self._rows, at * ROW_BYTES)
        return int(offset), int(size)


def count_of(head: bytes) -> int:
    """How many blobs a pack says it has.

    Raises:
        PackError: this is no pack.
    """
    if len(head) != HEAD_BYTES:
        raise PackError(reason="no pack")
    magic, count = _HEAD.unpack(head)
    if magic != MAGIC:
        raise PackError(reason="no pack")
    return int(count)
