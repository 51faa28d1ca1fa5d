"""Whether a transaction may wait in the mempool: whole, alone, against the committed state; and how much may wait.

What is checked is remembered by the machine's verifier, so a signature is verified once, here, and not again in the
block. A check is a courtesy to the network, not a rule: a block may hold what no member's check has seen, and the
machine then says no by itself. So the member's own clock counts here beside block time, which stands still while
nothing happens; and what waits is not checked again after each block: a block refuses what has become wrong meanwhile.
"""

from collections import Counter
from typing import Final

from salus.contracts.members.reads import members_of
from salus.core.clock import Clock
from salus.core.ids import MIB_BYTES, Digest, MemberId
from salus.crypto.digests import digest
from salus.engines.queue import BusyError
from salus.engines.replica import Replica
from salus.machine.admission import read
from salus.machine.errors import ExpiredError
from salus.machine.machine import InForce, Machine
from salus.state.state import State

POOL_TXS: Final = 16_384  # That may wait in one member's mempool, all sponsors together,
POOL_BYTES: Final = 64 * MIB_BYTES
LANE_PART: Final = 4  # and beside them a quarter as much for what uses the reserved lane.

Place = tuple[MemberId, bool]  # A sponsor, in bulk or in the lane.


class Checker:
    """Checks transactions against one member's newest final state. `let_go` before and after each block is written."""

    def __init__(self, replica: Replica, machine: Machine, clock: Clock) -> None:
        self._replica = replica
        self._machine = machine
        self._clock = clock
        self._moment: tuple[State, InForce] | None = None
        self._waiting: dict[Digest, tuple[Place, int]] = {}  # By digest, with its size.
        self._count: Counter[Place] = Counter()
        self._bytes: Counter[Place] = Counter()
        self._sponsors = 1

    def let_go(self) -> None:
        """Hold no moment of the store: what is committed is about to change, or has changed."""
        self._moment = None

    def forget(self, tx: bytes) -> None:
        """It waits no longer: a block holds it, or it has run out."""
        place, size_bytes = self._waiting.pop(digest(tx), (None, 0))
        if place is not None:
            self._count[place] -= 1
            self._bytes[place] -= size_bytes

    def check(self, data: bytes) -> None:
        """Whether a new transaction may wait.

        Raises:
            MalformedError, RefusalError: as `Machine.check`.
            BusyError: so much of this sponsor's waits already that others would find no room.
        """
        submitted = read(data)
        state, in_force = self._committed()
        place = (submitted.body.sponsor, submitted.is_lane)
        self._check_room(place)
        time = max(self._replica.time, self._clock())
        self._machine.check_under(in_force, state, data, time)
        named = digest(data)
        if named not in self._waiting:
            self._waiting[named] = (place, submitted.size_bytes)
            self._count[place] += 1
            self._bytes[place] += submitted.size_bytes

    def recheck(self, data: bytes) -> None:
        """Whether a transaction may go on waiting after a block: not once it has run out.

        Raises:
            ExpiredError: it can become final no more.
        """
        submitted = read(data)
        if submitted.body.valid_until < self._replica.time:
            self.forget(data)
            raise ExpiredError(valid_until=submitted.body.valid_until, time=self._replica.time)

    def _committed(self) -> tuple[State, InForce]:
        if self._moment is None:
            state = State(self._replica.values_and_tree.moment())
            self._moment = state, self._machine.in_force(state, self._replica.height + 1)
            self._sponsors = max(1, len(members_of(state)))
        return self._moment

    def _check_room(self, place: Place) -> None:
        """Every sponsor has its share, in bulk and in the lane, so that nobody's import keeps others out."""
        sponsor, is_lane = place
        share = self._sponsors * (LANE_PART if is_lane else 1)
        if self._count[place] >= POOL_TXS // share or self._bytes[place] >= POOL_BYTES // share:
            raise BusyError(sponsor=sponsor, waiting=self._count[place])
