"""What looks on where requests come in, calls go out, and transactions become final: counts, durations, spans, lines.

Each stands in front of the thing it watches and has its promise. What passes is never looked into beyond its tag.
"""

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from salus.core.errors import SalusError
from salus.core.ids import Digest, MemberId
from salus.core.transport import Door, Handler, Said, Transport
from salus.core.wire import Record, decode
from salus.engines.engine import Engine, Inclusion
from salus.machine.block import ACCEPTED
from salus.node.http.places import Part, part_of, tag_of
from salus.node.observing.fields import FAULT, OK, code_of, tag_of_request
from salus.node.observing.logs import say_error, say_sparingly
from salus.node.observing.traces import step

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
RECENT_S = 60.0
RECENT_MAX = 10_000
_SAID = Said.__struct_config__.tag


class Durations:
    """How long something took, as a histogram counts it."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block, however it ends."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(time.perf_counter() - began_s)


class WatchedDoor(Door):
    """A member's door, with somebody who counts what is asked and how it is answered."""

    def __init__(self, inner: Door, member: MemberId, part: str) -> None:
        super().__init__()
        self.member = member
        self.part = part
        self.seen: Counter[tuple[str, str]] = Counter()  # By a request's tag, and `ok` or the code of an error.
        self.durations = Durations()
        self._inner = inner
        self._refused: deque[float] = deque(maxlen=RECENT_MAX)

    @property
    def refused_lately(self) -> int:
        """How many requests were answered with an error in the last minute."""
        since_s = time.monotonic() - RECENT_S
        while self._refused and self._refused[0] < since_s:
            self._refused.popleft()
        return len(self._refused)

    def answer(self, request: type[Record], handler: Handler) -> None:
        """See `Door.answer`."""
        self._inner.answer(request, handler)

    async def handle(self, sender: MemberId, data: bytes) -> bytes:
        """See `Door.handle`."""
        request = tag_of_request(tag_of(data))
        named = {"member": self.member, "part": self.part, "request": request}
        with self.durations.timed(), step("answer", **named, peer=sender) as span:
            try:
                reply = await self._inner.handle(sender, data)
            except Exception as error:
                self.seen[request, FAULT] += 1
                say_error(error, **named, peer=sender)
                raise
            family, code = _outcome(reply)
            if span is not None:
                span.code = code
        self.seen[request, code] += 1
        if code != OK:
            self._refused.append(time.monotonic())
            say_sparingly("refused", "warning", **named, peer=sender, code=code, family=family)
        return reply


class SplitDoor(Door):
    """The one door of a member that is whole in one process, watched as the two that it is between machines."""

    def __init__(self, inner: Door, member: MemberId) -> None:
        super().__init__()
        self.parts = {part: WatchedDoor(inner, member, part) for part in Part}
        self._inner = inner

    def answer(self, request: type[Record], handler: Handler) -> None:
        """See `Door.answer`."""
        self._inner.answer(request, handler)

    async def handle(self, sender: MemberId, data: bytes) -> bytes:
        """See `Door.handle`."""
        return await self.parts[part_of(data)].handle(sender, data)


class WatchedTransport:
    """A member's way to others, each call a step of the trace it belongs to. Satisfies `Transport`."""

    def __init__(self, inner: Transport, member: MemberId, part: str) -> None:
        self._inner = inner
        self._member = member
        self._part = part

    async def call(self, to: MemberId, request: bytes) -> bytes:
        """See `Transport.call`."""
        named = {"member": self._member, "part": self._part, "request": tag_of_request(tag_of(request))}
        with step("call", **named, peer=to) as span:
            reply = await self._inner.call(to, request)
            if span is not None:
                span.code = _outcome(reply)[1]
        return reply


class WatchedEngine:
    """A way onto the ledger, with a watch that times each transaction. Satisfies `Engine`."""

    def __init__(self, inner: Engine, member: MemberId, part: str) -> None:
        self.member = member
        self.part = part
        self.seen: Counter[str] = Counter()  # By `ok`, the code of a refusal, or of an error.
        self.durations = Durations()  # Of those that became final.
        self._inner = inner

    async def submit(self, tx: bytes) -> Inclusion:
        """See `Engine.submit`."""
        began_s = time.perf_counter()
        with step("submit", member=self.member, part=self.part) as span:
            try:
                done = await self._inner.submit(tx)
            except SalusError as error:
                self.seen[code_of(error.code)] += 1
                raise
            code = OK if done.code == ACCEPTED else code_of(done.code)
            if span is not None:
                span.code = code
        self.seen[code] += 1
        if code == OK:
            self.durations.add(time.perf_counter() - began_s)
        return done

    async def receipt(self, tx_id: Digest) -> Record:
        """See `Engine.receipt`."""
        return await self._inner.receipt(tx_id)


def _outcome(reply: bytes) -> tuple[str, str]:
    """Family and code of a reply that is an error; else `ok` twice."""
    if tag_of(reply) != _SAID:
        return OK, OK
    said = decode(Said, reply)
    return said.family, code_of(said.code)
