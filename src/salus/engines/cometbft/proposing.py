"""What a member proposes for the next block, and which proposals of others it refuses.

A proposal takes from the mempool what the embedded engine would take from its queue (`engines/queue.py`): the reserved
lane first, everyone within their quotas, in the order in which it came. Others refuse only what no honest member
proposes whatever it knows: bytes that are no transactions, the same twice, or too many. All of them judge alike.
"""

from collections.abc import Iterable, Sequence

from salus.contracts.members.messages import Parameters
from salus.contracts.members.reads import parameters_of, quota_of
from salus.core.errors import MalformedError, UnavailableError
from salus.core.ids import TimeMs
from salus.core.wire import replace
from salus.engines.queue import TXS_PER_BLOCK_MAX, Queue
from salus.machine.admission import read
from salus.machine.transaction import VALID_MS_MAX
from salus.state.state import State


def proposal(state: State, waiting: Iterable[bytes], *, size_bytes_max: int, time: TimeMs, now: TimeMs) -> list[bytes]:
    """The transactions for a block at this time; `now` is the member's own clock.

    After the network was quiet, block time lags behind the clock: it is that of the votes for the block before. What
    is not too far ahead of the clock but would be of this block waits for the next, whose time is fresh.
    """
    limits = parameters_of(state)
    room = min(limits.block_bytes_max, size_bytes_max)
    queue = Queue()
    for data in dict.fromkeys(waiting):
        try:
            submitted = read(data)
            valid_until = submitted.body.valid_until
            if len(data) <= room and not time + VALID_MS_MAX < valid_until <= now + VALID_MS_MAX:
                queue.put(data, submitted)
        except (MalformedError, UnavailableError):
            continue  # It never came through our own check, or fills its sponsor's line.
    if not queue:
        return []
    chosen = queue.take(replace(limits, block_bytes_max=room), lambda member: quota_of(state, member))
    return [each.data for each in chosen]


def is_sensible(limits: Parameters, txs: Sequence[bytes]) -> bool:
    """Whether an honest member could have proposed this under the limits in force before the block."""
    if len(txs) > TXS_PER_BLOCK_MAX or len(set(txs)) != len(txs):
        return False
    if sum(map(len, txs)) > limits.block_bytes_max:
        return False
    try:
        for data in txs:
            read(data)
    except MalformedError:
        return False
    return True
