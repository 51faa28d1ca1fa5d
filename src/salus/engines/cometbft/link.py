"""How a member's other processes reach its ledger process: a unix socket in the member's folder, for this user alone.

Frames (`frames.py`) of records: each request carries a number and its answer the same one; answers come as they are
ready. Whoever asked to follow is told each new height. State and blocks do not travel: they lie in the store, which a
`Follower` reads. What an error was goes as family and code, never its facts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

from msgspec import Meta

from salus.core.errors import MalformedError, RefusalError, SalusError, UnavailableError
from salus.core.ids import NO_DIGEST, Digest, Height, TimeMs, Unsigned
from salus.core.transport import family
from salus.core.wire import Record, decode, encode
from salus.engines.cometbft.frames import Frames, framed
from salus.engines.cometbft.sockets import connected, listening
from salus.engines.engine import Engine, Inclusion
from salus.engines.follower import Follower
from salus.engines.layout import StoredBlock
from salus.engines.replica import Replica
from salus.engines.trace import Trace, carried, carrying, sound

LINK_SOCKET: Final = "link.sock"
_AT_ONCE_MAX: Final = 8_192  # Requests of one connection that wait for an answer.
_READ_BYTES: Final = 65_536
_CONNECT_S: Final = 2.0
_PAUSE_S: Final = 0.1  # Before connecting again; doubled each time, up to
_PAUSE_S_MAX: Final = 2.0
_AGAIN_S_MAX: Final = 0.5  # Before asking again for somebody who waits.
PATIENCE_S: Final = 20.0  # For a ledger process that is started again, to a CometBFT that answers.

Code = Annotated[str, Meta(max_length=64)]


class Submit(Record, tag="link.submit/2", frozen=True):
    """Make this transaction final; it belongs to a trace, if that is named."""

    number: Unsigned
    tx: bytes
    trace: Trace


class AskReceipt(Record, tag="link.ask_receipt/1", frozen=True):
    """Give the proof of a final transaction."""

    number: Unsigned
    tx_id: Digest


class AskStatus(Record, tag="link.ask_status/1", frozen=True):
    """Say where the ledger stands."""

    number: Unsigned


class Follow(Record, tag="link.follow/1", frozen=True):
    """Say each height once it is final."""


class Included(Record, tag="link.included/1", frozen=True):
    """Where a transaction became final, or was refused."""

    number: Unsigned
    tx_id: Digest
    height: Height
    code: str


class Proof(Record, tag="link.proof/1", frozen=True):
    """An encoded receipt, in the form of the engine."""

    number: Unsigned
    receipt: bytes


class Status(Record, tag="link.status/2", frozen=True):
    """Where the ledger stands, and whether its engine takes part in ordering."""

    number: Unsigned
    height: Height
    time: TimeMs
    app_hash: Digest = NO_DIGEST
    peers: Unsigned = 0
    catching_up: bool = True
    pieces_done: Unsigned = 0  # Of the snapshot that is being taken over;
    pieces: Unsigned = 0  # 0 where none is.
    is_member: bool = True  # Whether the members have let it in already.


class Reached(Record, tag="link.reached/1", frozen=True):
    """A height is final."""

    height: Height


class Failed(Record, tag="link.failed/1", frozen=True):
    """What went wrong: a family of errors and a code."""

    number: Unsigned
    family: Code
    code: Code


Request = Submit | AskReceipt | AskStatus | Follow
Answer = Included | Proof | Status | Reached | Failed
_REQUEST: Final[Any] = Request  # `decode` takes a union as well, which a type of types cannot say.
_ANSWER: Final[Any] = Answer


class LinkLostError(UnavailableError):
    """The member's ledger process is away, or went away before it had answered."""

    code = "link.lost"


class LinkRefusedError(RefusalError):
    """The member's ledger process refused; `said` is its code."""

    code = "link.refused"

    def __init__(self, said: str) -> None:
        super().__init__(said=said)
        self.said = said


class LinkMalformedError(MalformedError):
    """The member's ledger process could not read what was sent."""

    code = "link.malformed"


class LinkUnavailableError(UnavailableError):
    """The member's ledger process cannot do this now."""

    code = "link.unavailable"


class Ledger(Protocol):
    """What the ledger process says of itself."""

    async def status(self, number: int) -> Status:
        """Where it stands."""


class LinkServer:
    """The ledger process's end. For one event loop."""

    def __init__(self, path: Path, engine: Engine, replica: Replica, ledger: Ledger) -> None:
        self._path = path
        self._engine = engine
        self._ledger = ledger
        self._followers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        replica.listen(self._reached)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listening(self._path))

    async def stop(self) -> None:
        """Hang up and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends or says what is no request."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        room = asyncio.Semaphore(_AT_ONCE_MAX)
        asked: set[asyncio.Task[None]] = set()
        frames = Frames()
        try:
            while data := await reader.read(_READ_BYTES):
                for message in frames.feed(data):
                    request: Request = decode(_REQUEST, message)
                    await room.acquire()
                    answering = asyncio.create_task(self._answer(request, writer))
                    asked.add(answering)
                    answering.add_done_callback(asked.discard)
                    answering.add_done_callback(lambda _: room.release())
        except (MalformedError, OSError, asyncio.CancelledError):
            pass  # Cancelled by `stop` alone; asyncio would tell of it as a fault.
        finally:
            self._tasks.discard(task)
            self._followers.discard(writer)
            for answering in list(asked):
                answering.cancel()
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if isinstance(request, Follow):
            self._followers.add(writer)
            return
        try:
            answer: Answer = await self._answered(request)
        except SalusError as error:
            answer = Failed(number=request.number, family=family(error), code=error.code)
        writer.write(framed(encode(answer)))
        with suppress(OSError):
            await writer.drain()

    async def _answered(self, request: Submit | AskReceipt | AskStatus) -> Answer:
        if isinstance(request, Submit):
            with carrying(sound(request.trace)):
                done = await self._engine.submit(request.tx)
            return Included(number=request.number, tx_id=done.tx_id, height=done.height, code=done.code)
        if isinstance(request, AskReceipt):
            return Proof(number=request.number, receipt=encode(await self._engine.receipt(request.tx_id)))
        return await self._ledger.status(request.number)

    def _reached(self, stored: StoredBlock) -> None:
        said = framed(encode(Reached(height=stored.header.height)))
        for writer in self._followers:
            writer.write(said)


class Link:
    """The other end: connects when it is needed, and again after it was cut. For one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, make: Callable[[int], Request]) -> Answer:
        """The answer to a request; `make` gets its number.

        Raises:
            LinkLostError: the ledger process is away, or went away meanwhile.
            LinkRefusedError, LinkMalformedError, LinkUnavailableError: it says so.
        """
        writer = await self._connected()
        self._number += 1
        number = self._number
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(framed(encode(make(number))))
            await writer.drain()
            said: Answer = await answer
        except OSError:
            raise LinkLostError from None
        finally:
            self._waiting.pop(number, None)
        if isinstance(said, Failed):
            raise _raised(said)
        return said

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer."""
        return len(self._waiting)

    async def close(self) -> None:
        """Hang up."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                try:
                    reader, self._writer = await asyncio.open_unix_connection(sock=connected(self._path, _CONNECT_S))
                except OSError:
                    raise LinkLostError from None
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        try:
            while data := await reader.read(_READ_BYTES):
                for message in frames.feed(data):
                    self._heard(decode(_ANSWER, message))
        except (MalformedError, OSError):
            pass
        finally:
            self._writer = None
            writer.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(LinkLostError())

    def _heard(self, said: Answer) -> None:
        waiting = None if isinstance(said, Reached) else self._waiting.get(said.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(said)


class LinkEngine:
    """The engine as a member's other processes see it. Satisfies `Engine`.

    `reopen` reads a receipt in the form of the engine. What is asked of a ledger process that goes away is asked again
    while `patience_s` lasts: to ask twice is harmless.
    """

    def __init__(self, path: Path, reopen_receipt: Callable[[bytes], Record], patience_s: float = PATIENCE_S) -> None:
        self._link = Link(path)
        self._reopen_receipt = reopen_receipt
        self._patience_s = patience_s

    async def submit(self, tx: bytes) -> Inclusion:
        """See `Engine.submit`. Raises as `Link.ask` does."""
        said = await self._ask(lambda number: Submit(number=number, tx=tx, trace=carried.get()))
        assert isinstance(said, Included)
        return Inclusion(tx_id=said.tx_id, height=said.height, code=said.code)

    async def receipt(self, tx_id: Digest) -> Record:
        """See `Engine.receipt`. Raises as `Link.ask` does."""
        said = await self._ask(lambda number: AskReceipt(number=number, tx_id=tx_id))
        assert isinstance(said, Proof)
        return self._reopen_receipt(said.receipt)

    async def status(self) -> Status:
        """Where the ledger process stands. Raises as `Link.ask` does."""
        said = await self._link.ask(lambda number: AskStatus(number=number))
        assert isinstance(said, Status)
        return said

    async def _ask(self, make: Callable[[int], Request]) -> Answer:
        """As `Link.ask`, again and again while the ledger process is away."""
        now_s, pause_s = asyncio.get_running_loop().time, _PAUSE_S
        give_up = now_s() + self._patience_s
        while True:
            try:
                return await self._link.ask(make)
            except LinkLostError:
                if now_s() + pause_s > give_up:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _AGAIN_S_MAX)

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer of the ledger process."""
        return self._link.waiting

    async def close(self) -> None:
        """Hang up."""
        await self._link.close()


async def follow(follower: Follower, path: Path) -> None:
    """Move a follower on whenever the ledger process says so, and now and then by itself; until cancelled.

    Raises what a listener of the follower raises, and IntegrityError where the store is damaged.
    """
    pause_s = _PAUSE_S
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(sock=connected(path, _CONNECT_S))
            pause_s = _PAUSE_S
            try:
                writer.write(framed(encode(Follow())))
                await follower.look()
                await _moved_on(reader, follower.look)
            finally:
                writer.close()
        await follower.look()
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


async def _moved_on(reader: asyncio.StreamReader, look: Callable[[], Awaitable[None]]) -> None:
    """Look once for whatever was said meanwhile, be it one height or many."""
    while await reader.read(_READ_BYTES):
        await look()


def _raised(said: Failed) -> SalusError:
    if said.family == "refused":
        return LinkRefusedError(said.code)
    if said.family == "malformed":
        return LinkMalformedError(said=said.code)
    return LinkUnavailableError(said=said.code)
