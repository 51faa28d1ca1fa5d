"""The calling end: peers that die, hang, refuse or are overloaded; what is sent again, and who is left alone."""

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from salus.core.ids import MemberId
from salus.core.transport import REQUEST_BYTES_MAX, PeerMalformedError, PeerUnavailableError, ask
from salus.node.http.admission import Limits
from salus.node.http.client import Calling, HttpTransport
from salus.node.http.places import Part
from tests.node.http.wires import ANNA, BEN, CHAIN, HOST, Question, Reply, Wire, wire

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Calling(timeout_s=0.5, pause_s=0.01)


@asynccontextmanager
async def talking(on: Wire, talk: Talk) -> AsyncIterator[None]:
    """Ben's port, with Ben's certificate, and whatever a test lets it say."""
    server = await asyncio.start_server(talk, HOST, 0, ssl=on.trust(BEN).accepting())
    on.ports[BEN] = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


async def refused(transport: HttpTransport, number: int = 1) -> None:
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=number), Reply)


async def test_who_has_no_address_no_key_or_no_open_port_is_away() -> None:
    async with wire() as on:
        transport = on.transport(ANNA, calling=QUICK)
        await refused(transport)
        with socket.create_server((HOST, 0)) as free:
            on.ports[BEN] = free.getsockname()[1]
        await refused(transport)
        assert transport.seen["ConnectError"] == 3  # And the last one, which is the answer.
        on.ports[MemberId("dora")] = 1
        with pytest.raises(PeerUnavailableError):
            await ask(transport, MemberId("dora"), Question(number=1), Reply)


async def test_pauses_between_attempts_grow_and_no_two_callers_come_back_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paused: list[float] = []
    slept = asyncio.sleep

    async def sleep(pause_s: float, *more: object) -> None:
        paused.append(pause_s)
        await slept(0)

    async with wire() as on:
        with socket.create_server((HOST, 0)) as free:
            on.ports[BEN] = free.getsockname()[1]
        monkeypatch.setattr(asyncio, "sleep", sleep)
        calling = Calling(timeout_s=20.0, attempts_max=5, pause_s=0.1, pause_s_max=0.4, failures_max=1_000)
        for number in range(10):
            await refused(on.transport(ANNA, calling=calling), number)
        monkeypatch.undo()
    assert len(paused) == 40
    least = (0.1, 0.2, 0.4, 0.4)
    for at, pause_s in enumerate(paused):
        assert least[at % 4] <= pause_s <= 1.5 * least[at % 4]
    for at in range(4):
        spread = [pause_s / least[at] for pause_s in paused[at::4]]
        assert max(spread) - min(spread) > 0.1
        assert len(set(spread)) == 10


async def test_an_address_that_is_none_is_away() -> None:
    async with wire() as on:
        for place in ("ben", "ben:port", "[", "ben:99999", "ben/path:1"):
            transport = HttpTransport(ANNA, CHAIN, on.trust(ANNA), lambda _m, _p, at=place: at, QUICK)  # type: ignore[misc]
            await refused(transport)
            await transport.close()


async def test_what_no_peer_would_read_is_not_sent() -> None:
    async with wire() as on:
        await on.serve(BEN)
        with pytest.raises(PeerMalformedError):
            await on.transport(ANNA).call(BEN, bytes(REQUEST_BYTES_MAX + 1))


async def test_a_peer_that_dies_during_a_call_is_away_and_a_reply_that_was_lost_is_fetched() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        calls, again = 0, asyncio.Event()

        async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Carries the request to the real server, and dies before, or at first also after, the reply."""
            nonlocal calls
            calls += 1
            request = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(request))
            if calls == 1:
                async with _through(on, server.port) as (_, there):
                    there.write(request + body)
                    await asyncio.sleep(0.2)
            writer.transport.abort()
            if calls > 1:
                again.set()

        async with talking(on, dying):
            transport = on.transport(ANNA, calling=Calling(timeout_s=5))
            asking = asyncio.create_task(ask(transport, BEN, Question(number=3), Reply))
            await again.wait()
            on.ports[BEN] = server.port
            assert await asking == Reply(number=6)
            assert on.asked == [(ANNA, 3)]  # Sent at least twice, carried out once.
        async with talking(on, dying):
            await refused(on.transport(ANNA, calling=QUICK))


MESSAGE = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.salus.message\r\n"


@pytest.mark.parametrize("says", [b"", MESSAGE, MESSAGE + b"content-length: 9\r\n\r\n123"])
async def test_a_peer_that_falls_silent_is_away_when_the_time_is_up(says: bytes) -> None:
    async with wire() as on:

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(says)
            await reader.read()  # Until the caller hangs up.

        async with talking(on, silent):
            begun = time.monotonic()
            await refused(on.transport(ANNA, calling=QUICK))
            assert 0.4 < time.monotonic() - begun < 3


async def test_a_port_that_takes_connections_and_never_speaks_is_away() -> None:
    async with wire() as on:
        with socket.create_server((HOST, 0)) as dead:
            on.ports[BEN] = dead.getsockname()[1]
            await refused(on.transport(ANNA, calling=QUICK))


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.salus.message\r\ncontent-length: 2000\r\n\r\n" + bytes(2000),
    ],
    ids=["a page", "a redirection", "a fault", "noise", "a reply without end"],
)
async def test_a_peer_that_answers_nonsense_is_away(says: bytes) -> None:
    async with wire() as on:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(says)

        async with talking(on, talk):
            await refused(on.transport(ANNA, calling=Calling(timeout_s=1, pause_s=0.01, reply_bytes_max=1000)))


async def test_a_peer_that_asks_for_patience_gets_it_as_far_as_time_allows() -> None:
    async with wire() as on:
        await on.serve(BEN, limits=Limits(rate_per_s=0.5, burst=1))
        transport = on.transport(ANNA, calling=Calling(timeout_s=10))
        for number in (1, 2):
            assert await ask(transport, BEN, Question(number=number), Reply) == Reply(number=2 * number)
        assert transport.seen["status 429"] >= 1
        hasty = on.transport(ANNA, calling=QUICK)
        await refused(hasty)
        assert on.asked == [(ANNA, 1), (ANNA, 2)]


async def test_being_told_to_wait_opens_no_breaker() -> None:
    async with wire() as on:
        await on.serve(BEN, limits=Limits(rate_per_s=0.001, burst=1))
        transport = on.transport(ANNA, calling=Calling(timeout_s=5, attempts_max=1, failures_max=1))
        await ask(transport, BEN, Question(number=1), Reply)
        await refused(transport)
        assert transport.breaker(BEN, Part.KEEPER).state == "closed"


async def test_a_peer_that_keeps_failing_is_left_alone_then_tried_then_trusted_again() -> None:
    async with wire() as on:
        with socket.create_server((HOST, 0)) as free:
            port = on.ports[BEN] = free.getsockname()[1]
        transport = on.transport(ANNA, calling=Calling(timeout_s=5, attempts_max=1, failures_max=3, open_s=1.0))
        for _ in range(3):
            await refused(transport)
        assert transport.breaker(BEN, Part.KEEPER).state == "open"
        await on.serve(BEN, port=port)
        await refused(transport)  # Nobody looks yet.
        assert transport.seen["left alone"] == 1
        await asyncio.sleep(1.05)
        assert transport.breaker(BEN, Part.KEEPER).state == "half-open"
        assert await ask(transport, BEN, Question(number=2), Reply) == Reply(number=4)
        assert transport.breaker(BEN, Part.KEEPER).state == "closed"
        assert on.asked == [(ANNA, 2)]


async def test_a_caller_that_loses_interest_blames_nobody() -> None:
    async with wire() as on:

        async def slow(_sender: MemberId, _question: Question) -> Reply:
            await asyncio.sleep(5)
            return Reply(number=0)

        await on.serve(BEN, slow)
        transport = on.transport(ANNA, calling=Calling(failures_max=1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(transport, BEN, Question(number=1), Reply), 0.2)
        assert transport.breaker(BEN, Part.KEEPER).state == "closed"


async def test_a_server_that_comes_back_is_found_over_a_new_connection() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        transport = on.transport(ANNA)
        await ask(transport, BEN, Question(number=1), Reply)
        port = server.port
        await server.stop()
        await on.serve(BEN, port=port)
        assert await ask(transport, BEN, Question(number=2), Reply) == Reply(number=4)


async def test_a_hundred_calls_at_once_are_all_answered_and_none_twice() -> None:
    async with wire() as on:
        await on.serve(BEN)
        transport = on.transport(ANNA, calling=Calling(timeout_s=30))
        replies = await asyncio.gather(*(ask(transport, BEN, Question(number=n), Reply) for n in range(100)))
        assert [reply.number for reply in replies] == [2 * number for number in range(100)]
        assert sorted(number for _, number in on.asked) == list(range(100))


async def test_large_messages_cross_both_ways() -> None:
    async with wire() as on:
        await on.serve(BEN)
        data = os.urandom(9 << 20)
        transport = on.transport(ANNA, calling=Calling(timeout_s=30))
        assert await ask(transport, BEN, Question(number=1, data=data), Reply) == Reply(number=2, data=data)


async def test_a_call_searches_the_disk_for_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    class Searched:
        @staticmethod
        def find_spec(name: str, _path: object, _target: object = None) -> None:
            searched.append(name)

    async with wire() as on:
        await on.serve(BEN)
        transport = on.transport(ANNA)
        await ask(transport, BEN, Question(number=1), Reply)
        monkeypatch.setattr(sys, "meta_path", [Searched, *sys.meta_path])
        await ask(transport, BEN, Question(number=2), Reply)
    assert searched == []


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with wire() as on:
        await on.serve(BEN)
        assert await ask(on.transport(ANNA), BEN, Question(number=1), Reply) == Reply(number=2)


@asynccontextmanager
async def _through(on: Wire, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context: ssl.SSLContext = on.trust(ANNA).calling(BEN)
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=BEN)
    yield reader, writer
    writer.transport.abort()


def _length(request: bytes) -> int:
    return next(int(line[16:]) for line in request.lower().split(b"\r\n") if line.startswith(b"content-length: "))
