"""The end of a membership: when members have let one go, its processes stop serving others and end.

Whoever runs in the member's name watches its own ledger. The ledger's own process stays for two more blocks, until the
validators no longer count on it, so that the others need not wait for a vote that never comes.
"""

import asyncio
from typing import Protocol

from salus.contracts.members.reads import departure_of, member_of
from salus.core.errors import RefusalError
from salus.core.ids import Height, MemberId
from salus.state.state import State

DEPARTED = 3  # The exit code of a process whose member is gone: it is not to be started again.
LOOK_EVERY_S = 5.0
LINGER_S = 60.0
BLOCKS_AFTER = 2  # CometBFT counts on a validator for so long after the block that removed it.


class DepartedError(RefusalError):
    """This member has left the network; its successor answers for its records. Its processes end."""

    code = "node.departed"


class Watched(Protocol):
    """A ledger that moves on: a replica, or a follower of one."""

    @property
    def height(self) -> Height:
        """Of the newest final block."""

    @property
    def state(self) -> State:
        """The state after it."""

    async def reached(self, height: Height, timeout_s: float) -> bool:
        """Wait until a height is final here."""


def departure(ledger: Watched, member: MemberId) -> DepartedError | None:
    """Why a member's processes must end; None while it is a member, or may still become one."""
    gone = departure_of(ledger.state, member)
    if gone is None or member_of(ledger.state, member) is not None:
        return None
    return DepartedError(member=member, successor=gone.successor, height=gone.height)


async def departed(ledger: Watched, member: MemberId) -> DepartedError:
    """Wait until a member has left."""
    while (gone := departure(ledger, member)) is None:
        await ledger.reached(ledger.height + 1, LOOK_EVERY_S)
    return gone


async def departed_and_released(ledger: Watched, member: MemberId) -> DepartedError:
    """As `departed`, and until nobody counts on its validator any more, or a minute has passed."""
    gone = await departed(ledger, member)
    since = departure_of(ledger.state, member)
    assert since is not None, "It is gone."
    until = since.height + BLOCKS_AFTER
    loop = asyncio.get_running_loop()
    give_up = loop.time() + LINGER_S
    while ledger.height < until and loop.time() < give_up:
        await ledger.reached(ledger.height + 1, LOOK_EVERY_S)
    return gone
