"""The transport inside one process: the same bytes, time-outs and errors as between machines, nothing by reference.

A test can take a member off the line, slow a link down, or let a call fail after it was carried out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from salus.core.ids import MemberId
from salus.core.transport import TIMEOUT_S, Door, PeerUnavailableError

Trouble = Callable[[MemberId, MemberId, bytes], float]
"""How long a call from one member to another takes, in seconds; raises to fail it."""


@dataclass(slots=True)
class Switchboard:
    """All doors of a process."""

    doors: dict[MemberId, Door] = field(default_factory=dict)
    off_line: set[MemberId] = field(default_factory=set)
    before: Trouble | None = None
    after: Trouble | None = None
    timeout_s: float = TIMEOUT_S
    bytes_carried: int = 0

    async def carry(self, sender: MemberId, to: MemberId, request: bytes) -> bytes:
        """Carry one call. Raises PeerUnavailableError as `Transport` promises."""
        if sender in self.off_line or to in self.off_line or to not in self.doors:
            raise PeerUnavailableError(peer=to)
        try:
            async with asyncio.timeout(self.timeout_s):
                await _suffer(self.before, sender, to, request)
                reply = await self.doors[to].handle(sender, request)
                await _suffer(self.after, sender, to, request)
        except TimeoutError:
            raise PeerUnavailableError(peer=to) from None
        self.bytes_carried += len(request) + len(reply)
        return reply


async def _suffer(trouble: Trouble | None, sender: MemberId, to: MemberId, request: bytes) -> None:
    if trouble is not None:
        await asyncio.sleep(trouble(sender, to, request))


class LocalTransport:
    """One member's end. Satisfies `Transport`."""

    def __init__(self, switchboard: Switchboard, sender: MemberId) -> None:
        self._switchboard = switchboard
        self._sender = sender

    async def call(self, to: MemberId, request: bytes) -> bytes:
        """See `Transport.call`."""
        return await self._switchboard.carry(self._sender, to, request)
