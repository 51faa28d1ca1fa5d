"""Connections to other members, kept open: one pool for each peer, replaced when the trust it was made under changes.

A pool that was replaced finishes what is under way on it and is closed; no request fails by it.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import httpx

from salus.core.ids import MemberId
from salus.node.http.trust import Trust

CONNECTIONS_MAX = 64  # Per peer.
KEPT_IDLE_S = 60.0
CONNECT_S = 3.0

# httpcore imports `sniffio` for every lock of a call and does without it. Python remembers only what it found: where
# there is none, each time cost a search of the disk, and a call a millisecond and more.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]


class _Line:
    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.under_way = 0
        self.is_retired = False
        self.client = httpx.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=CONNECT_S),  # The whole call has its own.
            limits=httpx.Limits(
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=KEPT_IDLE_S,
            ),
        )


class Lines:
    """All pools of a member."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._lines: dict[MemberId, _Line] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.is_closed = False

    @asynccontextmanager
    async def to(self, peer: MemberId) -> AsyncIterator[httpx.AsyncClient]:
        """The pool for a peer, in force now."""
        context = self._trust.calling(peer)
        line = self._lines.get(peer)
        if line is None or line.context is not context:
            if line is not None:
                self._retire(line)
            line = self._lines[peer] = _Line(context)
        line.under_way += 1
        try:
            yield line.client
        finally:
            line.under_way -= 1
            if line.is_retired and not line.under_way:
                self._close(line)

    async def close(self) -> None:
        """Close all connections, for good."""
        self.is_closed = True
        for line in self._lines.values():
            self._close(line)
        self._lines.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _retire(self, line: _Line) -> None:
        line.is_retired = True
        if not line.under_way:
            self._close(line)

    def _close(self, line: _Line) -> None:
        task = asyncio.get_running_loop().create_task(line.client.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
