"""What others ask of cells."""

import pytest

from salus.contracts.cells.reads import cell_of, is_live
from salus.contracts.cells.tables import CELLS, Cell, Status
from salus.core.ids import NO_DIGEST
from tests.support.network import founded, network

NET = network(4)
CELL = NET.id16("cell")


def test_a_cell_that_is_not_there_is_neither_shown_nor_live() -> None:
    state = founded(NET)
    assert cell_of(state, CELL) is None
    assert not is_live(state, CELL)


@pytest.mark.parametrize("status", Status)
def test_only_a_live_cell_is_live(status: Status) -> None:
    state = founded(NET)
    cell = Cell(3, 0, NET.committee, NO_DIGEST, NO_DIGEST, NO_DIGEST, status)
    CELLS.put(state, CELL, cell)
    assert cell_of(state, CELL) == cell
    assert is_live(state, CELL) == (status is Status.LIVE)
