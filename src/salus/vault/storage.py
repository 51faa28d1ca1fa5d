"""Where packs lie: named objects in a folder, or in a store that speaks S3; the vault sees no difference.

What an object holds is `packs.py`'s business; what is wrong with it, `vault.py`'s. Here only this counts: an object is
there whole or not at all, and what was put is durable on return.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from salus.core.errors import UnavailableError
from salus.core.ids import TimeMs


class StorageError(UnavailableError):
    """The vault's storage cannot be read or written now."""

    code = "vault.storage"


class Storage(Protocol):
    """Objects by name. One writer at a time; all methods raise StorageError where the storage is away."""

    def put(self, name: str, data: bytes) -> None:
        """Put an object in the place of whatever has this name. Whole and durable on return."""

    def create(self, name: str, data: bytes) -> bool:
        """Put an object if none has this name; whether it was put. Of many that try at once, one does."""

    def read(self, name: str, start: int, length: int) -> bytes | None:
        """Bytes of an object, fewer where it ends before; None where there is no such object."""

    def list(self, prefix: str) -> Iterator[tuple[str, TimeMs]]:
        """The names under a folder's name, each with when it was written."""

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""


class ObjectStorage:
    """Any store that obstore knows. Those that speak S3 are durable by themselves."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, name: str, data: bytes) -> None:
        with _reported():
            obstore.put(self._store, name, data)

    def create(self, name: str, data: bytes) -> bool:
        with _reported():
            try:
                obstore.put(self._store, name, data, mode="create")
            except (AlreadyExistsError, FileExistsError):
                return False
        return True

    def read(self, name: str, start: int, length: int) -> bytes | None:
        """A range beyond the end is an error to some stores: those are asked for the size, and once more."""
        if length == 0:
            return b""
        try:
            return bytes(obstore.get_range(self._store, name, start=start, length=length))
        except FileNotFoundError:
            return None
        except (BaseError, OSError):
            return self._read_short(name, start, length)

    def list(self, prefix: str) -> Iterator[tuple[str, TimeMs]]:
        with _reported():
            for page in obstore.list(self._store, prefix):
                for entry in page:
                    yield entry["path"], int(entry["last_modified"].timestamp() * 1000)

    def delete(self, name: str) -> None:
        with _reported():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def _read_short(self, name: str, start: int, length: int) -> bytes | None:
        with _reported():
            try:
                size = obstore.head(self._store, name)["size"]
                if size <= start:
                    return b""
                return bytes(obstore.get_range(self._store, name, start=start, length=min(length, size - start)))
            except FileNotFoundError:
                return None


class FolderStorage(ObjectStorage):
    """Files in a folder, that survive a power cut."""

    def __init__(self, folder: Path) -> None:
        with _reported():
            folder.mkdir(parents=True, exist_ok=True)
        super().__init__(LocalStore(prefix=folder))
        self._folder = folder
        self._synced: set[Path] = set()  # Folders whose own entries in those above them are on disk.

    def read(self, name: str, start: int, length: int) -> bytes | None:
        """As the file it is: the way through obstore's threads costs more than what is read.

        Where the disk itself does not give bytes back they are lost, and the vault can be mended.
        """
        with _reported():
            try:
                with (self._folder / name).open("rb") as file:
                    file.seek(start)
                    return file.read(length)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return b""

    def put(self, name: str, data: bytes) -> None:
        super().put(name, data)
        self._sync(name)

    def create(self, name: str, data: bytes) -> bool:
        is_new = super().create(name, data)
        self._sync(name)
        return is_new

    def _sync(self, name: str) -> None:
        path = self._folder / name
        above = () if path.parent in self._synced else path.parent.relative_to(self._folder).parents
        with _reported():
            for target in (path, path.parent, *(self._folder / parent for parent in above)):
                descriptor = os.open(target, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._synced.add(path.parent)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:  # What a server answered may name a key: only the kind is told.
        raise StorageError(reason=type(error).__name__) from None
