"""One connection at the receiving end: uvicorn's HTTP/1.1, plus who the peer is and how long its headers may take.

Uvicorn tells an application nothing of certificates; here they are read once per connection and put into the request's
`state.peer`. A peer that sends its headers drop by drop is cut off.
"""

import asyncio
import ssl
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from salus.core.errors import MalformedError
from salus.node.http.admission import Admission
from salus.node.http.certificates import Shown, read_certificate


class PeerProtocol(H11Protocol):
    """A connection of one peer, over TLS."""

    def __init__(self, config: Config, server_state: ServerState, admission: Admission) -> None:
        super().__init__(config=config, server_state=server_state, app_state={})
        self._admission = admission
        self._peer: Shown | None = None
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`: the handshake is done, so the certificate has been checked."""
        super().connection_made(transport)
        self._peer = _peer_of(transport)
        account = None if self._peer is None else self._admission.account(self._peer.member)
        if account is None or account.connections >= self._admission.limits.connections_max:
            self._peer = None
            transport.abort()
            return
        account.connections += 1
        self.app_state = {"peer": self._peer}
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._head_arrived()
        if self._peer is not None:
            self._admission.account(self._peer.member).connections -= 1
            self._peer = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        before = self.cycle
        super().data_received(data)
        is_between = self.cycle is None or self.cycle.response_complete
        if self.cycle is not before or not is_between:
            self._head_arrived()
        elif self._head_timer is None:
            self._expect_head()

    def on_response_complete(self) -> None:
        """See `H11Protocol`; a request that was already waiting behind this one begins here."""
        answered = self.cycle
        super().on_response_complete()
        if self.cycle is not answered:
            self._head_arrived()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self._admission.limits.head_s, self.transport.abort)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _peer_of(transport: asyncio.Transport) -> Shown | None:
    connection = cast("ssl.SSLObject | Any", transport.get_extra_info("ssl_object"))
    if connection is None:
        return None
    try:
        return read_certificate(connection.getpeercert(binary_form=True) or b"")
    except MalformedError:
        return None
