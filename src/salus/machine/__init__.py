"""The machine: applies a block to a state, the same way on every member.

`machine.py` applies; `transaction.py` what is signed and sent; `admission.py` who may speak; `routes.py` who answers,
by which rules; `block.py` blocks, headers and outcomes; `invariants.py` what always holds; `errors.py` refusals before
any contract.
"""

from salus.machine.admission import Submitted, read, remembering
from salus.machine.block import (
    ACCEPTED,
    Applied,
    Block,
    Header,
    Result,
    header_id,
    header_of,
    outcome_leaf,
    outcome_root,
    validators_digest,
)
from salus.machine.invariants import invariants
from salus.machine.machine import Machine
from salus.machine.transaction import Body, Tx, Witness, sign, transaction_id

__all__ = [
    "ACCEPTED",
    "Applied",
    "Block",
    "Body",
    "Header",
    "Machine",
    "Result",
    "Submitted",
    "Tx",
    "Witness",
    "header_id",
    "header_of",
    "invariants",
    "outcome_leaf",
    "outcome_root",
    "read",
    "remembering",
    "sign",
    "transaction_id",
    "validators_digest",
]
