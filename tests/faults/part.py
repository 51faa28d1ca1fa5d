"""One process of a member, with a fault in it: `python -m tests.faults.part ledger|keeper|gateway --home … --member …`.

It runs what `salus.node.parts` and `salus gateway` run, and hooks its `Plan` in from outside: the program itself holds
nothing that could be armed by accident. The plan comes as JSON in the environment variable that is read here alone.

    application.finalize, application.commit   around the application's answer; `:after` once the answer has left
    ledger.<member>.block                      around LMDB's commit
    keeper.deposit, log.append, …              around the stores' own durable steps
"""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from salus.core.ids import MemberId, TimeMs
from salus.engines import check
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft import frames, unit
from salus.engines.cometbft.application import Application
from salus.engines.cometbft.config import ABCI_SOCKET
from salus.engines.cometbft.server import AbciServer, reply
from salus.engines.cometbft.supervisor import find_named
from salus.engines.cometbft.unit import ENGINE_FOLDER, LedgerUnit, UnitSettings
from salus.node import attached, parts
from salus.node import settings as node_settings
from salus.node.http.places import Part, Places, places_of
from salus.node.keeper_side import KeeperSide
from tests.faults.rules import NEWER, NewerMachine
from tests.faults.slow_disk import slow_down

VARIABLE = "SALUS_FAULT_PLAN"
PROPOSED = "proposed garbage"
KILLED = -signal.SIGKILL


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to go wrong in one process."""

    point: str = ""
    at: int = 1  # The how-many-th time that the point is passed.
    wait_s: float = 0.0  # Then it is slow there each time, and nothing ends.
    sync_s: str = ""  # The file that says how much longer each fsync takes, of this process and of its engine.
    skew_ms: int = 0  # Of this process's clock.
    engine: dict[str, str] = {}  # CometBFT's environment.
    binary: str = ""  # Which CometBFT; the usual one by default.
    file_bytes_max: int = 0  # A disk that is full: no file grows beyond this.
    other_root_at: int = 0  # From this height on the application says another app_hash than it computed.
    proposes_garbage: bool = False
    lies: str = ""  # See `liars.py`.
    rules: int = 1  # Up to which version of the rules this program knows them: 1 or 2.
    places: dict[str, str] = {}  # `caller/peer/part`: the address to use instead of the ledger's.


def plan_here() -> Plan:
    """The plan of this process."""
    return msgspec.json.decode(os.environ.get(VARIABLE, "{}"), type=Plan)


class Planned:
    """Ends this process at one point, or is slow there. Satisfies `Faults`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._left = plan.at

    def is_here(self, point: str) -> bool:
        """Whether it is now that the process is to end."""
        if point != self._plan.point:
            return False
        if self._plan.wait_s:
            time.sleep(self._plan.wait_s)
            return False
        self._left -= 1
        return self._left == 0

    def hit(self, point: str) -> None:
        """See `Faults.hit`."""
        if self.is_here(point):
            end_now()


def end_now() -> None:
    """As a cut of power would: no `finally`, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """The application, with points around its answers and with its lies. Satisfies `server.Application`."""

    def __init__(self, application: Application, plan: Plan, faults: Planned) -> None:
        self._application = application
        self._plan = plan
        self._faults = faults
        self._height = 0

    def answer(self, request: abci.Request) -> bytes:
        """See `Application.answer`."""
        kind = {"finalize_block": "application.finalize", "commit": "application.commit"}.get(
            request.WhichOneof("value") or "", "other"
        )
        self._faults.hit(f"{kind}:before")
        answer = self._changed(request, self._application.answer(request))
        if self._faults.is_here(f"{kind}:after"):
            asyncio.get_running_loop().call_soon(end_now)  # When the answer has left.
        return answer

    def _changed(self, request: abci.Request, answer: bytes) -> bytes:
        kind = request.WhichOneof("value")
        if kind == "prepare_proposal" and self._plan.proposes_garbage:
            print(PROPOSED, flush=True)  # For the test: otherwise nobody would know that it was offered at all.
            return reply(abci.Response(prepare_proposal=abci.PrepareProposalResponse(txs=garbage())))
        lies = self._plan.other_root_at
        if kind == "finalize_block" and lies and request.finalize_block.height >= lies:
            said = unframed(answer)
            said.finalize_block.app_hash = bytes(reversed(said.finalize_block.app_hash))
            return reply(said)
        return answer


def garbage() -> list[bytes]:
    """What no honest member proposes: empty, random, cut short, doubled, long."""
    return [b"", os.urandom(300), b"\x94\x01", b"same", b"same", os.urandom(100_000)]


def unframed(answer: bytes) -> abci.Response:
    """An answer, read again."""
    (message,) = frames.Frames().feed(answer)
    return abci.Response.FromString(message)


def install(plan: Plan) -> None:
    """Hook a plan into this process."""
    faults = Planned(plan)

    def clock() -> TimeMs:
        return time.time_ns() // 1_000_000 + plan.skew_ms

    class Unit(LedgerUnit):
        """A ledger whose application is watched."""

        def __init__(self, settings: UnitSettings) -> None:
            from dataclasses import replace as changed

            binary = find_named(plan.binary) if plan.binary else settings.binary
            super().__init__(changed(settings, faults=faults, clock=clock, environment=plan.engine, binary=binary))
            watched = Watched(self.application, plan, faults)
            self.server = AbciServer(watched, settings.folder / ENGINE_FOLDER / ABCI_SOCKET)  # type: ignore[arg-type]

    def places(view: Any, local: Any = None) -> Places:
        own = [(key.split("/"), address) for key, address in plan.places.items()]
        table = {(MemberId(to), Part(part)): address for (who, to, part), address in own if who == view.member}
        return places_of(view, table)

    settings: Callable[..., node_settings.Settings] = partial(node_settings.Settings, clock=clock, faults=faults)
    hooks: Any = parts
    hooks.LedgerUnit, hooks.system_clock, hooks.Settings = Unit, clock, settings
    joined: Any = attached
    joined.KeeperSide, joined.places_of = partial(KeeperSide, faults=faults), places
    if plan.rules == NEWER:
        programs: tuple[Any, ...] = (unit, check)
        for program in programs:
            program.Machine = NewerMachine
    if plan.lies:
        from tests.faults.liars import install as lie

        lie(plan.lies)
    if plan.file_bytes_max:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # Then a write fails, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_bytes_max, plan.file_bytes_max))


def gateway(home: Path, plan: Plan) -> None:
    """What `salus gateway` does."""
    from salus.cli.output import Output, OwnStreams, own_screen
    from salus.cli.serving import keep_up

    settings = node_settings.Settings(clock=lambda: time.time_ns() // 1_000_000 + plan.skew_ms, faults=Planned(plan))
    asyncio.run(keep_up(home, Output(OwnStreams(), own_screen(), as_json=False), settings))


def main(argv: list[str]) -> int:
    """Run one process; its exit code."""
    plan = plan_here()
    if plan.sync_s:
        slow_down(Path(plan.sync_s), Path(f"{plan.sync_s}-{argv[0]}"))
    install(plan)
    if argv[0] == "gateway":
        gateway(Path(argv[argv.index("--home") + 1]), plan)
        return 0
    return parts.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
