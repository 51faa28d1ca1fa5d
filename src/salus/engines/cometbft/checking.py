"""Whether a transaction may wait in the mempool: whole, alone, against the committed state; and how much may wait.

What is checked is remembered by the machine's verifier, so a signature is verified once, here, and not again in the
block. A check is a courtesy to the network, not a rule: a block may hold what no member's check has seen, and the
machine then says no by itself. So the member's own clock counts here beside block time, which stands still while
nothing happens.
"""

from collections import Counter
from typing import Final

from salus.contracts.members.reads import members_of
from salus.core.clock import Clock
from salus.core.ids import MIB_BYTES, MemberId
from salus.engines.queue import BusyError
from salus.engines.replica import Replica
from salus.machine.admission import Submitted, read
from salus.machine.errors import ExpiredError
from salus.machine.machine import Machine
from salus.state.state import State

POOL_TXS: Final = 16_384  # That may wait in one member's mempool, all sponsors together,
POOL_BYTES: Final = 64 * MIB_BYTES
LANE_PART: Final = 4  # and beside them a quarter as much for what uses the reserved lane.


class Checker:
    """Checks transactions against one member's newest final state. `renew` after each block."""

    def __init__(self, replica: Replica, machine: Machine, clock: Clock) -> None:
        self._replica = replica
        self._machine = machine
        self._clock = clock
        self._state: State | None = None
        self._waiting: Counter[tuple[MemberId, bool]] = Counter()
        self._waiting_bytes: Counter[tuple[MemberId, bool]] = Counter()
        self._sponsors = 1

    def let_go(self) -> None:
        """Hold no moment of the store, before a block is written. What waits is counted anew in the recheck."""
        self._state = None
        self._waiting.clear()
        self._waiting_bytes.clear()

    def check(self, data: bytes) -> None:
        """Whether a new transaction may wait.

        Raises:
            MalformedError, RefusalError: as `Machine.check`.
            BusyError: so much of this sponsor's waits already that others would find no room.
        """
        submitted = read(data)
        state = self._moment()
        self._check_room(submitted)
        time = max(self._replica.time, self._clock())
        self._machine.check(state, data, time, self._replica.height + 1)
        self._count(submitted)

    def recheck(self, data: bytes) -> None:
        """Whether a transaction may go on waiting after a block: not once it has run out, or stands in one.

        Raises:
            ExpiredError: it can become final no more.
        """
        submitted = read(data)
        if submitted.body.valid_until < self._replica.time:
            raise ExpiredError(valid_until=submitted.body.valid_until, time=self._replica.time)
        self._count(submitted)

    def _moment(self) -> State:
        if self._state is None:
            self._state = State(self._replica.values_and_tree.moment())
            self._sponsors = max(1, len(members_of(self._state)))
        return self._state

    def _check_room(self, submitted: Submitted) -> None:
        """Every sponsor has its share, in bulk and in the lane, so that nobody's import keeps others out."""
        place = (submitted.body.sponsor, submitted.is_lane)
        share = self._sponsors * (LANE_PART if submitted.is_lane else 1)
        if self._waiting[place] >= POOL_TXS // share or self._waiting_bytes[place] >= POOL_BYTES // share:
            raise BusyError(sponsor=submitted.body.sponsor, waiting=self._waiting[place])

    def _count(self, submitted: Submitted) -> None:
        place = (submitted.body.sponsor, submitted.is_lane)
        self._waiting[place] += 1
        self._waiting_bytes[place] += submitted.size_bytes
