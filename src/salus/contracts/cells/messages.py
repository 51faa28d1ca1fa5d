"""What the holder of a cell may ask for. Owner messages consume `version`; guardians' messages come with recovery."""

from salus.core.ids import CellId, CommitteeId, Digest, PublicKey, Seat, Signature, Version
from salus.core.wire import Message, Record


class SeatReceipt(Record, tag="cells.receipt/1", frozen=True):
    """A keeper's signature that it holds what a cell's new commitment stands for, see `statements.held`."""

    seat: Seat
    signature: Signature


class Create(Message, tag="cells.create/1", frozen=True):
    """Open a personal entry. Any member may sponsor one; who owns it is a digest."""

    cell_id: CellId
    committee: CommitteeId
    commitment: Digest
    owner: Digest  # Of the first one-time public key.
    recovery: Digest  # Of the guardians' set; NO_DIGEST while there are none.


class Advance(Message, tag="cells.advance/1", frozen=True):
    """Put a new commitment in force: a grant, a revocation, a claim. Needs f+1 keepers of the cell's committee."""

    cell_id: CellId
    version: Version
    owner_key: PublicKey  # One-time: its digest is the cell's `owner`; the message spends it.
    next_owner: Digest
    commitment: Digest
    receipts: tuple[SeatReceipt, ...]  # By rising seat, at the committee's current epoch.


class Freeze(Message, tag="cells.freeze/1", frozen=True):
    """Stop every use of a cell until it is thawed. Needs no keeper, so nobody can delay it."""

    cell_id: CellId
    version: Version
    owner_key: PublicKey
    next_owner: Digest


class Thaw(Message, tag="cells.thaw/1", frozen=True):
    """Open a frozen cell again: its owner alone, where no guardians are set."""

    cell_id: CellId
    version: Version
    owner_key: PublicKey
    next_owner: Digest


class Close(Message, tag="cells.close/1", frozen=True):
    """End a cell for good. Nothing reopens it."""

    cell_id: CellId
    version: Version
    owner_key: PublicKey
