"""What other rooms ask of cells."""

from salus.contracts.cells.tables import CELLS, Cell, Status
from salus.core.ids import CellId
from salus.state.state import State


def cell_of(state: State, cell_id: CellId) -> Cell | None:
    """A cell's entry, whatever its status."""
    return CELLS.get(state, cell_id)


def is_live(state: State, cell_id: CellId) -> bool:
    """Whether a cell lets through all that consent allows: it exists, neither frozen nor closed."""
    cell = CELLS.get(state, cell_id)
    return cell is not None and cell.status is Status.LIVE
