"""`wire`: calls between two members over mutual TLS on kept connections, both ends in this one process.

Each message is answered with the same bytes. Processor time is that of both ends together; with a process for each end
a call takes less of the clock. Floors: the transport of one process, the same bytes over a bare TLS connection with the
same certificates, and handshakes without sockets.
"""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from salus.cli.bench.figures import Figure, Options, Outcome, Stopwatch, percentiles
from salus.core.ids import ChainId, MemberId
from salus.core.transport import Door, Transport, ask
from salus.core.wire import Record
from salus.crypto.signatures import SigningKey
from salus.node.http.client import HttpTransport
from salus.node.http.server import Server
from salus.node.http.trust import Pins, Trust
from salus.node.local import LocalTransport, Switchboard
from salus.node.settings import system_clock

NAME = "wire"
CHAIN = ChainId("bench")
ANNA, BEN = MemberId("anna"), MemberId("ben")
HOST = "127.0.0.1"
SIZES = {"1_kib": 1 << 10, "4_mib": 4 << 20}
AT_ONCE = 16

Figures = dict[str, Figure]


class Sent(Record, tag="bench.sent/1", frozen=True):
    """What goes there and back."""

    data: bytes


def measure(options: Options) -> Outcome:
    """`short` makes a few calls of each kind."""
    return asyncio.run(_measure(options.short))


async def _measure(short: bool) -> Outcome:
    figures: Figures = {}
    floors: Figures = {}
    keys = {name: SigningKey(os.urandom(32)) for name in (ANNA, BEN)}
    pins = Pins(lambda: (ANNA, BEN), lambda name: (keys[name].public,) if name in keys else (), lambda: 1)
    anna, ben = (Trust(name, keys[name], pins, system_clock) for name in (ANNA, BEN))
    door = Door()
    door.answer(Sent, _back)
    async with _server(door, ben) as server, _transport(anna, server.port) as wire, _bare(ben) as port:
        local = LocalTransport(Switchboard(doors={BEN: door}), ANNA)
        for name, size_bytes in SIZES.items():
            runs = 3 if short else (1000 if size_bytes < 1 << 20 else 40)
            figures |= await _calls(f"{name}", wire, size_bytes, runs)
            floors |= await _calls(f"in_process_{name}", local, size_bytes, runs)
            floors |= await _bare_calls(f"bare_tls_{name}", anna, port, size_bytes, runs)
        figures |= await _handshakes(anna, server.port, 3 if short else 200)
        floors["bare_handshakes_per_cpu_s"] = _in_memory(anna, ben, 3 if short else 200)
    return Outcome(NAME, figures, {}, floors)


async def _back(_sender: MemberId, sent: Sent) -> Sent:
    return sent


async def _calls(name: str, transport: Transport, size_bytes: int, runs: int) -> Figures:
    """One after the other for the times, some at once for the rate."""
    sent, watch = Sent(data=os.urandom(size_bytes)), Stopwatch()
    await ask(transport, BEN, sent, Sent)
    cpu_s = time.process_time()
    for _ in range(runs):
        with watch.lap():
            await ask(transport, BEN, sent, Sent)
    cpu_s = time.process_time() - cpu_s

    async def caller() -> None:
        for _ in range(max(1, runs // AT_ONCE)):
            await ask(transport, BEN, sent, Sent)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    rate = AT_ONCE * max(1, runs // AT_ONCE) / (time.perf_counter() - begun)
    figures: Mapping[str, Figure] = {f"{name}_calls_per_s": round(rate, 1), f"{name}_cpu_ms": _ms(cpu_s / runs)}
    return {**figures, **percentiles(name, watch.samples_ms)}


async def _bare_calls(name: str, trust: Trust, port: int, size_bytes: int, runs: int) -> Figures:
    data, watch = os.urandom(size_bytes), Stopwatch()
    reader, writer = await asyncio.open_connection(HOST, port, ssl=trust.calling(BEN), server_hostname=BEN)
    cpu_s = time.process_time()
    for _ in range(runs):
        with watch.lap():
            writer.write(size_bytes.to_bytes(8, "big") + data)
            await writer.drain()
            await reader.readexactly(size_bytes)
    cpu_s = time.process_time() - cpu_s
    writer.transport.abort()
    return {f"{name}_cpu_ms": _ms(cpu_s / runs), **percentiles(name, watch.samples_ms)}


async def _handshakes(trust: Trust, port: int, runs: int) -> Figures:
    """New connections, one after the other, each up to the point where a request could be sent."""
    watch, cpu_s = Stopwatch(), time.process_time()
    for _ in range(runs):
        with watch.lap():
            _, writer = await asyncio.open_connection(HOST, port, ssl=trust.calling(BEN), server_hostname=BEN)
        writer.transport.abort()
    cpu_s = time.process_time() - cpu_s
    return {"handshakes_per_cpu_s": round(runs / cpu_s, 1), **percentiles("handshake", watch.samples_ms)}


def _in_memory(anna: Trust, ben: Trust, runs: int) -> float:
    calling, accepting = anna.calling(BEN), ben.accepting()
    cpu_s = time.process_time()
    for _ in range(runs):
        to_caller, from_caller, to_server, from_server = (ssl.MemoryBIO() for _ in range(4))
        caller = calling.wrap_bio(to_caller, from_caller, server_hostname=BEN)
        server = accepting.wrap_bio(to_server, from_server, server_side=True)
        for end, is_done in ((caller, False), (server, False), (caller, True), (server, True)):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                assert not is_done, "Two rounds make a handshake."
            to_server.write(from_caller.read())
            to_caller.write(from_server.read())
    return round(runs / (time.process_time() - cpu_s), 1)


@asynccontextmanager
async def _server(door: Door, trust: Trust) -> AsyncIterator[Server]:
    server = Server(door, CHAIN, trust)
    await server.start(HOST)
    yield server
    await server.stop(0)


@asynccontextmanager
async def _transport(trust: Trust, port: int) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(ANNA, CHAIN, trust, lambda _member, _part: f"{HOST}:{port}")
    yield transport
    await transport.close()


@asynccontextmanager
async def _bare(trust: Trust) -> AsyncIterator[int]:
    """A port that sends back what it gets, after its length."""

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size_bytes = int.from_bytes(await reader.readexactly(8), "big")
                writer.write(await reader.readexactly(size_bytes))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()

    server = await asyncio.start_server(back, HOST, 0, ssl=trust.accepting(), limit=1 << 20)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
