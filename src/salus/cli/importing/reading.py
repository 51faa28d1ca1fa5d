"""Files become documents, on other cores where there is enough to do, in order and with bounded memory.

Worker processes parse, label and name terms while this one seals; they are lent to the network's members too, for what
sealing needs of arithmetic. They are started afresh, not forked: this process has threads and open databases.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from salus.core.ids import MIB_BYTES
from salus.fhir import worker
from salus.fhir.document import Prepared
from salus.fhir.errors import Problem, UnreadableFileError
from salus.fhir.folder import File, Survey, survey
from salus.sdk.hands import Hands

WORKERS = 2  # On two cores they and this process take turns: none of the three waits for one other.
_AHEAD = 3  # Files in the making; each is whole in memory.
_POOL_PAYS_BYTES = 2 * MIB_BYTES  # Below this a worker takes longer to start than to work.
_PACKED_RATIO = 12  # What `.xz` and `.gz` save on FHIR, roughly.


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads files, and what they do with one."""

    seen: Survey
    pool: Executor
    prepare: Callable[[File], bytes]


async def look_over(path: Path) -> Survey:
    """A first look at the folder, beside the event loop.

    Raises:
        UnreadableFileError: the folder itself cannot be read, or holds no such file.
    """
    seen = await asyncio.to_thread(survey, path)
    if not seen.files:
        raise UnreadableFileError(place="folder", files=0)
    return seen


@contextmanager
def readers(seen: Survey, hands: Hands) -> Iterator[Readers]:
    """Who reads these files, until the end of the block; where it is worth workers, they are lent to the `hands`."""
    if sum(_unpacked_bytes(file.path) for file in seen.files) < _POOL_PAYS_BYTES:
        with ThreadPoolExecutor(1, "import") as thread:
            yield Readers(seen, thread, partial(worker.prepared, seen.directory))
        return
    pool = ProcessPoolExecutor(WORKERS, get_context("spawn"), worker.start, (seen.directory,))
    try:
        with hands.lent(pool):
            yield Readers(seen, pool, worker.prepare)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def prepared_files(by: Readers) -> AsyncIterator[tuple[File, Prepared]]:
    """Each file with what it holds, in the survey's order."""
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[File, asyncio.Future[bytes]]] = deque()
    for file in by.seen.files:
        waiting.append((file, _begun(loop, by, file)))
        if len(waiting) >= _AHEAD:
            yield await _next(waiting)
    while waiting:
        yield await _next(waiting)


def _begun(loop: asyncio.AbstractEventLoop, by: Readers, file: File) -> "asyncio.Future[bytes]":
    try:
        return loop.run_in_executor(by.pool, by.prepare, file)
    except BrokenProcessPool:  # Over an earlier file: the others are read here, beside the event loop.
        return loop.run_in_executor(None, worker.prepared, by.seen.directory, file)


async def _next(waiting: deque[tuple[File, "asyncio.Future[bytes]"]]) -> tuple[File, Prepared]:
    file, answer = waiting.popleft()
    try:
        return file, worker.opened(await answer)
    except BrokenProcessPool:  # The worker was killed, most likely for its memory: this file is not taken in.
        return file, Prepared((), (), (Problem(file.name, "file", UnreadableFileError.code),))


def _unpacked_bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        return 0
    return size * _PACKED_RATIO if path.suffix in (".gz", ".xz") else size
