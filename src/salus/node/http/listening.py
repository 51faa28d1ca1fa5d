"""A listening socket of uvicorn's protocol, inside a process that does other things too: no signals, and no logs.

What uvicorn would log is what a stranger sent, or an exception with its text; neither may reach a log. Outcomes are
counted by whoever answers.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

BACKLOG = 1024
SHUTDOWN_S = 2.0  # For a connection to close in good order.

_NOWHERE = logging.Logger("nowhere", logging.CRITICAL + 1)

Connection = Callable[[Config, ServerState], H11Protocol]


class Listening:
    """One address that is listened at, until `stop`."""

    def __init__(self, app: ASGIApp, connection: Connection, *, head_bytes_max: int, idle_s: float) -> None:
        self._config = Config(
            app,
            access_log=False,
            date_header=False,
            h11_max_incomplete_event_size=head_bytes_max,
            http="h11",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=idle_s,  # type: ignore[arg-type]  # It goes to `call_later` as it is.
            ws="none",
        )
        self._config.load()
        self._state = ServerState()
        self._connection = connection
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "It listens."
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int, context: ssl.SSLContext | None, handshake_s: float) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: the address is taken, or not this machine's.
        """
        self._server = await asyncio.get_running_loop().create_server(
            self._connected,
            host,
            port,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=handshake_s if context else None,
            ssl_shutdown_timeout=SHUTDOWN_S if context else None,
        )

    async def finish(self, grace_s: float) -> None:
        """Take no new connection, and let requests under way finish for a while."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=grace_s)

    async def cut(self) -> None:
        """End what is still there."""
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        for connection in list(self._state.connections):
            connection.transport.abort()

    def _connected(self) -> H11Protocol:
        made = self._connection(self._config, self._state)
        made.logger = _NOWHERE
        return made
