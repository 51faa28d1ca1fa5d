"""One function per message; each checks, then writes.

Every owner's message spends the cell's one-time key and consumes its version, so none can be replayed.
"""

from salus.contracts.cells.errors import (
    BadReceiptError,
    CellClosedError,
    CellExistsError,
    CellFrozenError,
    CellNotFoundError,
    CellNotFrozenError,
    CommitteeLostError,
    CommitteeNotFoundError,
    GuardiansNotOfferedError,
    NotOwnerError,
    ReceiptsOutOfOrderError,
    StaleVersionError,
    TooFewReceiptsError,
    UnknownSeatError,
)
from salus.contracts.cells.messages import Advance, Close, Create, Freeze, Thaw
from salus.contracts.cells.statements import held
from salus.contracts.cells.tables import CELLS, Cell, Status
from salus.contracts.members.reads import committee_of, holder_of
from salus.core.context import Context
from salus.core.ids import NO_DIGEST
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.shares import faulty
from salus.state.state import State


def create(state: State, ctx: Context, msg: Create) -> None:
    """Open a cell at version 0, live. Any member may sponsor it; who owns it is a digest.

    Raises, in this order:
        GuardiansNotOfferedError: `recovery` is not NO_DIGEST.
        CellExistsError: the id was used before, be that cell closed or not.
        CommitteeNotFoundError: no committee has this id.
    """
    if msg.recovery != NO_DIGEST:
        raise GuardiansNotOfferedError(cell_id=msg.cell_id)
    if CELLS.has(state, msg.cell_id):
        raise CellExistsError(cell_id=msg.cell_id)
    if committee_of(state, msg.committee) is None:
        raise CommitteeNotFoundError(committee=msg.committee)
    cell = Cell(
        version=0,
        guard=0,
        committee=msg.committee,
        commitment=msg.commitment,
        owner=msg.owner,
        recovery=msg.recovery,
        status=Status.LIVE,
    )
    CELLS.put(state, msg.cell_id, cell)


def advance(state: State, ctx: Context, msg: Advance) -> None:
    """Put a new commitment in force. A frozen cell may advance and stays frozen: a policy can change meanwhile.

    Raises, in this order:
        ReceiptsOutOfOrderError: seats do not rise strictly.
        CellNotFoundError, StaleVersionError, NotOwnerError, CellClosedError: as in `freeze`.
        UnknownSeatError: a receipt names a seat that the committee does not have.
        TooFewReceiptsError: fewer than f+1, of which one must be honest.
        BadReceiptError: a signature is not its seat's over the next version at the committee's current epoch.
    """
    last = 0
    for receipt in msg.receipts:
        if receipt.seat <= last:
            raise ReceiptsOutOfOrderError(cell_id=msg.cell_id, seat=receipt.seat)
        last = receipt.seat
    cell = _owned(state, ctx, msg)
    _check_receipts(state, ctx, msg, cell)
    _spend(state, msg, replace(cell, commitment=msg.commitment))


def freeze(state: State, ctx: Context, msg: Freeze) -> None:
    """Close the door on a cell until `thaw` or recovery.

    Raises, in this order:
        CellNotFoundError: no cell has this `cell_id`.
        StaleVersionError: the cell has moved on from `version`.
        NotOwnerError: `owner_key` is not the key the cell expects, or did not sign.
        CellClosedError: the cell is closed for good.
        CellFrozenError: the cell is frozen already.
    """
    cell = _owned(state, ctx, msg)
    if cell.status is Status.FROZEN:
        raise CellFrozenError(cell_id=msg.cell_id)
    _spend(state, msg, replace(cell, status=Status.FROZEN))


def thaw(state: State, ctx: Context, msg: Thaw) -> None:
    """Open a frozen cell again: by its owner alone, since no cell has guardians yet.

    Raises, in this order:
        CellNotFoundError, StaleVersionError, NotOwnerError, CellClosedError: as in `freeze`.
        CellNotFrozenError: the cell is live.
    """
    cell = _owned(state, ctx, msg)
    if cell.status is not Status.FROZEN:
        raise CellNotFrozenError(cell_id=msg.cell_id)
    _spend(state, msg, replace(cell, status=Status.LIVE))


def close(state: State, ctx: Context, msg: Close) -> None:
    """End a cell for good, live or frozen. Its id stays used; its owner key is spent and has no successor.

    Raises, in this order:
        CellNotFoundError, StaleVersionError, NotOwnerError, CellClosedError: as in `freeze`.
    """
    cell = _owned(state, ctx, msg)
    CELLS.put(state, msg.cell_id, replace(cell, status=Status.CLOSED, version=cell.version + 1))


def _owned(state: State, ctx: Context, msg: Advance | Freeze | Thaw | Close) -> Cell:
    """The cell that the message's signer owns at this version, not closed. Raises as listed in `freeze`."""
    cell = CELLS.get(state, msg.cell_id)
    if cell is None:
        raise CellNotFoundError(cell_id=msg.cell_id)
    if msg.version != cell.version:
        raise StaleVersionError(cell_id=msg.cell_id, version=cell.version)
    if not ctx.signed_by(msg.owner_key) or digest(msg.owner_key) != cell.owner:
        raise NotOwnerError(cell_id=msg.cell_id)
    if cell.status is Status.CLOSED:
        raise CellClosedError(cell_id=msg.cell_id)
    return cell


def _spend(state: State, msg: Advance | Freeze | Thaw, cell: Cell) -> None:
    """Write the changed cell, waiting for its next one-time key."""
    CELLS.put(state, msg.cell_id, replace(cell, version=cell.version + 1, owner=msg.next_owner))


def _check_receipts(state: State, ctx: Context, msg: Advance, cell: Cell) -> None:
    """Whether f+1 keepers hold what the new commitment stands for, so that the others can fetch it."""
    committee = committee_of(state, cell.committee)
    if committee is None:
        raise CommitteeLostError(cell_id=msg.cell_id, committee=cell.committee)
    for receipt in msg.receipts:
        if holder_of(committee, receipt.seat) is None:
            raise UnknownSeatError(cell_id=msg.cell_id, seat=receipt.seat)
    if len(msg.receipts) < faulty(len(committee.seats)) + 1:
        raise TooFewReceiptsError(cell_id=msg.cell_id, receipts=len(msg.receipts))
    statement = held(
        chain=ctx.chain,
        cell_id=msg.cell_id,
        version=cell.version + 1,
        commitment=msg.commitment,
        committee=cell.committee,
        epoch=committee.epoch,
    )
    for receipt in msg.receipts:
        if not ctx.verify(committee.seats[receipt.seat - 1].key, statement, receipt.signature):
            raise BadReceiptError(cell_id=msg.cell_id, seat=receipt.seat)
