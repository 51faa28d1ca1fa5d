"""Snapshots as CometBFT passes them on between members: listed, and handed out piece by piece."""

from contextlib import suppress

from salus.core.errors import SalusError
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.server import reply
from salus.engines.snapshots import FORMAT, PIECES_MAX, Manifest, SnapshotFolder, Snapshots, piece_name, snapshot_hash


class Offering:
    """Answers CometBFT's questions for one member's snapshots."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def list(self, _request: abci.Request) -> bytes:
        """Answer with all that are kept."""
        answer = abci.ListSnapshotsResponse()
        for height in self._snapshots.heights():
            try:
                answer.snapshots.append(offer(SnapshotFolder(self._snapshots.folder / str(height)).manifest()))
            except SalusError:
                continue  # Forgotten or damaged meanwhile.
        return reply(abci.Response(list_snapshots=answer))

    def load(self, request: abci.Request) -> bytes:
        """Answer with a piece; an empty one where none can be read. Who receives it checks its hash."""
        asked = request.load_snapshot_chunk
        data = b""
        if asked.format == FORMAT and asked.chunk < PIECES_MAX:
            place = self._snapshots.folder / str(asked.height) / piece_name(asked.chunk)
            with suppress(OSError):  # It may have been forgotten a moment ago.
                data = place.read_bytes()
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
