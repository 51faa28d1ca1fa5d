"""How members speak to each other: typed messages as bytes, over whatever carries them.

The in-process form (`node.local`) and HTTP carry the same bytes with the same time-outs and errors. Nothing crosses by
reference. A `Door` is the receiving end: one handler per message type, chosen by the message's tag.
"""

from collections.abc import Awaitable, Callable
from functools import reduce
from operator import or_
from typing import Any, Protocol, TypeVar

from salus.core.errors import MalformedError, RefusalError, SalusError, UnavailableError
from salus.core.ids import MIB_BYTES, MemberId
from salus.core.wire import Record, decode, encode

R = TypeVar("R", bound=Record)
Handler = Callable[[MemberId, Any], Awaitable[Record]]

TIMEOUT_S = 10  # For one call; what takes longer counts as away.
REQUEST_BYTES_MAX = 512 * MIB_BYTES  # Of one request: the ciphertext of a batch that goes to one vault is the largest.


class Transport(Protocol):
    """Carries one request to a member and its reply back.

    Raises:
        UnavailableError: the member did not answer in time or cannot be reached; the request may have been carried out.
    """

    async def call(self, to: MemberId, request: bytes) -> bytes:
        """Send a request, wait for the reply."""


class Said(Record, tag="transport.error/1", frozen=True):
    """The reply of a peer that raised: its family and code, never its facts."""

    family: str
    code: str


class PeerRefusalError(RefusalError):
    """A peer refused."""

    def __init__(self, said: str, **facts: str) -> None:
        super().__init__(said=said, **facts)
        self.said = said  # The peer's own code.

    code = "transport.refused"


class PeerMalformedError(MalformedError):
    """A peer could not read what we sent, or sent what we cannot read."""

    code = "transport.malformed"


class PeerUnavailableError(UnavailableError):
    """A peer is away, or answered that it cannot serve now."""

    code = "transport.unavailable"


async def ask(transport: Transport, to: MemberId, request: Record, *replies: type[R]) -> R:
    """Send a typed request and read a reply of one of these types; a peer's error is raised here in its own family."""
    shape: Any = reduce(or_, replies, Said)
    answer: Any = decode(shape, await transport.call(to, encode(request)))
    if not isinstance(answer, Said):
        return answer  # type: ignore[no-any-return]
    if answer.family == "refused":
        raise PeerRefusalError(answer.code, peer=to)
    if answer.family == "malformed":
        raise PeerMalformedError(peer=to, said=answer.code)
    raise PeerUnavailableError(peer=to, said=answer.code)


class Door:
    """The receiving end of one member: what may be asked of it, and by whom each request is handled."""

    def __init__(self) -> None:
        self._handlers: dict[type[Record], Handler] = {}
        self._shape: Any = None

    def answer(self, request: type[Record], handler: Handler) -> None:
        """Let `handler` answer requests of this type."""
        self._handlers[request] = handler
        self._shape = request if self._shape is None else self._shape | request

    async def handle(self, sender: MemberId, data: bytes) -> bytes:
        """Answer one request; errors of the four families become a `Said`, anything else propagates."""
        try:
            if len(data) > REQUEST_BYTES_MAX:  # Before it is read: what one request may cost is bounded here.
                raise MalformedError(reason="too long")
            request = decode(self._shape, data)
            return encode(await self._handlers[type(request)](sender, request))
        except SalusError as error:
            return encode(Said(family=family(error), code=error.code))


def family(error: SalusError) -> str:
    """Which of the families an error belongs to, as peers may learn it: a broken node is merely away to them."""
    if isinstance(error, RefusalError):
        return "refused"
    if isinstance(error, MalformedError):
        return "malformed"
    return "unavailable"
