"""Pure work as a value: a function of bytes to bytes, which may be done here or on another core with one result.

Members that share a process share its cores too, but nothing else: what goes over and comes back is bytes, as between
machines. Who has other cores, and when, is `sdk.hands`' to say.
"""

from collections.abc import Awaitable, Callable

Work = Callable[[bytes], bytes]
"""Needs nothing but what it is given, and may be done twice. Named at the top of a module, so that others find it."""

Carry = Callable[[Work, bytes], Awaitable[bytes]]
"""Gets work done."""


async def done_here(work: Work, given: bytes) -> bytes:
    """Do it at once, where we are. Satisfies `Carry`."""
    return work(given)
