"""What holds on the whole ledger after every block: all contracts' invariants, each named."""

from collections.abc import Callable, Iterator
from typing import Final

from salus.contracts.cells import invariants as cells
from salus.contracts.credentials import invariants as credentials
from salus.contracts.members import invariants as members
from salus.contracts.reads import invariants as reads
from salus.contracts.records import invariants as records
from salus.state.state import State

Invariant = Callable[[State], Iterator[str]]

INVARIANTS: Final[dict[str, tuple[Invariant, ...]]] = {
    "members": members.INVARIANTS,
    "credentials": credentials.INVARIANTS,
    "records": records.INVARIANTS,
    "cells": cells.INVARIANTS,
    "reads": reads.INVARIANTS,
}


def invariants(state: State) -> Iterator[str]:
    """Whatever breaks an invariant, as `contract.invariant: what`; nothing on a sound ledger. Reads the whole state."""
    for contract, held in INVARIANTS.items():
        for invariant in held:
            for broken in invariant(state):
                yield f"{contract}.{invariant.__name__}: {broken}"
