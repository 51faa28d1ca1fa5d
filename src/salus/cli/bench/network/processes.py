"""Processes that a measurement starts, and what processor time they have used, each with its children.

A process leads a group of its own, so that what it started ends with it, however the measurement ends.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STARTED_S = 60.0
STOPPED_S = 30.0
_LOOK_S = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NAME_BYTES = 2_000  # Of a log, to say why a process ended.


@dataclass(frozen=True, slots=True)
class Running:
    """A process that runs, and where it says what ails it."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def pids(self) -> list[int]:
        """Its own, then those of its children."""
        return [self.process.pid, *children_of(self.process.pid)]

    def kill(self) -> None:
        """End it and all that it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@asynccontextmanager
async def started(
    argv: Sequence[str], log: Path, environment: dict[str, str] | None = None, folder: Path | None = None
) -> AsyncIterator[Running]:
    """Run a program until the end of the block; then it is asked to end, and killed if it does not."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
    running = Running(process, log)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOPPED_S):
                await process.wait()
        running.kill()
        await process.wait()


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C is taken: what was started ends as well."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def until(
    done: Callable[[], Awaitable[bool]], running: Sequence[Running] = (), timeout_s: float = STARTED_S
) -> None:
    """Wait for something, but not for ever, and only as long as all these processes run."""
    async with asyncio.timeout(timeout_s):
        while not await done():
            for one in running:
                assert one.process.returncode is None, one.log.read_text()[-_NAME_BYTES:]
            await asyncio.sleep(_LOOK_S)


def children_of(pid: int) -> list[int]:
    """Of a process that may have ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def processor_s(pids: Sequence[int]) -> float:
    """Processor time that processes have used, in seconds; one that has ended counts nothing."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # In user mode, and in the kernel for it.
    return ticks / _TICKS_PER_S
