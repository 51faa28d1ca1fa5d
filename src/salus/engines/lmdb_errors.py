"""How the store on disk can fail, and which of LMDB's and the system's errors mean which."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from salus.core.errors import IntegrityError, SalusError, UnavailableError


class StoreFormatError(IntegrityError):
    """The folder holds a store of another format, or of another program."""

    code = "engines.store_format"


class StoreCorruptError(IntegrityError):
    """The store's file is damaged or cut short: restore it, or join anew from a snapshot."""

    code = "engines.store_corrupt"


class FolderInUseError(UnavailableError):
    """Another process, or another object in this one, has this folder open."""

    code = "engines.folder_in_use"


class DiskFullError(UnavailableError):
    """No room on the disk or in the map; nothing of this transaction was kept."""

    code = "engines.disk_full"


class NotWritableError(UnavailableError):
    """The folder cannot be made or written."""

    code = "engines.not_writable"


class StoreUnavailableError(UnavailableError):
    """The disk did not answer as it should; what was acknowledged before stands."""

    code = "engines.store_unavailable"


_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.BadChecksumError,
    lmdb.IncompatibleError,
    lmdb.PanicError,
    lmdb.ProblemError,
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
)


def translate(error: lmdb.Error | OSError) -> SalusError:
    """The one of our errors that says the same. Carries the system's number, never a path."""
    if isinstance(error, lmdb.MapFullError):
        return DiskFullError(reason="map")
    if isinstance(error, _DAMAGE):
        return StoreCorruptError()
    number = (error.errno if isinstance(error, OSError) else getattr(error, "code", 0)) or 0
    if number in _FULL:
        return DiskFullError(reason="disk", errno=number)
    if number in _FORBIDDEN:
        return NotWritableError(errno=number)
    return StoreUnavailableError(errno=number)


@contextmanager
def translated() -> Iterator[None]:
    """Raise ours for theirs. For the paths that run once per transaction; the others catch for themselves."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise translate(error) from error
