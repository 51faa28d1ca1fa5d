"""Pure work as a value: a function of bytes to bytes, which may be done here or on another core with one result.

Members that share a process share its cores too, but nothing else: what goes over and comes back is bytes, as between
machines. Several pieces may be done in one go, and what is alike in them worked out once; each has its own answer, the
one it would have alone. Who has other cores, and when, is `sdk.hands`' to say.
"""

from collections.abc import Awaitable, Callable, Sequence

Work = Callable[[Sequence[bytes]], list[bytes]]
"""One answer for each piece, in order. Needs nothing but what it is given, keeps nothing, and may be done twice. Named
at the top of a module, so that others find it."""

Carry = Callable[[Work, bytes], Awaitable[bytes]]
"""Gets one piece of work done."""


async def done_here(work: Work, given: bytes) -> bytes:
    """Do it at once, where we are. Satisfies `Carry`."""
    return work([given])[0]
