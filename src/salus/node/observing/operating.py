"""The operator's port of one process: health, readiness, figures and traces of what runs in it.

    /healthz        the process turns
    /readyz         what it still waits for
    /metrics        figures, in Prometheus' text
    /status         how each part that runs here stands by them, and what is wrong with it
    /traces         the newest spans, oldest first
    /openapi.json   this list

An `Operating` is filled with what runs here (`parts_here.py`), then started. Nothing is worked out until somebody asks;
what takes longer is looked up then, and not more often than its time says.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from salus.core.errors import UnavailableError
from salus.node.http.health import JSON, Offer, OperatorPort, document
from salus.node.observing.figures import Figures, Sample, Source, Sources, of_log
from salus.node.observing.judging import Status, judged, read_figures
from salus.node.observing.logs import Logs, say, say_error
from salus.node.observing.schemas import STATUS, TRACES
from salus.node.observing.traces import Tracer

LOOK_EVERY_S = 1.0
PORT_AGAIN_S = 30.0

Look = Callable[[], Awaitable[None]]
Check = Callable[[], bool]
Named = tuple[tuple[str, str], str, Check]
"""A check, with the member and the part whose it is, and its name."""


def own_version() -> str:
    """Of this program."""
    try:
        return version("salus")
    except PackageNotFoundError:
        return "0.0.0"


class Seldom:
    """A look that is taken not more often than every so many seconds, by one at a time."""

    def __init__(self, look: Look, every_s: float) -> None:
        self._look = look
        self._every_s = every_s
        self._next_s = 0.0
        self._turn = asyncio.Lock()

    async def __call__(self) -> None:
        async with self._turn:
            if time.monotonic() >= self._next_s:
                await self._look()
                self._next_s = time.monotonic() + self._every_s


class Operating:
    """What one process shows of itself."""

    def __init__(self, part: str, logs: Logs, tracer: Tracer) -> None:
        self.part = part
        self.tracer = tracer
        self._looks: list[Seldom] = []
        self._checking: list[Callable[[], Iterable[Named]]] = []
        self._named: list[Named] = []
        self._checks: dict[str, Check] = {}  # By name, as the port shows them: what runs here may change.
        own: list[Source] = [lambda: of_log(part, logs, own_version()), self._of_checks]
        self._figures = Figures(part, lambda: own)
        self._was_ready: bool | None = None
        self._port: OperatorPort | None = None
        self._retrying: asyncio.Task[None] | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self._figures)
        ProcessCollector(registry=self.registry)

    def show(self, *sources: Source) -> None:
        """Show these figures too."""
        self.show_each(lambda: sources)

    def show_each(self, sources: Sources) -> None:
        """Show the figures of whatever there is when somebody asks."""
        self._figures.sources.append(sources)

    def look_before(self, look: Look, every_s: float = LOOK_EVERY_S) -> None:
        """Take this look before anything is shown, if it was taken longer ago than this."""
        self._looks.append(Seldom(look, every_s))

    def check(self, *checking: Callable[[], Iterable[Named]]) -> None:
        """Be ready only while these hold."""
        self._checking.extend(checking)

    async def look(self) -> None:
        """Look up what takes longer."""
        for look in self._looks:
            try:
                await look()
            except Exception as error:
                say_error(error)
        self._named = [(whose, name, _judged(check)) for found in self._checking for whose, name, check in found()]
        self._checks.clear()
        self._checks.update({f"{'.'.join(whose)}.{name}": check for whose, name, check in self._named})

    async def figures(self) -> bytes:
        """All figures, as Prometheus reads them."""
        await self.look()
        return generate_latest(self.registry)

    async def status(self) -> Status:
        """How each part that runs here stands by its figures."""
        figures = read_figures((await self.figures()).decode())
        return judged([whose for whose in figures if whose[0]], figures, {})

    @property
    def document(self) -> dict[str, Any]:
        """What may be called here: OpenAPI 3.1."""
        return document(own_version(), self._offers())

    @property
    def port(self) -> int | None:
        """Where it listens, if it does."""
        return None if self._port is None else self._port.port

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Listen until the end of the block."""
        await self.start(port)
        try:
            yield
        finally:
            await self.stop()

    async def start(self, port: int) -> None:
        """Listen. Where the port is taken, the process serves without, and tries again now and then."""
        if not await self._listens(port):
            self._retrying = asyncio.create_task(self._try_again(port))
        say("begun", "info", port=self.port or 0, version=own_version())

    async def stop(self) -> None:
        """Stop listening, once the last spans are exported."""
        say("ended")
        await self.tracer.flush()
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
        if self._port is not None:
            await self._port.stop()

    async def _listens(self, port: int) -> bool:
        listening = OperatorPort(own_version(), self._checks, self._offers(), self._look_and_tell)
        try:
            await listening.start(port=port)
        except OSError:
            say("port_taken", "error", port=port)
            return False
        self._port = listening
        return True

    async def _try_again(self, port: int) -> None:
        while self._port is None:
            await asyncio.sleep(PORT_AGAIN_S)
            await self._listens(port)

    async def _look_and_tell(self) -> None:
        await self.look()
        is_ready = all(check() for check in self._checks.values())
        if is_ready is not self._was_ready:
            self._was_ready = is_ready
            say("ready", "info" if is_ready else "warning", ready=is_ready)

    def _of_checks(self) -> list[Sample]:
        return [("salus_ready", (*whose, name), check()) for whose, name, check in self._named]

    def _offers(self) -> Sequence[Offer]:
        async def metrics(_: Request) -> Response:
            return Response(await self.figures(), headers={"content-type": CONTENT_TYPE_LATEST})

        async def status(_: Request) -> JSONResponse:
            return JSONResponse((await self.status()).as_json)

        async def traces(_: Request) -> JSONResponse:
            return JSONResponse({"spans": [span.as_json for span in self.tracer.spans]})

        of_parts = "How each part that runs here stands by its figures, and what is wrong with it."
        return (
            Offer("/metrics", "Figures, in Prometheus' text format.", "text/plain", metrics),
            Offer("/status", of_parts, JSON, status, STATUS),
            Offer("/traces", "The newest spans of traces, oldest first.", JSON, traces, TRACES),
        )


def _judged(check: Check) -> Check:
    """A check that says no where it cannot be made."""

    def judged() -> bool:
        try:
            return check()
        except Exception as error:
            say_error(error)
            return False

    return judged


class EngineWord:
    """What a member's CometBFT said of itself when it was last asked."""

    def __init__(self, member: str, call: Callable[[str, float], Awaitable[dict[str, object]]]) -> None:
        self._member = member
        self._call = call
        self.answers = False
        self.catching_up = True
        self.peers = 0
        self.pool = 0

    async def look(self) -> None:
        """Ask it."""
        try:
            status, net, pool = [
                await self._call(method, 1.0) for method in ("status", "net_info", "num_unconfirmed_txs")
            ]
        except UnavailableError:
            self.answers = False
            return
        self.answers = True
        self.catching_up = bool(_within(status, "sync_info")["catching_up"])
        self.peers, self.pool = int(str(net["n_peers"])), int(str(pool["total"]))

    def figures(self) -> list[Sample]:
        """For `Operating.show`."""
        own = (self._member, "ledger")
        return [
            ("salus_engine_answers", own, self.answers),
            ("salus_engine_catching_up", own, self.catching_up),
            ("salus_engine_peers", own, self.peers),
            ("salus_queue_transactions", own, self.pool),
        ]


def _within(said: dict[str, object], name: str) -> dict[str, object]:
    found = said[name]
    assert isinstance(found, dict)
    return found
