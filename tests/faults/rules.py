"""A newer program: it knows a second version of the rules, under which each block leaves its height in the state."""

from typing import Final

from salus.contracts.members import Moment
from salus.core.context import Verify
from salus.core.ids import Height
from salus.core.wire import Record
from salus.crypto import signatures
from salus.machine.machine import Machine
from salus.machine.routes import RULES, Rules
from salus.state.keys import Text
from salus.state.state import State
from salus.state.table import Table

NEWER = 2


class Stamp(Record, tag="test.stamp/1", frozen=True):
    """What the second version leaves."""

    height: Height


STAMPS: Final = Table[str, Stamp]("test/stamp/", Stamp, Text())


def stamp(state: State, moment: Moment) -> None:
    """The second version's rule, after the last transaction of a block."""
    STAMPS.put(state, "newest", Stamp(height=moment.height))


NEW: Final = {**RULES, NEWER: Rules(routes=RULES[1].routes, closing=(*RULES[1].closing, stamp))}


class NewerMachine(Machine):
    """The machine of the newer program."""

    def __init__(self, verify: Verify = signatures.verify) -> None:
        super().__init__(verify, NEW)
