"""Which trace the work at hand belongs to: W3C's `traceparent`, handed on from task to task and process to process.

A trace is an id drawn at random when somebody reads, and says nothing of who or whom. Here it is only carried; what is
noted of it is `node.observing.traces`' business.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated

from msgspec import Meta

TRACE_BYTES_MAX = 55

Trace = Annotated[str, Meta(max_length=TRACE_BYTES_MAX)]

carried: ContextVar[str] = ContextVar("trace", default="")
"""The trace in hand; empty where there is none."""

_SHAPE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def sound(said: str) -> str:
    """What somebody says their trace is, if it has the one form; else none."""
    return said if _SHAPE.fullmatch(said) else ""


@contextmanager
def carrying(trace: str) -> Iterator[None]:
    """Let the block, and the tasks it begins, belong to a trace."""
    token = carried.set(trace)
    try:
        yield
    finally:
        carried.reset(token)
