"""The ledger's store on disk: one LMDB environment as a `KeyValue`, written in atomic, durable steps.

One writing process per folder, one writer at a time; readers on any thread, and in any process that opened the folder
for reading, see whole commits and never wait for the writer.
Durable means that LMDB has called fsync before `write()` ends. What is stored is `state`'s business.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from weakref import WeakSet

import lmdb
from lmdb.verify import VerifyError, verify

from salus.engines.lmdb_errors import (
    DiskFullError,
    FolderInUseError,
    StoreCorruptError,
    StoreFormatError,
    StoreUnavailableError,
    translate,
    translated,
)

STORE_FORMAT = 2  # 1 was first light's: `first_light.py` applies its blocks anew.
# Address space, not disk: LMDB lengthens the file only as pages are written. Generous, because growing means to wait
# until nobody reads, and small beside the 128 TiB a process has, so that dozens of simulated members fit into one.
MAP_SIZE_BYTES = 64 << 30

_DATA_FILE = "data.mdb"
_LOCK_FILE = "in-use.lock"
_ROOM_BYTES = 16 << 20  # More than a block writes: a disk without this much is full.
_FORMAT_KEY = b"salus-store-format"


class LmdbStore:
    """A `KeyValue` in one folder. Writes need `with store.write()`, reads do not.

    Order: keys ascend as bytes. Keys have 1 to 511 bytes. Concurrency: the thread inside `write()` sees its own
    writes, every other thread the latest commit. Errors: see the classes above; after any of them, what was committed
    stands and what was not is gone.
    """

    def __init__(
        self, path: Path, map_size_bytes: int = MAP_SIZE_BYTES, *, read_only: bool = False, form: int = STORE_FORMAT
    ) -> None:
        """Open the store, or found one in an empty or absent folder; `read_only` beside a process that writes.

        Raises:
            NotWritableError: the folder cannot be made or written.
            FolderInUseError: another process, or another object in this one, has it open.
            StoreCorruptError: its file is damaged or cut short.
            StoreFormatError: it is of another format.
            DiskFullError: there is no room to found it.
            StoreUnavailableError, NotWritableError: it is opened for reading, and nobody has founded it yet.
        """
        self._read_only = read_only
        self._form = form
        self._writing: lmdb.Transaction[bytes] | None = None
        self._writer: int | None = None
        self._turn = threading.Lock()  # Of writers.
        self._grow = False
        self._moments: WeakSet[Snapshot] = WeakSet()
        self._lock = -1 if read_only else _locked(path)
        try:
            self._environment = _opened(path, map_size_bytes, read_only)
            try:
                self._data = self._found() if read_only else self._founded()
            except BaseException:
                self._environment.close()
                raise
        except BaseException:
            if self._lock >= 0:
                os.close(self._lock)
            raise

    def close(self) -> None:
        """Give the folder back. Open transactions are lost."""
        self._environment.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def copy_to(self, folder: Path) -> None:
        """Write the newest commit into a new folder, as a store of its own, while others go on writing.

        Raises:
            StoreUnavailableError, DiskFullError: the copy cannot be written.
        """
        folder.mkdir(mode=0o700)
        with translated():
            self._environment.copy(str(folder), compact=True)

    def __enter__(self) -> "LmdbStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: bytes) -> bytes | None:
        try:
            if self._writing is not None and self._writer == threading.get_ident():
                return self._writing.get(key)
            with self._environment.begin(self._data) as reading:
                return reading.get(key)
        except lmdb.Error as error:
            raise translate(error) from error

    def put(self, key: bytes, value: bytes) -> None:
        try:
            self._own_transaction().put(key, value)
        except lmdb.Error as error:
            raise translate(error) from error

    def delete(self, key: bytes) -> None:
        try:
            self._own_transaction().delete(key)
        except lmdb.Error as error:
            raise translate(error) from error

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        if self._writing is not None and self._writer == threading.get_ident():
            return _scanned(self._writing, prefix, start)
        with translated():
            reading = self._environment.begin(self._data)
        return self._scanned_alone(reading, prefix, start)

    @contextmanager
    def write(self) -> Iterator["LmdbStore"]:
        """One transaction: all of it is durable when the block ends, nothing of it if the block raises.

        Raises:
            DiskFullError: no room; if it was the map, it grows before the next transaction, so the caller may retry.
            StoreUnavailableError: the disk failed.
            StoreCorruptError: a page read on the way is damaged.
        """
        if self._read_only or self._writer == threading.get_ident():
            raise RuntimeError("the store is open for reading, or this thread is already within `store.write()`")
        with self._turn:
            with translated():
                self._grow_if_needed()
                transaction = self._environment.begin(self._data, write=True)
            self._writing, self._writer = transaction, threading.get_ident()
            try:
                yield self
                self._commit(transaction)
            except BaseException as error:
                self._grow = isinstance(error, DiskFullError) and error.facts.get("reason") == "map"
                transaction.abort()
                raise
            finally:
                self._writing = self._writer = None

    def moment(self) -> "Snapshot":
        """One committed moment, for as long as it is referred to. Meanwhile the map does not grow."""
        with translated():
            moment = Snapshot(self._environment.begin(self._data))
        self._moments.add(moment)
        return moment

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """One committed moment for many reads, such as a value, its proof and its root. Keep it short: it holds old
        pages on disk until it ends."""
        with translated():
            reading = self._environment.begin(self._data)
        try:
            yield Snapshot(reading)
        finally:
            reading.abort()

    @property
    def committed(self) -> "Committed":
        """The latest commit, also for the thread inside `write()`."""
        return Committed(self._environment, self._data)

    def size_bytes(self) -> int:
        """How much of the file is in use, free pages inside it not counted."""
        pages = self._environment.stat()
        with self._environment.begin(self._data) as reading:
            data = reading.stat(self._data)
        return int(pages["psize"]) * sum(data[kind] for kind in ("branch_pages", "leaf_pages", "overflow_pages"))

    def _commit(self, transaction: "lmdb.Transaction[bytes]") -> None:
        """Make it durable. LMDB reports a write cut short as EIO, so the disk is then asked whether it is full."""
        try:
            transaction.commit()
        except lmdb.Error as error:
            if getattr(error, "code", 0) == errno.EIO:
                self._try_room()
            raise translate(error) from error

    def _try_room(self) -> None:
        """Raise DiskFullError where the disk has no room left, asked by way of the lock's file, which stays empty."""
        with translated():
            try:
                os.posix_fallocate(self._lock, 0, _ROOM_BYTES)
            finally:
                os.ftruncate(self._lock, 0)

    def _own_transaction(self) -> "lmdb.Transaction[bytes]":
        if self._writing is None or self._writer != threading.get_ident():
            raise RuntimeError("writes to the store need `with store.write()` on this thread")
        return self._writing

    def _scanned_alone(
        self, reading: "lmdb.Transaction[bytes]", prefix: bytes, start: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from _scanned(reading, prefix, start)
        finally:
            reading.abort()

    def _grow_if_needed(self) -> None:
        """Double the map when less than a quarter is left, or when the last transaction did not fit.

        Not while somebody reads a moment: the map would move away under the reader.
        """
        if self._moments:
            return
        about = self._environment.info()
        used = (about["last_pgno"] + 1) * self._environment.stat()["psize"]
        if self._grow or used > about["map_size"] // 4 * 3:
            self._environment.set_mapsize(about["map_size"] * 2)
            self._grow = False

    def _founded(self) -> "lmdb._Database":
        """Check the marker, or set it in a store that is still empty; then the database of the data."""
        with translated(), self._environment.begin(write=True) as transaction:
            marker = transaction.get(_FORMAT_KEY)
            if marker is None and transaction.stat()["entries"] == 0:
                marker = b"%d" % self._form
                transaction.put(_FORMAT_KEY, marker)
            _check_format(marker, self._form)
            return self._environment.open_db(b"data", txn=transaction)

    def _found(self) -> "lmdb._Database":
        """The database of the data, in a store that somebody else has founded."""
        with translated():
            with self._environment.begin() as transaction:
                if transaction.stat()["entries"] == 0:
                    raise StoreUnavailableError  # Whoever founds it has made the file and not committed yet.
                _check_format(transaction.get(_FORMAT_KEY), self._form)
            return self._environment.open_db(b"data", create=False)  # A handle that outlives a transaction.


class OpenWrite:
    """`LmdbStore.write()` from one call to another, until it is kept or abandoned: once, and for good."""

    def __init__(self, store: LmdbStore) -> None:
        self._writing: AbstractContextManager[object] | None = store.write()
        self._writing.__enter__()

    def keep(self) -> None:
        """All of it is durable on return.

        Raises:
            DiskFullError, StoreUnavailableError: as `LmdbStore.write`; nothing of it is kept.
        """
        writing, self._writing = self._writing, None
        assert writing is not None
        writing.__exit__(None, None, None)

    def abandon(self) -> None:
        """Leave nothing of it. Harmless once it has ended."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.__exit__(_AbandonedError, _AbandonedError(), None)


class _AbandonedError(Exception):
    """Rolls an open transaction back."""


class Committed:
    """A `KeyValue` for reading only: each read sees the latest commit, and never a write that is still open."""

    def __init__(self, environment: lmdb.Environment, data: "lmdb._Database") -> None:
        self._environment = environment
        self._data = data

    def get(self, key: bytes) -> bytes | None:
        with translated(), self._environment.begin(self._data) as reading:
            return reading.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        raise RuntimeError("what is committed is for reading")

    def delete(self, key: bytes) -> None:
        raise RuntimeError("what is committed is for reading")

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        with translated():
            reading = self._environment.begin(self._data)
        return _scanned(reading, prefix, start)


class Snapshot:
    """A `KeyValue` for reading only, as of one commit. The moment is held until the last reader lets go of it."""

    def __init__(self, reading: "lmdb.Transaction[bytes]") -> None:
        self._reading = reading

    def get(self, key: bytes) -> bytes | None:
        try:
            return self._reading.get(key)
        except lmdb.Error as error:
            raise translate(error) from error

    def put(self, key: bytes, value: bytes) -> None:
        raise RuntimeError("a snapshot is for reading")

    def delete(self, key: bytes) -> None:
        raise RuntimeError("a snapshot is for reading")

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return _scanned(self._reading, prefix, start)


def check_file(path: Path) -> None:
    """Walk every page of a closed store without LMDB, which may end the process when it meets a damaged one.

    Takes time in proportion to the file. It finds broken structure, not changed content: for that, open the store and
    ask `state.checked_root`.

    Raises:
        FolderInUseError: a process has it open.
        StoreCorruptError: the structure is broken, in `problems` places.
    """
    lock = _locked(path)
    try:
        problems = verify(str(path))  # type: ignore[no-untyped-call]
    except VerifyError:
        raise StoreCorruptError(problems=1) from None
    finally:
        os.close(lock)
    if problems:
        raise StoreCorruptError(problems=len(problems))


def _check_format(marker: bytes | None, form: int) -> None:
    if marker != b"%d" % form:
        found = int(marker) if marker is not None and marker.isdigit() else 0
        raise StoreFormatError(found=found, expected=form)


def _scanned(transaction: "lmdb.Transaction[bytes]", prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    with translated():
        cursor = transaction.cursor()
        first = prefix + start
        if not (cursor.set_range(first) if first else cursor.first()):
            return
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value


def _locked(path: Path) -> int:
    """Make the folder and take its lock. The lock belongs to the open file: it goes when the process does."""
    with translated():
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise FolderInUseError() from None
        raise StoreUnavailableError(errno=error.errno or 0) from None
    return lock


def _opened(path: Path, map_size_bytes: int, read_only: bool) -> lmdb.Environment:
    """Open the environment and see that its file is as long as it says: a read past its end would kill the process.

    Memory is cleared before it is written (`meminit`, the default), so that no stray secret reaches the disk; no
    read-ahead, because the tree is read at random.
    """
    with translated():
        environment = lmdb.open(
            str(path),
            map_size=map_size_bytes,
            max_dbs=1,
            max_spare_txns=1,
            readahead=False,
            mode=0o600,
            readonly=read_only,
            create=not read_only,
        )
        about = environment.info()
        expected = (about["last_pgno"] + 1) * environment.stat()["psize"]
        found = (path / _DATA_FILE).stat().st_size
        if found < expected:
            environment.close()
            raise StoreCorruptError(size_bytes=found, expected_bytes=expected)
        if not read_only:
            _sync_folder(path)
    return environment


def _sync_folder(path: Path) -> None:
    """Make the names of new files durable; LMDB sees to their contents only."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
