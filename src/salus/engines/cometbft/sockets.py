"""Unix sockets in deep folders: a system takes about a hundred bytes of path, and a member's folder may need more."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATH_BYTES_MAX = 100  # Systems stop at 104 or 108.


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of this path that is short enough to bind or connect to, for as long as the block lasts."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listening(path: Path) -> socket.socket:
    """A socket that listens there, for this user alone. What a crash left behind is removed.

    Raises:
        OSError: the folder is missing or not ours to write.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with reachable(path) as name:
            listener.bind(name)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def connected(path: Path, timeout_s: float) -> socket.socket:
    """A socket that is connected to it, not blocking from then on.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with reachable(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return connection
