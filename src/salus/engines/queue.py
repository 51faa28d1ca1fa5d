"""Transactions that wait for a block, and which of them the next block takes.

The machine refuses what goes beyond a member's quota in one block, so a block is filled within all quotas and the rest
waits for the next. What uses the reserved lane is chosen first: no import keeps a revocation waiting. Inside a block
transactions stand in the order in which they came.
"""

from collections import Counter, deque
from collections.abc import Callable
from heapq import merge
from operator import attrgetter

from salus.contracts.members.messages import Parameters
from salus.core.errors import UnavailableError
from salus.core.ids import MIB_BYTES, MemberId
from salus.machine.admission import Submitted

LINE_BYTES_MAX = 16 * MIB_BYTES  # Of one sponsor, lane apart: one member's import fills no other's line.
UNVERIFIED_MAX = 1_024  # Transactions that may wait in a sponsor's line before signatures are checked at the door,
UNVERIFIED_LANE_MAX = 8  # and in its lane: forged ones in a member's name cannot keep its revocation waiting.
TXS_PER_BLOCK_MAX = 2_048  # A block of so many takes about half a second; whoever waits for it should not wait longer.


class BusyError(UnavailableError):
    """More transactions of one sponsor wait for a block than this engine holds."""

    code = "engine.busy"


class Waiting:
    """One transaction in the queue."""

    __slots__ = ("arrival", "data", "submitted")

    def __init__(self, arrival: int, data: bytes, submitted: Submitted) -> None:
        self.arrival = arrival
        self.data = data
        self.submitted = submitted


class Queue:
    """Waiting transactions, in lines by sponsor and lane. Knows neither clock nor state."""

    def __init__(self) -> None:
        self._lines: dict[tuple[MemberId, bool], deque[Waiting]] = {}
        self._sizes_bytes: Counter[tuple[MemberId, bool]] = Counter()
        self._arrivals = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def needs_proof(self, submitted: Submitted) -> bool:
        """Whether the line is so long that a signature is checked before more is let in under that name."""
        line = self._lines.get((submitted.body.sponsor, submitted.is_lane), ())
        return len(line) >= (UNVERIFIED_LANE_MAX if submitted.is_lane else UNVERIFIED_MAX)

    def put(self, data: bytes, submitted: Submitted) -> None:
        """Let a transaction wait.

        Raises:
            BusyError: `LINE_BYTES_MAX` of this sponsor are waiting already.
        """
        place = (submitted.body.sponsor, submitted.is_lane)
        if self._sizes_bytes[place] + len(data) > LINE_BYTES_MAX:
            raise BusyError(sponsor=submitted.body.sponsor, size_bytes=self._sizes_bytes[place])
        self._arrivals += 1
        self._sizes_bytes[place] += len(data)
        self._lines.setdefault(place, deque()).append(Waiting(self._arrivals, data, submitted))

    def take(self, limits: Parameters, quota_of: Callable[[MemberId], int]) -> list[Waiting]:
        """The next block's transactions. Never empty while something waits."""
        room = _Room(limits.block_bytes_max)
        chosen: list[Waiting] = []
        for is_lane in (True, False):
            within = [
                _within(line, limits.lane_bytes if is_lane else quota_of(sponsor))
                for (sponsor, lane), line in self._lines.items()
                if lane is is_lane
            ]
            for waiting in merge(*within, key=attrgetter("arrival")):
                if not room.takes(waiting):
                    break
                chosen.append(waiting)
        self._forget(chosen)
        return sorted(chosen, key=attrgetter("arrival"))

    def clear(self) -> None:
        """Forget all that waits."""
        self._lines.clear()
        self._sizes_bytes.clear()

    def _forget(self, chosen: list[Waiting]) -> None:
        for waiting in chosen:
            place = (waiting.submitted.body.sponsor, waiting.submitted.is_lane)
            self._lines[place].popleft()  # Chosen from the front of its line, in its order.
            self._sizes_bytes[place] -= len(waiting.data)
            if not self._lines[place]:
                del self._lines[place], self._sizes_bytes[place]


class _Room:
    """What is left of one block."""

    def __init__(self, size_bytes: int) -> None:
        self._bytes = size_bytes
        self._count = TXS_PER_BLOCK_MAX

    def takes(self, waiting: Waiting) -> bool:
        is_first = self._count == TXS_PER_BLOCK_MAX
        if not is_first and (len(waiting.data) > self._bytes or not self._count):
            return False
        self._bytes -= len(waiting.data)
        self._count -= 1
        return True


def _within(line: deque[Waiting], quota_bytes: int) -> list[Waiting]:
    """The head of a line that fits into a quota; one at least, for the machine to refuse it with its reason."""
    chosen: list[Waiting] = []
    for waiting in line:
        quota_bytes -= len(waiting.data)
        if (chosen and quota_bytes < 0) or len(chosen) == TXS_PER_BLOCK_MAX:
            break
        chosen.append(waiting)
    return chosen
