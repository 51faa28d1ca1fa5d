"""Cells: one row per refusal in checking order, which of two wins, and what each message does."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from salus.contracts.cells import transitions
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
from salus.contracts.cells.messages import Advance, Close, Create, Freeze, SeatReceipt, Thaw
from salus.contracts.cells.tables import CELLS, Cell, Status
from salus.contracts.members.tables import COMMITTEES
from salus.core.errors import RefusalError
from salus.core.ids import NO_DIGEST
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.state.state import State
from tests.support.network import context, founded, network
from tests.support.refusals import assert_refused

NET = network(4)
CELL = NET.id16("cell")
OTHER = NET.id16("other cell")
OwnersMessage = Advance | Freeze | Thaw | Close


def act(state: State, msg: Create | OwnersMessage, *, signed: bool = True) -> None:
    """Run a message, signed by the key it shows."""
    signers = (msg.owner_key,) if signed and isinstance(msg, OwnersMessage) else ()
    name = type(msg).__name__.lower()
    getattr(transitions, name)(state, context(NET, signers=signers), msg)


def standing(*steps: Callable[[int], OwnersMessage]) -> State:
    """A state with the cell, after these owner's messages."""
    state = founded(NET)
    act(state, NET.create(CELL))
    for version, step in enumerate(steps):
        act(state, step(version))
    return state


def freeze(version: int) -> Freeze:
    return NET.freeze(CELL, version)


def thaw(version: int) -> Thaw:
    return NET.thaw(CELL, version)


def close(version: int) -> Close:
    return NET.close(CELL, version)


def advance(version: int) -> Advance:
    return NET.advance(CELL, version)


def cell_in(state: State) -> Cell:
    cell = CELLS.get(state, CELL)
    assert cell is not None
    return cell


@dataclass(frozen=True)
class Row:
    """A message that a state must refuse."""

    why: str
    state: State
    msg: Create | OwnersMessage
    error: type[RefusalError]
    signed: bool = True


def receipts(*seats: int, version: int = 0) -> tuple[SeatReceipt, ...]:
    return NET.advance(CELL, version, seats=seats).receipts


def held_by(receipts: tuple[SeatReceipt, ...]) -> Advance:
    """The first advance, with other receipts."""
    return replace(advance(0), receipts=receipts)


def forged(seat: int) -> SeatReceipt:
    return SeatReceipt(seat=seat, signature=bytes(64))


def spent(msg: OwnersMessage) -> OwnersMessage:
    """A message that shows the cell's very first key, which a close has left in place."""
    return replace(msg, owner_key=NET.owner(CELL, 0).public)


GUARDED = replace(NET.create(CELL), recovery=digest(b"guardians"))
UNSERVED = replace(NET.create(CELL), committee=OTHER)
SWAPPED = tuple(
    replace(a, signature=b.signature) for a, b in zip(receipts(1, 2), reversed(receipts(1, 2)), strict=True)
)

REFUSALS = [
    Row("create with guardians", founded(NET), GUARDED, GuardiansNotOfferedError),
    Row("create twice", standing(), NET.create(CELL), CellExistsError),
    Row("create after close", standing(close), NET.create(CELL), CellExistsError),
    Row("create without committee", founded(NET), UNSERVED, CommitteeNotFoundError),
    Row("create: guardians before id", standing(), GUARDED, GuardiansNotOfferedError),
    Row("create: id before committee", standing(), UNSERVED, CellExistsError),
    Row("freeze nothing", founded(NET), freeze(0), CellNotFoundError),
    Row("freeze a stale version", standing(advance), freeze(0), StaleVersionError),
    Row("freeze a future version", standing(), freeze(1), StaleVersionError),
    Row("freeze unsigned", standing(), freeze(0), NotOwnerError, signed=False),
    Row("freeze by a stranger", standing(), replace(freeze(0), owner_key=NET.owner(OTHER, 0).public), NotOwnerError),
    Row("freeze by the next key", standing(), replace(freeze(0), owner_key=NET.owner(CELL, 1).public), NotOwnerError),
    Row("freeze what is closed", standing(close), spent(freeze(1)), CellClosedError),
    Row("freeze what is frozen", standing(freeze), freeze(1), CellFrozenError),
    Row("freeze: found before version", founded(NET), freeze(3), CellNotFoundError),
    Row("freeze: version before owner", standing(advance), freeze(0), StaleVersionError, signed=False),
    Row("freeze: owner before closed", standing(close), spent(freeze(1)), NotOwnerError, signed=False),
    Row("thaw nothing", founded(NET), thaw(0), CellNotFoundError),
    Row("thaw a stale version", standing(freeze), thaw(0), StaleVersionError),
    Row("thaw unsigned", standing(freeze), thaw(1), NotOwnerError, signed=False),
    Row("thaw what is closed", standing(close), spent(thaw(1)), CellClosedError),
    Row("thaw what is live", standing(), thaw(0), CellNotFrozenError),
    Row("thaw: owner before status", standing(), thaw(0), NotOwnerError, signed=False),
    Row("close nothing", founded(NET), close(0), CellNotFoundError),
    Row("close a stale version", standing(advance), close(0), StaleVersionError),
    Row("close unsigned", standing(), close(0), NotOwnerError, signed=False),
    Row("close what is closed", standing(close), spent(close(1)), CellClosedError),
    Row("advance by falling seats", standing(), held_by(receipts(2, 1)), ReceiptsOutOfOrderError),
    Row("advance by one seat twice", standing(), held_by(receipts(1, 1)), ReceiptsOutOfOrderError),
    Row("advance: order before cell", founded(NET), held_by(receipts(2, 1)), ReceiptsOutOfOrderError),
    Row("advance nothing", founded(NET), advance(0), CellNotFoundError),
    Row("advance a stale version", standing(advance), advance(0), StaleVersionError),
    Row("advance unsigned", standing(), advance(0), NotOwnerError, signed=False),
    Row("advance what is closed", standing(close), spent(advance(1)), CellClosedError),
    Row("advance by an unknown seat", standing(), held_by((*receipts(1), forged(5))), UnknownSeatError),
    Row("advance by f seats", standing(), held_by(receipts(1)), TooFewReceiptsError),
    Row("advance by nobody", standing(), held_by(()), TooFewReceiptsError),
    Row("advance: seat before count", standing(), held_by((forged(5),)), UnknownSeatError),
    Row("advance: count before signature", standing(), held_by(SWAPPED[:1]), TooFewReceiptsError),
    Row("advance by swapped signatures", standing(), held_by(SWAPPED), BadReceiptError),
    Row("advance with receipts of another version", standing(), held_by(receipts(1, 2, version=1)), BadReceiptError),
    Row("advance with receipts of another epoch", standing(), NET.advance(CELL, 0, epoch=2), BadReceiptError),
    Row("advance to what nobody holds", standing(), replace(advance(0), commitment=digest(b"else")), BadReceiptError),
    Row("advance with one bad receipt of three", standing(), held_by((*receipts(1, 2), forged(3))), BadReceiptError),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_a_cell_refuses(row: Row) -> None:
    assert_refused(row.state, lambda: act(row.state, row.msg, signed=row.signed), row.error)


@pytest.mark.parametrize("steps", [(advance,), (freeze,), (freeze, thaw), (freeze, advance), (close,)])
def test_no_owners_message_can_be_replayed(steps: tuple[Callable[[int], OwnersMessage], ...]) -> None:
    state = standing(*steps)
    for version, step in enumerate(steps):
        replayed = step(version)
        assert_refused(state, lambda replayed=replayed: act(state, replayed), StaleVersionError)  # type: ignore[misc]


def test_a_lost_committee_stops_the_node_instead_of_refusing() -> None:
    state = standing()
    COMMITTEES.delete(state, NET.committee)
    with pytest.raises(CommitteeLostError):
        act(state, advance(0))


def test_create_opens_a_live_cell_at_version_0() -> None:
    message = NET.create(CELL)
    assert cell_in(standing()) == Cell(
        version=0,
        guard=0,
        committee=NET.committee,
        commitment=message.commitment,
        owner=message.owner,
        recovery=NO_DIGEST,
        status=Status.LIVE,
    )


def test_advance_puts_the_commitment_in_force_and_spends_the_key() -> None:
    cell = cell_in(standing(advance))
    assert (cell.version, cell.commitment) == (1, advance(0).commitment)
    assert cell.owner == digest(NET.owner(CELL, 1).public)


def test_a_frozen_cell_advances_and_stays_frozen() -> None:
    cell = cell_in(standing(freeze, advance))
    assert (cell.version, cell.status, cell.commitment) == (2, Status.FROZEN, advance(1).commitment)


def test_thaw_opens_what_freeze_closed_and_changes_nothing_else() -> None:
    before, after = cell_in(standing()), cell_in(standing(freeze, thaw))
    assert after == replace(before, version=2, owner=digest(NET.owner(CELL, 2).public))


@pytest.mark.parametrize("steps", [(close,), (freeze, close), (advance, close)])
def test_close_ends_a_cell_and_names_no_next_key(steps: tuple[Callable[[int], OwnersMessage], ...]) -> None:
    cell = cell_in(standing(*steps))
    assert (cell.status, cell.version) == (Status.CLOSED, len(steps))
    assert cell.owner == digest(NET.owner(CELL, len(steps) - 1).public)


def test_a_single_keeper_needs_one_receipt() -> None:
    alone = network(1)
    state = founded(alone)
    transitions.create(state, context(alone), alone.create(CELL))
    message = alone.advance(CELL, 0, seats=[1])
    assert_refused(
        state,
        lambda: transitions.advance(state, context(alone, signers=[message.owner_key]), replace(message, receipts=())),
        TooFewReceiptsError,
    )
    transitions.advance(state, context(alone, signers=[message.owner_key]), message)
    assert cell_in(state).version == 1
