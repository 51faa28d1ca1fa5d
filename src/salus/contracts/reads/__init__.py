"""Reads: the trace that every read leaves before it happens, and how far each keeper's log has come.

`messages.py` what readers and keepers leave; `transitions.py` what it does; `opening.py` what a request's commitment
hides; `tables.py` what is kept; `reads.py` what others ask; `errors.py` refusals; `invariants.py` what always holds.
Begin with `README.md`.
"""

from salus.contracts.reads.messages import LogRoot, Request
from salus.contracts.reads.reads import is_open, log_root_of, request_of
from salus.contracts.reads.tables import LatestLogRoot, OpenRequest
from salus.contracts.reads.transitions import log_root, prune, request

__all__ = [
    "LatestLogRoot",
    "LogRoot",
    "OpenRequest",
    "Request",
    "is_open",
    "log_root",
    "log_root_of",
    "prune",
    "request",
    "request_of",
]
