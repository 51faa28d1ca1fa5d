"""Records: sealed batches on the ledger, and which of their versions no longer count.

`messages.py` what an author may say; `transitions.py` what it does; `statements.py` what keepers sign; `header.py`
what a leaf stands for; `batch.py` how its trees are laid out; `tables.py` what is kept; `reads.py` what others ask;
`errors.py` refusals; `invariants.py` what always holds. Begin with `README.md`.
"""

from salus.contracts.records.messages import Anchor, Attest, FirstWithdraw, SeatReceipt, Supersede, Withdraw
from salus.contracts.records.reads import (
    batch_of,
    dealer_of,
    dealing_of,
    dealings_of,
    fate_of,
    is_current,
    is_in_force,
    overridden_by,
)
from salus.contracts.records.tables import Batch, Dealing, Fate, Override, Successor
from salus.contracts.records.transitions import anchor, attest, withdraw

__all__ = [
    "Anchor",
    "Attest",
    "Batch",
    "Dealing",
    "Fate",
    "FirstWithdraw",
    "Override",
    "SeatReceipt",
    "Successor",
    "Supersede",
    "Withdraw",
    "anchor",
    "attest",
    "batch_of",
    "dealer_of",
    "dealing_of",
    "dealings_of",
    "fate_of",
    "is_current",
    "is_in_force",
    "overridden_by",
    "withdraw",
]
