"""A small client of CometBFT's JSON-RPC, over the unix socket in the member's folder or a port of this machine.

HTTP/1.1 with connections that stay open; as many at a time as `connections`, whoever comes later waits for one. A call
whose connection the other side had closed meanwhile is made once more on a new one, so calls must be harmless twice:
all that are used here are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from salus.core.errors import UnavailableError
from salus.engines.cometbft.sockets import connected

CONNECTIONS: Final = 32
TIMEOUT_S: Final = 15.0
_ANSWER_BYTES_MAX: Final = 128 << 20
_HEADER_BYTES_MAX: Final = 16_384

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class EngineAwayError(UnavailableError):
    """CometBFT does not run, or does not answer."""

    code = "engine.away"


class EngineSaidError(UnavailableError):
    """CometBFT answered with an error; `said` is its text, for those who know its texts, and not part of the facts."""

    code = "engine.said"

    def __init__(self, said: str, **facts: int | str) -> None:
        super().__init__(**facts)
        self.said = said


class CometRpc:
    """Calls one CometBFT: at a path of a unix socket, or at host and port. For one event loop."""

    def __init__(self, address: Path | tuple[str, int], connections: int = CONNECTIONS) -> None:
        self._address = address
        self._idle: list[Stream] = []
        self._room = asyncio.Semaphore(connections)

    async def call(self, method: str, timeout_s: float = TIMEOUT_S, **parameters: object) -> Any:
        """The result of a method.

        Raises:
            EngineAwayError: nobody answers in time.
            EngineSaidError: it answers with an error.
        """
        answer = await self._answer(method, orjson.dumps(_call(0, method, parameters)), timeout_s)
        if isinstance(said := _result(method, answer), EngineSaidError):
            raise said
        return said

    async def call_many(
        self, method: str, parameters: list[dict[str, object]], timeout_s: float = TIMEOUT_S
    ) -> list[object]:
        """The results of many calls of a method in one request, in order; an EngineSaidError in place of a result.

        Raises:
            EngineAwayError: nobody answers in time, or not each call.
            EngineSaidError: it answers to all of them with one error.
        """
        calls = [_call(number, method, one) for number, one in enumerate(parameters)]
        answers = await self._answer(method, orjson.dumps(calls), timeout_s)
        if isinstance(answers, dict) and isinstance(error := _result(method, answers), EngineSaidError):
            raise error
        if not isinstance(answers, list) or len(answers) != len(calls):
            raise EngineAwayError(method=method, reason="not an answer to each call")
        return [_result(method, answer) for answer in answers]

    async def _answer(self, method: str, body: bytes, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                return orjson.loads(await self._exchanged(body))
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            raise EngineAwayError(method=method, reason=type(error).__name__) from None

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _exchanged(self, body: bytes) -> bytes:
        async with self._room:
            if self._idle:
                try:
                    async with self._kept(self._idle.pop()) as stream:
                        return await _exchange(stream, body)
                except (OSError, EOFError):
                    pass  # It had been idle for too long, and the other side hung up.
            async with self._kept(await self._opened()) as stream:
                return await _exchange(stream, body)

    @asynccontextmanager
    async def _kept(self, stream: Stream) -> AsyncIterator[Stream]:
        """Keep a connection for the next call, unless this one failed or was cancelled half-way."""
        try:
            yield stream
        except BaseException:
            stream[1].close()
            raise
        self._idle.append(stream)

    async def _opened(self) -> Stream:
        if isinstance(self._address, Path):
            return await asyncio.open_unix_connection(sock=connected(self._address, 1.0), limit=_HEADER_BYTES_MAX)
        host, port = self._address
        return await asyncio.open_connection(host, port, limit=_HEADER_BYTES_MAX)


def _call(number: int, method: str, parameters: dict[str, object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


def _result(method: str, answer: Any) -> Any:
    """What a call led to, an error as a value."""
    if "error" in answer:
        said = answer["error"]
        return EngineSaidError(f"{said.get('message')}: {said.get('data')}", method=method)
    return answer["result"]


async def _exchange(stream: Stream, body: bytes) -> bytes:
    reader, writer = stream
    head = b"POST / HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    writer.write(head + body)
    await writer.drain()
    fields = _fields(await reader.readuntil(b"\r\n\r\n"))
    if fields.get(b"transfer-encoding") == b"chunked":
        return await _chunks(reader)
    size = int(fields.get(b"content-length", b"0"))
    if size > _ANSWER_BYTES_MAX:
        raise EOFError
    return await reader.readexactly(size)


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {name.strip().lower(): value.strip().lower() for name, _, value in lines}


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    whole = bytearray()
    while len(whole) <= _ANSWER_BYTES_MAX:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        data = await reader.readexactly(size + 2)
        if size == 0:
            return bytes(whole)
        whole += data[:-2]
    raise EOFError
