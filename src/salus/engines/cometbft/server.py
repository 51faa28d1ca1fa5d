"""The application's end of ABCI 2.0: CometBFT connects four times to a unix socket and asks; each is answered in order.

CometBFT opens one connection each for consensus, mempool, queries and snapshots. All are served on one event loop, and
an answer is made without an `await`: that is the one lock that keeps a block's steps from anything else. What goes
wrong in a query or a check is answered there (`application.py`); what goes wrong in a block ends the process.
"""

import asyncio
from pathlib import Path
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from salus.core.errors import IntegrityError, MalformedError
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.frames import Frames, framed
from salus.engines.cometbft.sockets import listening

_SEND_BUFFER_BYTES: Final = 1 << 20


class EngineLostError(IntegrityError):
    """The ordering engine sent what is no request, or one that this application does not know."""

    code = "engine.lost"


class Application(Protocol):
    """Who answers. An exception ends the process: CometBFT must not go on with a state that is in doubt."""

    def answer(self, request: abci.Request) -> bytes:
        """The framed reply to one request."""


class AbciServer:
    """Listens on a unix socket. Use `start`, then `stop`; `failed` says when an answer failed."""

    def __init__(self, application: Application, path: Path) -> None:
        self._application = application
        self._path = path
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._failure: asyncio.Future[BaseException] | None = None

    async def start(self) -> None:
        """Listen. The socket is for this user alone."""
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        self._server = await loop.create_unix_server(lambda: _Connection(self), sock=listening(self._path))

    async def stop(self) -> None:
        """Hang up and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.hang_up()
        if server is not None:
            await server.wait_closed()
        self._path.unlink(missing_ok=True)

    @property
    def connections(self) -> int:
        """How many are open: four while the engine runs."""
        return len(self._connections)

    def answer(self, message: bytes) -> bytes:
        """The framed reply to one message; after a failure, nothing is answered any more."""
        try:
            return self._application.answer(abci.Request.FromString(message))
        except DecodeError:
            raise EngineLostError(reason="not a request") from None

    def opened(self, connection: "_Connection") -> None:
        """Count a connection in."""
        self._connections.add(connection)

    def closed(self, connection: "_Connection") -> None:
        """Count it out."""
        self._connections.discard(connection)

    def fail(self, error: BaseException) -> None:
        """Tell whoever runs this, once, and answer nobody again."""
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(error)
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in list(self._connections):
            connection.close()

    @property
    def has_failed(self) -> bool:
        """Whether an answer failed."""
        return self._failure is not None and self._failure.done()

    async def failed(self) -> BaseException:
        """Wait until an answer has failed, and say why. Whoever gives up waiting changes nothing."""
        assert self._failure is not None
        return await asyncio.shield(self._failure)


class _Connection(asyncio.Protocol):
    def __init__(self, server: AbciServer) -> None:
        self._server = server
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_SEND_BUFFER_BYTES)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        """Answer whatever is whole, and send all answers together."""
        if self._server.has_failed or self._transport is None:
            return
        answers: list[bytes] = []
        try:
            answers.extend(self._server.answer(message) for message in self._frames.feed(data))
        except MalformedError:
            self._server.fail(EngineLostError(reason="not a frame"))
            return
        except Exception as error:
            self._server.fail(error)
            return
        if answers:
            self._transport.write(b"".join(answers))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.closed(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def reply(response: abci.Response) -> bytes:
    """A reply with its frame."""
    return framed(response.SerializeToString())
