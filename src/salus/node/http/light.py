"""Where light clients ask a member: four questions of CometBFT's RPC, and nothing else of it.

CometBFT's own RPC has no certificates and no limits for each caller, and takes transactions; so it listens on a socket
in the member's folder alone. What must be open to others is what a joiner asks: its own light client and that of its
CometBFT's state sync. Both check what they are told, so plain HTTP will do, and there is nothing here that anybody
needs to be kept from: heights, validators, votes. What it costs is bounded for each address, and for all together.

    POST /    {"jsonrpc": "2.0", "id": 1, "method": "commit", "params": {"height": "7"}}

A request that is not just so ends its connection. Strangers reach this port: nothing they send reaches a log.
"""

import asyncio
import ipaddress
import json
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from salus.core.errors import UnavailableError
from salus.engines.cometbft.collect import Rpc
from salus.engines.cometbft.rpc import EngineSaidError
from salus.node.http.admission import TokenBucket

METHODS: Final[Mapping[str, frozenset[str]]] = {
    "status": frozenset(),
    "commit": frozenset({"height"}),
    "validators": frozenset({"height", "page", "per_page"}),
    "consensus_params": frozenset({"height"}),
}
NUMBER_DIGITS_MAX: Final = 19
LAST_S: Final = 1.0
_ERROR: Final = -32603  # JSON-RPC's "internal error", which CometBFT uses for all of its own.


@dataclass(frozen=True, slots=True)
class LightLimits:
    """What an address may use. A joiner of a network that is years old asks some hundred times within a minute."""

    head_bytes_max: int = 4_096
    body_bytes_max: int = 1_024
    answer_bytes_max: int = 1 << 20
    request_s: float = 5.0  # From the first byte of a request to its last.
    answer_s: float = 10.0  # To make an answer, and for the caller to read it.
    idle_s: float = 30.0
    connections_max: int = 16
    connections_max_all: int = 256
    rate_per_s: float = 20.0
    burst: int = 400
    addresses_max: int = 4_096  # That are remembered.


class _RefusedError(Exception):
    """Answered with a status, and the connection ends."""

    def __init__(self, status: HTTPStatus) -> None:
        self.status = status


class _Caller:
    """What one address uses now."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.connections = 0


class LightPort:
    """Use as `async with port.listening(host, port)`. `seen` counts answers, by method and status."""

    def __init__(self, rpc: Rpc, limits: LightLimits | None = None) -> None:
        self.seen: Counter[str] = Counter()
        self._rpc = rpc
        self._limits = limits or LightLimits()
        self._callers: OrderedDict[str, _Caller] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "It listens."
        return int(self._server.sockets[0].getsockname()[1])

    @asynccontextmanager
    async def listening(self, host: str, port: int = 0) -> AsyncIterator[None]:
        """Listen until the end of the block. Raises OSError where the address cannot be had."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=self._limits.head_bytes_max)
        try:
            yield
        finally:
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        caller = self._caller(writer)
        try:
            if (
                caller.connections < self._limits.connections_max
                and len(self._tasks) <= self._limits.connections_max_all
            ):
                caller.connections += 1
                try:
                    await self._served(caller, reader, writer)
                finally:
                    caller.connections -= 1
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # Gone, too slow, or longer than it may be; or this port ends.
        finally:
            await _hang_up(writer)
            self._tasks.discard(task)

    def _caller(self, writer: asyncio.StreamWriter) -> _Caller:
        """Whoever has an IPv6 address has as many as they like: there a network counts as one."""
        address = ipaddress.ip_address(writer.get_extra_info("peername")[0].partition("%")[0])
        name = str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
        if name not in self._callers:
            limits = self._limits
            bucket = TokenBucket(limits.rate_per_s, limits.burst, asyncio.get_running_loop().time)
            self._callers[name] = _Caller(bucket)
        self._callers.move_to_end(name)
        idle = (one for one, caller in self._callers.items() if not caller.connections and one != name)
        if len(self._callers) > self._limits.addresses_max and (oldest := next(idle, None)) is not None:
            del self._callers[oldest]
        return self._callers[name]

    async def _served(self, caller: _Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after another."""
        limits = self._limits
        while True:
            async with asyncio.timeout(limits.idle_s):
                first = await reader.readexactly(1)
            method = "none"
            async with asyncio.timeout(limits.request_s + limits.answer_s):
                try:
                    async with asyncio.timeout(limits.request_s):
                        body = await self._body(first, reader)
                    number, method, parameters = _asked(body)
                    if caller.bucket.take() > 0:
                        raise _RefusedError(HTTPStatus.TOO_MANY_REQUESTS)
                    answer = await self._answer(number, method, parameters)
                    await _send(writer, HTTPStatus.OK, answer)
                except _RefusedError as refused:
                    self.seen[f"{method} {refused.status.value}"] += 1
                    await _send(writer, refused.status, b"")
                    return
            self.seen[f"{method} 200"] += 1

    async def _body(self, first: bytes, reader: asyncio.StreamReader) -> bytes:
        head = (first + await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])}
        if head[0] != b"POST / HTTP/1.1":
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED)
        length = fields.get(b"content-length", b"")
        if b"transfer-encoding" in fields or not length.isdigit() or len(length) > NUMBER_DIGITS_MAX:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > self._limits.body_bytes_max:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return await reader.readexactly(int(length))

    async def _answer(self, number: int | str, method: str, parameters: dict[str, Any]) -> bytes:
        said: dict[str, object] = {"jsonrpc": "2.0", "id": number}
        try:
            async with asyncio.timeout(self._limits.answer_s):
                said["result"] = await self._rpc.call(method, **parameters)
        except EngineSaidError as error:
            said["error"] = {"code": _ERROR, "message": "Internal error", "data": error.said}
        except (UnavailableError, TimeoutError):
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE) from None
        answer = json.dumps(said, separators=(",", ":")).encode()
        if len(answer) > self._limits.answer_bytes_max:
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE)
        return answer


def _asked(body: bytes) -> tuple[int | str, str, dict[str, Any]]:
    """The number of a call, its method and its parameters, of which nothing is passed on that was not looked at."""
    said: Any = None
    with suppress(ValueError, RecursionError):
        said = json.loads(body)
    if not isinstance(said, dict):
        raise _RefusedError(HTTPStatus.BAD_REQUEST)
    number, method, parameters = said.get("id"), said.get("method"), said.get("params") or {}
    if not isinstance(number, int | str) or not isinstance(method, str) or not isinstance(parameters, dict):
        raise _RefusedError(HTTPStatus.BAD_REQUEST)
    known = METHODS.get(method)
    if known is None:
        raise _RefusedError(HTTPStatus.FORBIDDEN)
    if not parameters.keys() <= known or not all(map(_is_number, parameters.values())):
        raise _RefusedError(HTTPStatus.BAD_REQUEST)
    return number, method, {name: str(value) for name, value in parameters.items()}


def _is_number(value: object) -> bool:
    """As CometBFT writes them: in a string."""
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= NUMBER_DIGITS_MAX


async def _send(writer: asyncio.StreamWriter, status: HTTPStatus, body: bytes) -> None:
    ends = b"" if status is HTTPStatus.OK else b"Connection: close\r\n"
    head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
    writer.write(head % (status.value, status.phrase.encode(), len(body), ends) + body)
    await writer.drain()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection, after a moment for what was said last to leave."""
    writer.close()
    with suppress(OSError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(LAST_S):
            await writer.wait_closed()
    writer.transport.abort()
