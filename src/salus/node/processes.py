"""A member's processes under one roof: started in order, restarted when they end, stopped in reverse.

    supervisor.lock   held while a supervisor runs; a second one is refused
    <name>.pid        process id and the moment it began; left behind only by a crash of the supervisor itself
    <name>.log        what it says, where a folder for logs is given

Programs of one unit live and end together: the ordering engine and the application behind it. Any other ends and
restarts alone. A vital unit that cannot be kept up ends the whole; so does an exit code that asks for the operator, if
its unit is vital. When no unit is left to be kept up, the whole ends. What a program is, its argv says: nothing here
knows Salus.
"""

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

from salus.core.errors import UnavailableError

STOPPED = 0  # As asked.
FOR_THE_OPERATOR = 6  # What is held contradicts itself, or needs another program: to start again would not help.
GAVE_UP = 70  # A vital unit could not be kept up, or one asked for the operator.
NOT_RUN = 127  # Of a program that could not even be started, as shells say it.
LOCK_FILE = "supervisor.lock"
LOOKS, LOOK_S = 3, 0.05

Ready = Callable[[], Awaitable[bool]]
"""Whether a program serves now. Asked again and again until it says yes."""


class SupervisedError(UnavailableError):
    """Another supervisor runs these processes already."""

    code = "node.supervised"


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    unit: str = ""  # Neighbours of one unit are one; its own name if empty.
    is_vital: bool = False
    ready: Ready | None = None  # None: as soon as it runs.
    operator_codes: frozenset[int] = frozenset()  # Exit codes after which only the operator can help.


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    ready_s: float = 30.0  # Then the next unit is started anyway: each waits for others by itself.
    ask_s: float = 0.1
    stop_s: float = 15.0  # From SIGTERM to SIGKILL.
    pause_s: float = 0.5  # Before the first restart; then doubled.
    pause_s_max: float = 30.0
    steady_s: float = 60.0  # After this long a crash counts as the first again.
    crashes_max: int = 8  # In a row, of a vital unit.


@dataclass(slots=True)
class Running:
    """What is known of a program."""

    program: Program
    process: asyncio.subprocess.Process | None = None
    restarts: int = -1
    exit_code: int | None = None  # Of its last end; negative for a signal.

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.returncode is None


class Supervisor:
    """Keeps programs running until `stop`, SIGTERM or SIGINT."""

    def __init__(
        self, programs: Sequence[Program], folder: Path, patience: Patience | None = None, logs: Path | None = None
    ) -> None:
        self.running = {program.name: Running(program) for program in programs}
        assert len(self.running) == len(programs), "Names differ."
        self._folder = folder
        self._logs = logs
        self._patience = patience or Patience()
        self._stopping = asyncio.Event()
        self._code = STOPPED
        named = groupby(self.running.values(), key=lambda one: one.program.unit or one.program.name)
        self._units = [tuple(members) for _, members in named]

    def stop(self, code: int = STOPPED) -> None:
        """Ask for the end."""
        self._code = max(self._code, code)
        self._stopping.set()

    async def run(self) -> int:
        """Start all in order, keep them up, stop all in reverse; the exit code.

        Raises:
            SupervisedError: another supervisor has this folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self._folder / LOCK_FILE), _signals(self.stop):
            for one in reversed(self.running.values()):
                await self._end_leftover(one)
            keepers: list[asyncio.Task[None]] = []
            for unit in self._units:
                is_up = asyncio.Event()
                keepers.append(asyncio.create_task(self._keep_up(unit, is_up)))
                await self._unless_stopping(is_up.wait(), None)
            await self._unless_stopping(asyncio.wait(keepers), None)  # To wait no longer ends none of them.
            self.stop()  # Where nobody asked, nothing is left to be kept up.
            await asyncio.gather(*keepers)
            for unit in reversed(self._units):
                await self._end(unit)
        return self._code

    async def _keep_up(self, unit: tuple[Running, ...], is_up: asyncio.Event) -> None:
        crashes, is_vital = 0, any(one.program.is_vital for one in unit)
        while not self._stopping.is_set():
            begun = time.monotonic()
            ended = await self._live(unit, is_up)
            is_up.set()  # Or never will be: the others go on.
            if self._stopping.is_set():
                return
            await self._end(unit)
            crashes = 1 if time.monotonic() - begun > self._patience.steady_s else crashes + 1
            for_operator = ended is not None and ended.exit_code in ended.program.operator_codes
            if is_vital and (for_operator or crashes >= self._patience.crashes_max):
                self.stop(GAVE_UP)
            if for_operator:
                return
            pause_s = min(self._patience.pause_s * 2 ** (crashes - 1), self._patience.pause_s_max)
            await self._unless_stopping(asyncio.sleep(pause_s * random.uniform(0.75, 1.25)), None)

    async def _live(self, unit: tuple[Running, ...], is_up: asyncio.Event) -> Running | None:
        """One life of a unit, up to the end of its first program; which one that was."""
        for one in unit:
            try:
                await self._begin(one)
            except OSError:
                one.exit_code = NOT_RUN
                return one
            await self._unless_stopping(self._ready(one), self._patience.ready_s)
        is_up.set()
        ends = {asyncio.create_task(one.process.wait()): one for one in unit if one.process is not None}
        await self._unless_stopping(asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED), None)
        first = next((one for end, one in ends.items() if end.done()), None)
        for end in ends:
            end.cancel()
        if first is not None and first.process is not None:
            first.exit_code = first.process.returncode
        return first

    async def _begin(self, one: Running) -> None:
        name = one.program.name
        with contextlib.ExitStack() as stack:
            out = None if self._logs is None else stack.enter_context(_appended(self._logs / f"{name}.log"))
            one.process = await asyncio.create_subprocess_exec(
                *one.program.argv, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        one.restarts += 1
        self._pid_file(one).write_text(f"{one.process.pid} {_began(one.process.pid)}\n")

    async def _ready(self, one: Running) -> None:
        while True:
            if not one.is_up or one.program.ready is None or await one.program.ready():
                return
            await asyncio.sleep(self._patience.ask_s)

    async def _end(self, unit: tuple[Running, ...]) -> None:
        """Stop what still runs of a unit, the last one first."""
        for one in reversed(unit):
            if one.process is not None and one.is_up:
                _signal(one.process.pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(one.process.wait(), self._patience.stop_s)
            if one.process is not None:
                _signal(one.process.pid, signal.SIGKILL, group=True)  # Also what it left behind.
                one.exit_code = await one.process.wait()
            self._pid_file(one).unlink(missing_ok=True)

    async def _end_leftover(self, one: Running) -> None:
        """End what a supervisor that was killed left running: the same process, not another that got its id."""
        with contextlib.suppress(OSError, ValueError):
            pid_text, began = self._pid_file(one).read_text().split()
            pid = int(pid_text)
            for sign in (signal.SIGTERM, signal.SIGKILL):  # Each once: a second SIGTERM may mean more than the first.
                if began == _began(pid):
                    _signal(pid, sign, group=sign is signal.SIGKILL)
                await self._gone(pid, began)
        self._pid_file(one).unlink(missing_ok=True)

    async def _gone(self, pid: int, began: str) -> None:
        """Wait until a process that is no child of ours has ended, or its time is up."""
        for _ in range(1 + int(self._patience.stop_s / self._patience.ask_s)):
            if began != _began(pid):
                return
            await asyncio.sleep(self._patience.ask_s)

    async def _unless_stopping(self, awaited: Awaitable[object], timeout_s: float | None) -> None:
        """Wait for something, but no longer than the time given, or until all is to stop."""
        tasks = [asyncio.ensure_future(awaited), asyncio.ensure_future(self._stopping.wait())]
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pid_file(self, one: Running) -> Path:
        return self._folder / f"{one.program.name}.pid"


def _appended(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.open("ab")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        for attempt in range(LOOKS):  # Whoever only looks whether it is held holds it for a moment.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if attempt == LOOKS - 1:
                    raise SupervisedError from None
                time.sleep(LOOK_S)
        yield


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop)
    try:
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)


def _signal(pid: int, sign: signal.Signals, *, group: bool = False) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sign) if group else os.kill(pid, sign)


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks: with its id, its name. Empty where it is gone or nobody tells."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    after_name = status.rpartition(")")[2].split()
    return "" if after_name[0] in "ZX" else after_name[19]
