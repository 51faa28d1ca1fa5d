"""The receiving end: one endpoint, `POST /v1/message`, behind it a `Door`.

    salus-chain     the network
    salus-member    who asks; the connection's certificate must say the same
    salus-request   32 hexadecimal digits, new for each request; a request that is sent again bears the same
    traceparent     the trace it belongs to, in W3C's form; may be left out
    body            a typed message, `application/vnd.salus.message`; the reply is one too

A reply with another status than 200 carries a `Said`, and where it helps to wait a `Retry-After`. In this order: the
connection's key is in force; the headers; the peer's share (`admission.py`); the body; the key of a request sent
before (`replies.py`); the door. Nothing that a request says reaches a log: `seen` counts outcomes by code alone.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from salus.core.errors import SalusError
from salus.core.ids import ChainId, MemberId
from salus.core.transport import Door, Said, family
from salus.core.wire import decode, encode
from salus.engines.trace import carrying, sound
from salus.node.http.admission import Admission, Hold, Limits
from salus.node.http.certificates import Shown
from salus.node.http.errors import (
    STATUS,
    BadHeadError,
    BrokenError,
    KeyNotInForceError,
    NotYourNameError,
    OtherChainError,
    TooLongError,
    TooSlowError,
)
from salus.node.http.listening import Listening
from salus.node.http.places import tag_of
from salus.node.http.protocol import PeerProtocol
from salus.node.http.replies import Replies
from salus.node.http.trust import Trust

PATH = "/v1/message"
TRACE_HEADER = "traceparent"
MEDIA_TYPE = "application/vnd.salus.message"
SLICE_BYTES = 1 << 20  # Others get their turn between slices of a long message; each slice costs a round of the loop.
DRAINED_BYTES_MAX = 1 << 16  # An unread body up to this is read away, to keep the connection.
GRACE_S = 5.0

_KEY = re.compile(r"[0-9a-f]{32}")
_LENGTH = re.compile(r"[0-9]{1,12}")


class Server:
    """A member's door on the network. Use `start` and `stop`; `seen` counts what was answered, by code."""

    def __init__(self, door: Door, chain: ChainId, trust: Trust, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.seen: Counter[str] = Counter()
        self._door = door
        self._chain = chain
        self._trust = trust
        now_s = asyncio.get_running_loop().time
        self._admission = Admission(self.limits, now_s)
        self._replies = Replies(now_s, is_final)
        app = Starlette(routes=[Route(PATH, self._endpoint(), methods=["POST"])])
        connection = partial(PeerProtocol, admission=self._admission)
        limits = self.limits
        self._listening = Listening(app, connection, head_bytes_max=limits.head_bytes_max, idle_s=limits.idle_s)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listening.port

    async def start(self, host: str, port: int = 0) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        await self._listening.start(host, port, self._trust.accepting(), self.limits.handshake_s)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop listening, finish what is under way."""
        await self._listening.finish(grace_s)
        await self._replies.close()
        await self._listening.cut()

    def _endpoint(self) -> "_Endpoint":
        return _Endpoint(self)

    async def respond(self, request: Request, send: Send) -> None:
        """Answer one request, whatever becomes of it."""
        try:
            async with asyncio.timeout(2 * self.limits.request_s):  # For the answer, and for the peer to read it.
                await self._respond(request, send)
        except (TimeoutError, ClientDisconnect):
            self.seen["gave up"] += 1

    async def _respond(self, request: Request, send: Send) -> None:
        peer: Shown = request.state.peer
        try:
            key = self._checked(request, peer)
            with self._admission.admit(peer.member) as hold:
                reply = await self._answered(request, peer, key, hold)
                hold.reply(len(reply))
                self.seen["ok"] += 1
                await _send(send, 200, reply, {})
                return
        except SalusError as error:
            refused = error
        self.seen[refused.code] += 1
        keeps = _is_short(request) and not isinstance(refused, KeyNotInForceError)  # That needs another connection.
        headers = {} if keeps else {"connection": "close"}
        wait_ms = refused.facts.get("wait_ms")
        if wait_ms is not None:
            headers["retry-after"] = str(math.ceil(int(wait_ms) / 1000))
        said = Said(family=family(refused), code=refused.code)
        await _send(send, STATUS[type(refused)], encode(said), headers)

    async def _answered(self, request: Request, peer: Shown, key: bytes, hold: Hold) -> bytes:
        try:
            async with asyncio.timeout(self.limits.request_s):
                body = await _body(request, hold)
                with carrying(sound(request.headers.get(TRACE_HEADER, ""))):
                    return await self._replies.once(peer.member, key, body, partial(self._worked, peer.member, body))
        except TimeoutError:
            raise TooSlowError from None

    def _checked(self, request: Request, peer: Shown) -> bytes:
        """The request's key, if its head is in order.

        Raises:
            KeyNotInForceError: the ledger no longer holds the connection's key, or the certificate has ended.
            BadHeadError: a header is missing or malformed.
            OtherChainError: the request is for another network.
            NotYourNameError: it names another member than the certificate.
        """
        if not self._trust.is_in_force(peer):
            raise KeyNotInForceError
        head = request.headers
        if head.get("content-type") != MEDIA_TYPE or request.url.query:
            raise BadHeadError
        if not _KEY.fullmatch(head.get("salus-request", "")):
            raise BadHeadError
        if head.get("salus-chain") != self._chain:
            raise OtherChainError
        if head.get("salus-member") != peer.member:
            raise NotYourNameError(peer=peer.member)
        return bytes.fromhex(head["salus-request"])

    async def _worked(self, sender: MemberId, body: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.limits.request_s):
                return await self._door.handle(sender, body)
        except TimeoutError:
            raise TooSlowError from None
        except Exception as error:  # A fault of ours, in no family: the peer learns that we are away.
            self.seen[f"fault.{type(error).__name__}"] += 1
            raise BrokenError from None


class _Endpoint:
    """The application of one path. A class, so that Starlette hands over the connection as it is."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.respond(Request(scope, receive), send)


async def _body(request: Request, hold: Hold) -> bytes:
    declared = request.headers.get("content-length")
    if declared is not None:
        if not _LENGTH.fullmatch(declared):
            raise BadHeadError if len(declared) < 12 else TooLongError
        hold.declare(int(declared))
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        hold.arrive(size_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


async def _send(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    named = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **headers}
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    view = memoryview(body)
    for at in range(0, max(1, len(body)), SLICE_BYTES):
        more = at + SLICE_BYTES < len(body)
        await send({"type": "http.response.body", "body": bytes(view[at : at + SLICE_BYTES]), "more_body": more})


def _is_short(request: Request) -> bool:
    declared = request.headers.get("content-length", "")
    return bool(_LENGTH.fullmatch(declared)) and int(declared) <= DRAINED_BYTES_MAX


def is_final(reply: bytes) -> bool:
    """Whether the same request would be answered the same again: not where the peer was told to come back."""
    return tag_of(reply) != Said.__struct_config__.tag or decode(Said, reply).family != "unavailable"
