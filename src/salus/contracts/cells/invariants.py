"""What holds of cells after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.cells.tables import CELLS, Status
from salus.contracts.members.reads import committee_of
from salus.core.ids import NO_DIGEST
from salus.state.state import State


def committees_exist(state: State) -> Iterator[str]:
    """Every cell is served by a committee on the ledger."""
    for cell_id, cell in CELLS.items(state):
        if committee_of(state, cell.committee) is None:
            yield cell_id.hex()


def nobody_has_guardians(state: State) -> Iterator[str]:
    """Guardians come with recovery: until then no cell names any, and no guard version was consumed."""
    for cell_id, cell in CELLS.items(state):
        if cell.recovery != NO_DIGEST or cell.guard != 0:
            yield cell_id.hex()


def changes_leave_a_version(state: State) -> Iterator[str]:
    """A cell at version 0 is as it was created: live."""
    for cell_id, cell in CELLS.items(state):
        if cell.version == 0 and cell.status is not Status.LIVE:
            yield cell_id.hex()


INVARIANTS = (committees_exist, nobody_has_guardians, changes_leave_a_version)
