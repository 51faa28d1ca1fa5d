"""The calling end: `core.transport.Transport` over HTTP, with the same time-outs and errors as in one process.

One call is one key, however often it is sent: what was lost on the way is sent again after a pause that doubles, with
chance in it, until the call's time is up; the receiving end carries it out once. A peer that fails several calls in a
row is left alone for a while (`breaker.py`). Nothing is sent to whoever the ledger holds no key for.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx

from salus.core.ids import ChainId, MemberId
from salus.core.transport import REQUEST_BYTES_MAX, TIMEOUT_S, PeerMalformedError, PeerUnavailableError
from salus.engines.trace import carried
from salus.node.http.breaker import FAILURES_MAX, OPEN_S, Breaker
from salus.node.http.errors import AGAIN
from salus.node.http.lines import Lines
from salus.node.http.places import Part, Places, part_of
from salus.node.http.server import MEDIA_TYPE, PATH, SLICE_BYTES, TRACE_HEADER
from salus.node.http.trust import Trust

KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Calling:
    """How a member calls others."""

    timeout_s: float = TIMEOUT_S  # Of one call, all attempts.
    attempts_max: int = 4
    pause_s: float = 0.05  # Before the second attempt; then doubled.
    pause_s_max: float = 1.0
    reply_bytes_max: int = REQUEST_BYTES_MAX
    failures_max: int = FAILURES_MAX  # In a row, until the breaker opens.
    open_s: float = OPEN_S


class _AgainError(Exception):
    """This attempt failed; another may not."""

    def __init__(self, why: str, *, wait_s: float = 0.0, answered: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s
        self.answered = answered  # Then the peer is there, and only wants to be left alone.


class HttpTransport:
    """One member's calling end. Satisfies `Transport`; `seen` counts what became of attempts."""

    def __init__(
        self, member: MemberId, chain: ChainId, trust: Trust, places: Places, calling: Calling | None = None
    ) -> None:
        self.seen: Counter[str] = Counter()
        self._calling = calling or Calling()
        self._chain = chain
        self._trust = trust
        self._places = places
        self._lines = Lines(trust)
        self._breakers: dict[tuple[MemberId, Part], Breaker] = {}
        self._head = {"content-type": MEDIA_TYPE, "salus-chain": chain, "salus-member": member}

    async def call(self, to: MemberId, request: bytes) -> bytes:
        """See `Transport.call`.

        Raises:
            PeerMalformedError: the request is longer than a peer would read.
            PeerUnavailableError: the peer is unknown, cannot be reached, did not answer in time, or is left alone.
        """
        if len(request) > REQUEST_BYTES_MAX:
            raise PeerMalformedError(peer=to)
        part = part_of(request)
        if self._lines.is_closed or not self._places(to, part) or not self._trust.knows(to):
            raise PeerUnavailableError(peer=to)
        breaker = self.breaker(to, part)
        if not breaker.admits():
            self.seen["left alone"] += 1
            raise PeerUnavailableError(peer=to)
        try:
            async with asyncio.timeout(self._calling.timeout_s):
                reply = await self._persist(to, part, request)
        except _AgainError as error:
            breaker.succeeded() if error.answered else breaker.failed()
            raise PeerUnavailableError(peer=to) from None
        except TimeoutError:
            breaker.failed()
            raise PeerUnavailableError(peer=to) from None
        except BaseException:
            breaker.given_up()
            raise
        breaker.succeeded()
        return reply

    def breaker(self, to: MemberId, part: Part) -> Breaker:
        """What watches the calls to one part of a peer."""
        if (to, part) not in self._breakers:
            now_s = asyncio.get_running_loop().time
            self._breakers[to, part] = Breaker(now_s, self._calling.failures_max, self._calling.open_s)
        return self._breakers[to, part]

    def peers_away(self) -> dict[MemberId, bool]:
        """Every peer that was called, and whether a part of it is left alone now."""
        away: dict[MemberId, bool] = {}
        for (peer, _), breaker in self._breakers.items():
            away[peer] = away.get(peer, False) or breaker.state != "closed"
        return away

    async def close(self) -> None:
        """Close all connections; from then on all peers are away."""
        await self._lines.close()

    async def _persist(self, to: MemberId, part: Part, request: bytes) -> bytes:
        head = {**self._head, "salus-request": os.urandom(KEY_BYTES).hex()}
        pause_s = self._calling.pause_s
        for _ in range(self._calling.attempts_max - 1):
            try:
                return await self._attempt(to, part, request, head)
            except _AgainError as error:
                self.seen[error.why] += 1
                await asyncio.sleep(max(error.wait_s, pause_s) * random.uniform(1.0, 1.5))
                pause_s = min(2 * pause_s, self._calling.pause_s_max)
        return await self._attempt(to, part, request, head)

    async def _attempt(self, to: MemberId, part: Part, request: bytes, head: Mapping[str, str]) -> bytes:
        url = f"https://{self._places(to, part)}{PATH}"
        more = {"content-length": str(len(request)), **({TRACE_HEADER: carried.get()} if carried.get() else {})}
        body = request if len(request) <= SLICE_BYTES else _slices(request)
        try:
            async with (
                self._lines.to(to) as client,
                client.stream(
                    "POST", url, content=body, headers={**head, **more}, extensions={"sni_hostname": to}
                ) as reply,
            ):
                return await self._read(reply)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _AgainError(type(error).__name__) from None

    async def _read(self, reply: httpx.Response) -> bytes:
        """A reply's body: a message, whatever the status; but none where it pays to ask again."""
        if reply.status_code in AGAIN or reply.headers.get("content-type") != MEDIA_TYPE:
            wait_s = reply.headers.get("retry-after", "")
            raise _AgainError(
                f"status {reply.status_code}",
                wait_s=float(wait_s) if wait_s.isdecimal() else 0.0,
                answered=reply.status_code in (401, 429),
            )
        chunks: list[bytes] = []
        left_bytes = self._calling.reply_bytes_max
        async for chunk in reply.aiter_raw():
            left_bytes -= len(chunk)
            if left_bytes < 0:
                raise _AgainError("reply too long")
            chunks.append(chunk)
        return b"".join(chunks)


async def _slices(request: bytes) -> AsyncIterator[bytes]:
    view = memoryview(request)
    for at in range(0, len(request), SLICE_BYTES):
        yield bytes(view[at : at + SLICE_BYTES])
