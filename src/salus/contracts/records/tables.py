"""What the ledger keeps of records: one entry per batch, per later dealing, per version that no longer counts."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from salus.core.ids import BatchId, CommitteeId, Digest, Epoch, Height, LeafIndex, MemberId, Name, Seat, Unsigned
from salus.core.wire import Record
from salus.state.keys import Bytes, Integer, Text
from salus.state.table import Table


class Batch(Record, tag="records.batch/1", frozen=True):
    """A sealed batch. Its author and id are its key."""

    root: Digest
    share_root: Digest
    committee: CommitteeId
    epoch: Epoch
    height: Height
    seats: Unsigned  # Bit `seat - 1` for each seat whose receipt was anchored: it signed that it holds its shares.

    def is_signed_by(self, seat: Seat) -> bool:
        """Whether a seat's receipt stands in the anchor."""
        return bool(self.seats >> (seat - 1) & 1)


class Attested(Record, tag="records.attested/1", frozen=True):
    """A batch was dealt again at the epoch in the key."""

    share_root: Digest
    height: Height
    seats: Unsigned  # As in `Batch`, of the committee at that epoch.


@dataclass(frozen=True, slots=True)
class Dealing:
    """To whom a batch was dealt, from a height on until the next dealing: its anchor's, or one that was attested."""

    epoch: Epoch
    share_root: Digest
    height: Height
    seats: Unsigned

    def is_signed_by(self, seat: Seat) -> bool:
        """Whether a seat's receipt stands on the ledger."""
        return bool(self.seats >> (seat - 1) & 1)


class Fate(Enum):
    """Why a version no longer counts."""

    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Successor(Record, tag="records.successor/1", frozen=True):
    """The version that took another's place; by the same author, or by the member that succeeded it."""

    batch_id: BatchId
    index: LeafIndex
    author: Name | None = None  # None for the same author.


class Override(Record, tag="records.override/1", frozen=True):
    """What became of a version."""

    fate: Fate
    successor: Successor | None  # Kept when a superseded version is withdrawn later.


BATCHES: Final = Table[tuple[MemberId, BatchId], Batch]("records/batch/", Batch, Text(), Bytes(16))
ATTESTED: Final = Table[tuple[MemberId, BatchId, Epoch], Attested](
    "records/attested/", Attested, Text(), Bytes(16), Integer()
)
OVERRIDES: Final = Table[tuple[MemberId, BatchId, int], Override](
    "records/override/", Override, Text(), Bytes(16), Integer()
)
