"""Files become documents, on other cores where there is enough to do, in order and with bounded memory.

Parsing, labels and terms take about half as long as sealing, so worker processes do them while this one seals. They are
started afresh, not forked: this process has threads and open databases.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec

from salus.core.ids import MIB_BYTES
from salus.fhir.document import Prepared
from salus.fhir.errors import Problem, UnreadableFileError
from salus.fhir.folder import File, Survey, prepare_path, survey
from salus.fhir.references import Directory

_WORKERS = 1  # Two cores: one reads, one seals.
_AHEAD = 3  # Files in the making; each is whole in memory.
_POOL_PAYS_BYTES = 2 * MIB_BYTES  # Below this a worker takes longer to start than to work.
_PACKED_RATIO = 12  # What `.xz` and `.gz` save on FHIR, roughly.

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Prepared)


async def look_over(path: Path) -> Survey:
    """A first look at the folder, beside the event loop.

    Raises:
        UnreadableFileError: the folder itself cannot be read, or holds no such file.
    """
    seen = await asyncio.to_thread(survey, path)
    if not seen.files:
        raise UnreadableFileError(place="folder", files=0)
    return seen


async def prepared_files(seen: Survey) -> AsyncIterator[tuple[File, Prepared]]:
    """Each file with what it holds, in the survey's order."""
    loop = asyncio.get_running_loop()
    pool, prepare = _pool(seen)
    waiting: deque[tuple[File, asyncio.Future[bytes]]] = deque()
    files = iter(seen.files)
    try:
        for file in files:
            waiting.append((file, loop.run_in_executor(pool, prepare, file)))
            if len(waiting) >= _AHEAD:
                yield await _next(waiting)
        while waiting:
            yield await _next(waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _next(waiting: deque[tuple[File, "asyncio.Future[bytes]"]]) -> tuple[File, Prepared]:
    file, answer = waiting.popleft()
    try:
        return file, _decoder.decode(await answer)
    except BrokenProcessPool:  # The worker was killed, most likely for its memory: this file is not taken in.
        return file, Prepared((), (), (Problem(file.name, "file", UnreadableFileError.code),))


def _pool(seen: Survey) -> tuple[Executor, Callable[[File], bytes]]:
    size = sum(_unpacked_bytes(file.path) for file in seen.files)
    if size < _POOL_PAYS_BYTES:
        return ThreadPoolExecutor(1, "import"), partial(_prepared, seen.directory)
    return ProcessPoolExecutor(_WORKERS, get_context("spawn"), _start, (seen.directory,)), _prepared_by_worker


def _unpacked_bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        return 0
    return size * _PACKED_RATIO if path.suffix in (".gz", ".xz") else size


def _prepared(directory: Directory, file: File) -> bytes:
    # As one block of bytes: pickling ten thousand small objects would cost the sealing core more than all the rest.
    return _encoder.encode(prepare_path(file, directory))


_workers_directory = Directory()


def _start(directory: Directory) -> None:
    """In a worker, once: what files refer to, so that it does not travel with every file."""
    global _workers_directory
    _workers_directory = directory


def _prepared_by_worker(file: File) -> bytes:
    return _prepared(_workers_directory, file)
