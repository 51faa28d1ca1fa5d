"""Cells: personal entries owned by one-time keys, whose content is elsewhere. A subject's consent is one.

`messages.py` what an owner may ask for; `transitions.py` what it does; `statements.py` what keepers sign; `tables.py`
what is kept; `reads.py` what others ask; `errors.py` refusals; `invariants.py` what always holds. Begin with
`README.md`.
"""

from salus.contracts.cells.messages import Advance, Close, Create, Freeze, SeatReceipt, Thaw
from salus.contracts.cells.reads import cell_of, is_live
from salus.contracts.cells.tables import Cell, Status
from salus.contracts.cells.transitions import advance, close, create, freeze, thaw

__all__ = [
    "Advance",
    "Cell",
    "Close",
    "Create",
    "Freeze",
    "SeatReceipt",
    "Status",
    "Thaw",
    "advance",
    "cell_of",
    "close",
    "create",
    "freeze",
    "is_live",
    "thaw",
]
