"""A directed TCP proxy that a test can turn at run time: what member A sends to one port of member B goes through one.

    link = await Proxy.listen("127.0.0.1:26656")     # give link.address to whoever is to reach that port
    link.weather = Weather(delay_s=0.2, loss=0.02)   # for what flows from now on, both ways
    link.weather = Weather(is_cut=True)              # refuses, and ends what is open
    link.weather = Weather(is_half_open=True)        # accepts and swallows: nobody is told that nothing arrives

Loss is what TCP makes of it: a lost segment comes again after a while, and all behind it waits. Connections are put out
of order by `shuffle_s`: each waits by chance before it is let through, so that a later one may be first.
"""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

SEGMENT_BYTES = 1_448
READ_BYTES = 16_384
RESEND_S = 0.25  # A lost segment is sent again after about this long; TCP's own floor is 0.2 s.
QUEUE_MAX = 256  # Pieces on their way, per direction of a connection; then the sender feels it.


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to whatever passes."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0  # Of segments.
    bytes_per_s: float = 0.0  # 0: as fast as it goes.
    shuffle_s: float = 0.0
    is_cut: bool = False
    is_half_open: bool = False


FAIR = Weather()
CUT = Weather(is_cut=True)
HALF_OPEN = Weather(is_half_open=True)


class Proxy:
    """Passes connections on to one address. `passed_bytes` counts both directions."""

    def __init__(self, to: str, chance: random.Random) -> None:
        self.address = ""
        self.passed_bytes = 0
        self.swallowed_bytes = 0
        self.connections = 0
        self._host, _, port = to.rpartition(":")
        self._port = int(port)
        self._chance = chance
        self._weather = FAIR
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    async def listen(to: str, chance: random.Random | None = None) -> "Proxy":
        """Begin to pass on, from a free port of this machine."""
        proxy = Proxy(to, chance or random.Random(to))
        proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        host, port = proxy._server.sockets[0].getsockname()[:2]
        proxy.address = f"{host}:{port}"
        return proxy

    @property
    def weather(self) -> Weather:
        """What it is like now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._is_whole.clear() if weather.is_half_open else self._is_whole.set()
        if weather.is_cut:
            for task in list(self._tasks):
                task.cancel()

    async def close(self) -> None:
        """Cut everything and listen no more."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._pass_on(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.is_cut:
            return
        await asyncio.sleep(self._weather.shuffle_s * self._chance.random())
        await self._is_whole.wait()  # While half-open, nobody behind it hears of this connection.
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            await _first_of(self._carry(reader, back), self._carry(there, writer))
        finally:
            back.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction: pieces leave in the order in which they came, each when its time has come."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE_MAX)
        await _first_of(self._take(source, queue), self._give(queue, sink))

    async def _take(self, source: asyncio.StreamReader, queue: "asyncio.Queue[tuple[float, bytes]]") -> None:
        clock = asyncio.get_running_loop().time
        free = 0.0  # When the link is free again, where it is throttled.
        while data := await source.read(READ_BYTES):
            weather, now = self._weather, clock()
            if weather.is_half_open:
                self.swallowed_bytes += len(data)
                continue
            due = now + weather.delay_s + weather.jitter_s * self._chance.random() + self._resending_s(weather, data)
            if weather.bytes_per_s:
                free = max(free, now) + len(data) / weather.bytes_per_s
                due = max(due, free)
            await queue.put((due, data))
        await queue.put((0.0, b""))

    async def _give(self, queue: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await queue.get()
            if not data:
                return
            if due > clock():
                await asyncio.sleep(due - clock())
            self.passed_bytes += len(data)
            sink.write(data)
            await sink.drain()

    def _resending_s(self, weather: Weather, data: bytes) -> float:
        """How long these bytes wait for lost segments among them to come again."""
        if not weather.loss:
            return 0.0
        segments = -(-len(data) // SEGMENT_BYTES)
        return RESEND_S if any(self._chance.random() < weather.loss for _ in range(segments)) else 0.0


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, then end the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
