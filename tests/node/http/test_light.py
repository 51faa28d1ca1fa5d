"""The port for light clients: four questions, each in one form, within what an address may use; nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from salus.core.errors import UnavailableError
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.rpc import CometRpc, EngineSaidError
from salus.node.http.light import METHODS, LightLimits, LightPort
from tests.engines.cometbft.chain_rpc import ChainRpc
from tests.engines.cometbft.real import needs_engine, running
from tests.engines.cometbft.receipt_cases import chain

HOST = "127.0.0.1"


class Recording(ChainRpc):
    """An engine that tells what it was asked."""

    def __init__(self) -> None:
        super().__init__(chain())
        self.calls: list[tuple[str, dict[str, object]]] = []

    async def call(self, method: str, **parameters: object) -> Any:
        self.calls.append((method, parameters))
        return await super().call(method, **parameters)


class Held(Recording):
    """An engine that takes its time."""

    async def call(self, method: str, **parameters: object) -> Any:
        self.calls.append((method, parameters))
        await asyncio.sleep(60)


@asynccontextmanager
async def port_of(rpc: ChainRpc, **limits: Any) -> AsyncIterator[LightPort]:
    port = LightPort(rpc, replace(LightLimits(), **limits))
    async with port.listening(HOST):
        yield port


def framed(body: bytes | str, head: str = "POST / HTTP/1.1\r\nHost: it\r\n") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def call(method: object, number: object = 1, **parameters: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})


async def sent(port: LightPort, data: bytes) -> bytes:
    """All that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection(HOST, port.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 10.0)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def status_of(port: LightPort, data: bytes) -> int:
    said = await sent(port, data)
    return int(said.split()[1]) if said else 0


@needs_engine
async def test_a_light_client_is_answered_by_a_real_engine_and_nobody_gets_anything_else_of_it(tmp_path: Path) -> None:
    async with running(tmp_path) as four:
        mercy = four["mercy"]
        done = await mercy.engine.submit(four.create("a"))
        port = LightPort(mercy.rpc)
        async with port.listening(HOST):
            asking = CometRpc((HOST, port.port))
            assert await light_block(asking, done.height) == await light_block(mercy.rpc, done.height)
            assert (await asking.call("status"))["sync_info"]["catching_up"] is False
            assert (await asking.call("consensus_params", height="1"))["consensus_params"]["block"]["max_bytes"] == "-1"
            with pytest.raises(EngineSaidError) as error:
                await asking.call("commit", height="1000000")
            assert "must be less than or equal to" in error.value.said  # CometBFT's light client reads these words.
            asking.close()
            methods = {"broadcast_tx_sync", "broadcast_tx_async", "broadcast_tx_commit", "broadcast_evidence"}
            methods |= {"net_info", "dump_consensus_state", "unconfirmed_txs", "genesis", "block", "dial_peers"}
            for method in sorted(methods):
                assert await status_of(port, framed(call(method))) == 403, method
            height = mercy.replica.height
            assert await status_of(port, framed(call("broadcast_tx_sync", tx="AAAA"))) == 403
            assert mercy.replica.height == height


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /status HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 405),
        (framed(call("status"), "POST /websocket HTTP/1.1\r\n"), 405),
        (framed(call("status"), "POST / HTTP/1.0\r\n"), 405),
        (b"nothing\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n", 413),
        (framed("nothing"), 400),
        (framed(b"\xff"), 400),
        (framed("[" * 1_000), 400),
        (framed(f"[{call('status')}]"), 400),
        (framed(call(["status"])), 400),
        (framed(call("status", number=[1])), 400),
        (framed('{"id": 1, "method": "commit", "params": ["7"]}'), 400),
        (framed(call("status", height="1")), 400),
        (framed(call("commit", height=1)), 400),
        (framed(call("commit", height="-1")), 400),
        (framed(call("commit", height="1" * 20)), 400),
        (framed(call("commit", height="1", other="1")), 400),
        (framed(call("abci_query", path="/state")), 403),
        (framed(call("")), 403),
    ],
)
async def test_what_is_not_just_so_is_refused_and_never_reaches_the_engine(data: bytes, status: int) -> None:
    rpc = Recording()
    async with port_of(rpc) as port:
        assert await status_of(port, data + framed(call("status"))) == status
    assert rpc.calls == []


async def test_what_is_passed_on_is_what_was_looked_at() -> None:
    rpc = Recording()
    async with port_of(rpc) as port:
        asking = CometRpc((HOST, port.port))
        assert await light_block(asking, 2) == chain().at(2)
        await asking.call("status")
        asking.close()
    assert {method for method, _ in rpc.calls} < set(METHODS)
    assert rpc.calls[0] == ("commit", {"height": "2"})


async def test_a_request_that_comes_drop_by_drop_and_a_head_without_end_are_cut_off() -> None:
    rpc = Recording()
    async with port_of(rpc, request_s=0.3, idle_s=0.3) as port:
        for data in (b"", b"POST / HTTP/1.1\r\n", framed(call("status"))[:-1], b"x" * 10_000):
            assert await asyncio.wait_for(sent(port, data), 5.0) == b""
    assert rpc.calls == []


async def test_an_address_has_its_share_of_connections_and_calls() -> None:
    async with port_of(Recording(), connections_max=2, burst=3, rate_per_s=0.001) as port, AsyncExitStack() as stack:
        for _ in range(2):
            _, writer = await asyncio.open_connection(HOST, port.port)
            stack.callback(writer.close)
        await asyncio.sleep(0.1)
        assert await sent(port, framed(call("status"))) == b""
        writer.close()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection(HOST, port.port)
        stack.callback(writer.close)
        writer.write(4 * framed(call("status")))
        said = await asyncio.wait_for(reader.read(), 5.0)
        assert [int(answer[:3]) for answer in said.split(b"HTTP/1.1 ")[1:]] == [200] * 3 + [429]
        assert port.seen == {"status 200": 3, "status 429": 1}


async def test_all_addresses_together_have_no_more_than_the_port_has() -> None:
    async with port_of(Recording(), connections_max_all=1) as port:
        _, writer = await asyncio.open_connection(HOST, port.port)
        await asyncio.sleep(0.1)
        assert await sent(port, framed(call("status"))) == b""
        writer.close()


async def test_addresses_that_have_gone_are_forgotten() -> None:
    async with port_of(Recording(), addresses_max=2) as port:
        for last in range(1, 6):
            source = (f"127.0.0.{last}", 0)
            _, writer = await asyncio.open_connection(HOST, port.port, local_addr=source)
            await asyncio.sleep(0.05)
            writer.close()
            await asyncio.sleep(0.05)
        assert len(port._callers) == 2


async def test_an_engine_that_is_away_or_slow_is_nobodys_fault() -> None:
    class Away(Recording):
        async def call(self, method: str, **parameters: object) -> Any:
            raise UnavailableError

    for rpc in (Away(), Held()):
        async with port_of(rpc, answer_s=0.3) as port:
            assert await status_of(port, framed(call("status"))) == 503


async def test_an_answer_that_is_too_long_is_none() -> None:
    async with port_of(Recording(), answer_bytes_max=100) as port:
        assert await status_of(port, framed(call("commit", height="2"))) == 503


async def test_the_port_ends_with_whoever_is_connected() -> None:
    async with port_of(Held()) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(framed(call("status")))
        await asyncio.sleep(0.1)
    assert await asyncio.wait_for(reader.read(), 5.0) == b""
    writer.close()
