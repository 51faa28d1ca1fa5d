"""How a new member takes over a snapshot that peers serve, believing none of them.

CometBFT's light client has verified the root of the state at the snapshot's height. A snapshot is offered with the
hashes of its pieces; each piece must have its hash, or it is fetched again from somebody else. What they make together
is judged in `engines/taking_over.py`.
"""

from typing import Final

from salus.core.clock import Clock
from salus.core.wire import decode
from salus.crypto.digests import digest
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.server import reply
from salus.engines.layout import BASE_KEY
from salus.engines.replica import Replica
from salus.engines.snapshots import FORMAT, PIECES_MAX, SnapshotError, snapshot_hash
from salus.engines.taking_over import TakingOver
from salus.machine.block import Header

_DIGEST_BYTES: Final = 32
_Offered = abci.OfferSnapshotResponse
_Applied = abci.ApplySnapshotChunkResponse


class Restorer:
    """Takes one snapshot over into a replica that holds no block of its own yet. Not for two threads."""

    def __init__(self, replica: Replica, clock: Clock) -> None:
        self._replica = replica
        self._clock = clock
        self._under: TakingOver | None = None

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
            self.abandon()
            self._under = TakingOver(self._replica, self._clock, snapshot.height, pieces, asked.app_hash)
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
                under.take(asked.chunk)
            except SnapshotError:
                answer.result = _Applied.REJECT_SNAPSHOT
                self.abandon()
            if under.is_done:
                self._under = None
        return reply(abci.Response(apply_snapshot_chunk=answer))

    @property
    def progress(self) -> tuple[int, int]:
        """How many pieces are here, of how many; none of none while no snapshot is being taken over."""
        return (0, 0) if self._under is None else (self._under.next, len(self._under.pieces))

    def abandon(self) -> None:
        """Forget what was taken over so far."""
        under, self._under = self._under, None
        if under is not None:
            under.abandon()

    def _has_blocks(self) -> bool:
        """Whether it holds more than a snapshot: a crash may come between that and CometBFT's own first commit."""
        base = self._replica.values_and_tree.get(BASE_KEY)
        return self._replica.height > (0 if base is None else decode(Header, base).height)
