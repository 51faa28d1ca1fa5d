"""Calls and sockets: what a CometBFT that is away, slow, or no CometBFT at all does to who calls it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.frames import framed
from salus.engines.cometbft.rpc import CometRpc, EngineAwayError, EngineSaidError
from salus.engines.cometbft.server import AbciServer, EngineLostError
from salus.engines.cometbft.sockets import connected, listening

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def asked(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return await reader.readexactly(size)


@asynccontextmanager
async def serving(folder: Path, serve: Serve) -> AsyncIterator[CometRpc]:
    server = await asyncio.start_unix_server(serve, folder / "rpc.sock")
    rpc = CometRpc(folder / "rpc.sock", connections=2)
    try:
        yield rpc
    finally:
        rpc.close()
        server.close()


async def test_nobody_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(EngineAwayError):
        await CometRpc(tmp_path / "rpc.sock").call("status")


@pytest.mark.parametrize("said", [b"", b"nothing\r\n\r\n", http(b"not json"), http(b"{")[:-1]])
async def test_what_is_no_answer_is_away(tmp_path: Path, said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(said)
        writer.close()

    async with serving(tmp_path, serve) as rpc:
        with pytest.raises(EngineAwayError):
            await rpc.call("status")


async def test_a_slow_answer_is_away_and_its_connection_is_not_used_again(tmp_path: Path) -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) == 1:
            await asyncio.sleep(0.3)
        await asked(reader)
        writer.write(http(json.dumps({"result": len(connections)}).encode()))

    async with serving(tmp_path, serve) as rpc:
        with pytest.raises(EngineAwayError):
            await rpc.call("status", 0.05)
        assert await rpc.call("status") == 2


async def test_an_error_is_told_and_the_connection_goes_on(tmp_path: Path) -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        for _ in range(2):
            assert json.loads(await asked(reader))["params"] == {"tx": "AA=="}
            writer.write(http(json.dumps({"error": {"message": "no", "data": "tx already exists in cache"}}).encode()))

    async with serving(tmp_path, serve) as rpc:
        for _ in range(2):
            with pytest.raises(EngineSaidError) as caught:
                await rpc.call("broadcast_tx_sync", tx="AA==")
            assert "already exists" in caught.value.said
            assert "already exists" not in str(caught.value)
        assert len(connections) == 1


async def test_a_connection_that_was_closed_meanwhile_is_replaced_and_chunks_are_read(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"re\r\n8\r\nsult":1}\r\n0\r\n\r\n')
        writer.close()

    async with serving(tmp_path, serve) as rpc:
        assert [await rpc.call("status") for _ in range(3)] == [1, 1, 1]


async def test_sockets_work_in_folders_whose_path_is_too_long_for_one(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    for _ in range(2):  # What a crash left behind is removed.
        listener = listening(deep / "link.sock")
        assert (deep / "link.sock").stat().st_mode & 0o177 == 0
        server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), sock=listener)
        connected(deep / "link.sock", 1.0).close()
        server.close()
    with pytest.raises(OSError):
        connected(deep / "nothing", 1.0)


class Echo:
    """An application that repeats, and fails when told to."""

    def answer(self, request: abci.Request) -> bytes:
        if request.echo.message == "fail":
            raise ZeroDivisionError
        return framed(abci.Response(echo=request.echo).SerializeToString())


def echo(text: str) -> bytes:
    return framed(abci.Request(echo=abci.Echo(message=text)).SerializeToString())


async def test_requests_are_answered_in_order_however_they_are_cut(tmp_path: Path) -> None:
    server = AbciServer(Echo(), tmp_path / "abci.sock")
    await server.start()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "abci.sock")
    stream = b"".join(echo(str(number)) for number in range(100))
    for at in range(0, len(stream), 7):
        writer.write(stream[at : at + 7])
        await asyncio.sleep(0)
    expected = b"".join(
        framed(abci.Response(echo=abci.Echo(message=str(number))).SerializeToString()) for number in range(100)
    )
    assert await reader.readexactly(len(expected)) == expected
    assert server.connections == 1
    writer.close()
    await server.stop()


@pytest.mark.parametrize(
    ("sent", "error"),
    [(echo("fail"), ZeroDivisionError), (framed(b"\xff\xff"), EngineLostError), (b"\xff" * 6, EngineLostError)],
)
async def test_a_failure_hangs_up_on_everybody_and_is_told(tmp_path: Path, sent: bytes, error: type[Exception]) -> None:
    server = AbciServer(Echo(), tmp_path / "abci.sock")
    await server.start()
    other, other_writer = await asyncio.open_unix_connection(tmp_path / "abci.sock")
    waiting = asyncio.create_task(server.failed())
    waiting.cancel()  # Whoever gives up waiting changes nothing.
    await asyncio.gather(waiting, return_exceptions=True)
    other_writer.write(echo("before"))
    assert await other.read(100) == framed(abci.Response(echo=abci.Echo(message="before")).SerializeToString())
    assert not server.has_failed
    reader, writer = await asyncio.open_unix_connection(tmp_path / "abci.sock")
    writer.write(sent)
    assert await reader.read() == b""
    assert await other.read() == b""
    assert isinstance(await server.failed(), error)
    writer.close()
    other_writer.close()
    await server.stop()


@pytest.mark.parametrize("said", [{"result": 1}, [{"result": 1}], []])
async def test_many_calls_that_are_not_all_answered_are_away(tmp_path: Path, said: object) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(http(json.dumps(said).encode()))

    async with serving(tmp_path, serve) as rpc:
        with pytest.raises(EngineAwayError):
            await rpc.call_many("broadcast_tx_async", [{"tx": "AA=="}, {"tx": "AQ=="}])


async def test_one_error_for_many_calls_is_told(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(http(json.dumps({"error": {"message": "no", "data": "too many"}}).encode()))

    async with serving(tmp_path, serve) as rpc:
        with pytest.raises(EngineSaidError) as caught:
            await rpc.call_many("broadcast_tx_async", [{"tx": "AA=="}])
        assert "too many" in caught.value.said


async def test_each_of_many_calls_has_its_own_answer(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(await asked(reader))
        assert [call["params"]["tx"] for call in calls] == ["AA==", "AQ=="]
        assert len({call["id"] for call in calls}) == 2
        said = [{"id": 0, "result": {"code": 0}}, {"id": 1, "error": {"message": "no", "data": "full"}}]
        writer.write(http(json.dumps(said).encode()))

    async with serving(tmp_path, serve) as rpc:
        taken, refused = await rpc.call_many("broadcast_tx_async", [{"tx": "AA=="}, {"tx": "AQ=="}])
        assert taken == {"code": 0}
        assert isinstance(refused, EngineSaidError)
        assert "full" in refused.said
