"""The proxy itself: whatever it does to bytes and connections, it loses and reorders nothing within one of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import CUT, FAIR, HALF_OPEN, Proxy, Weather

DATA = bytes(range(256)) * 400


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A proxy before a server that sends everything back; and what the server got first of each connection."""
    first: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                first.append(data)
                writer.write(data)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = await Proxy.listen(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield proxy, first
        await proxy.close()


async def there_and_back(proxy: Proxy, data: bytes) -> tuple[bytes, float]:
    """What comes back, and after how long."""
    clock = asyncio.get_running_loop().time
    began = clock()
    reader, writer = await asyncio.open_connection(*proxy.address.split(":"))
    try:
        writer.write(data)
        return await reader.readexactly(len(data)), clock() - began
    finally:
        writer.close()


async def test_a_cut_ends_what_is_open_and_refuses_what_comes() -> None:
    async with echo() as (proxy, first):
        reader, writer = await asyncio.open_connection(*proxy.address.split(":"))
        writer.write(b"a")
        assert await reader.read(1) == b"a"
        proxy.weather = CUT
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await there_and_back(proxy, b"b")
        proxy.weather = FAIR
        assert (await there_and_back(proxy, b"c"))[0] == b"c"
        assert first == [b"a", b"c"]


async def test_half_open_swallows_without_a_word_what_was_open_and_what_comes() -> None:
    async with echo() as (proxy, first):
        reader, writer = await asyncio.open_connection(*proxy.address.split(":"))
        writer.write(b"a")
        assert await reader.read(1) == b"a"
        proxy.weather = HALF_OPEN
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(there_and_back(proxy, b"b"), 0.2)
        assert first == [b"a"]
        assert proxy.swallowed_bytes == len(b"lost")


async def test_delay_throttle_and_loss_cost_time_and_no_byte() -> None:
    async with echo() as (proxy, _):
        for weather, least_s in (
            (Weather(delay_s=0.1), 0.2),
            (Weather(bytes_per_s=400_000), len(DATA) / 400_000),
            (Weather(loss=1.0), 0.5),
            (Weather(delay_s=0.01, jitter_s=0.02, loss=0.05), 0.02),
        ):
            proxy.weather = weather
            back, took_s = await there_and_back(proxy, DATA)
            assert back == DATA
            assert took_s >= least_s, weather


async def test_connections_are_put_out_of_order() -> None:
    async with echo() as (proxy, first):
        proxy.weather = Weather(shuffle_s=0.3)
        sent = [b"%d" % number for number in range(12)]
        await asyncio.gather(*(there_and_back(proxy, data) for data in sent))
        assert sorted(first) == sorted(sent)
        assert first != sent
