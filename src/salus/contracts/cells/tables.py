"""What the ledger keeps of cells: one entry each, whose content is elsewhere."""

from enum import Enum
from typing import Final

from salus.core.ids import CellId, CommitteeId, Digest, Version
from salus.core.wire import Record
from salus.state.keys import Bytes
from salus.state.table import Table


class Status(Enum):
    """What a cell lets through: all that consent allows; the patient and break-glass alone; nothing."""

    LIVE = "live"
    FROZEN = "frozen"
    CLOSED = "closed"


class Cell(Record, tag="cells.cell/1", frozen=True):
    """One personal entry: its content is elsewhere, its state is here."""

    version: Version  # Consumed by the owner's messages.
    guard: Version  # Consumed by the guardians' messages.
    committee: CommitteeId
    commitment: Digest
    owner: Digest
    recovery: Digest
    status: Status


CELLS: Final = Table[CellId, Cell]("cells/cell/", Cell, Bytes(16))
