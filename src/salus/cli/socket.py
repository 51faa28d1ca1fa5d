"""How a command reaches the network that is up in a folder: a unix socket that only its owner can use.

One JSON line asks: `{"argv": […], "folder": "/where/they/are", "terminal": false, "width": 200}`. JSON lines answer:
`{"out": "…"}`, `{"err": "…"}` (or `out64`, `err64` for bytes that are no text), and last `{"exit": 0}`. Who hangs up
stops the command.
"""

import base64
import fcntl
import hashlib
import json
import os
import socket
import stat
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from salus.cli.errors import ConnectionLostError, FileError
from salus.cli.output import Screen, Sink

SOCKET_FILE = "socket"
RUN_FOLDER = "run"  # Of what supervises the processes of a folder,
LOCK_FILE = "supervisor.lock"  # and what it holds meanwhile.
AGAIN_S = 30.0
AGAIN_EVERY_S = 0.1
PATH_BYTES_MAX = 100  # Systems stop at 104 or 108.
REQUEST_BYTES_MAX = 1 << 20


def socket_path(folder: Path) -> Path:
    """Where a folder's socket lies: in it, or under the system's short temporary folder where its path is too long."""
    path = folder.resolve() / SOCKET_FILE
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        return path
    named = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"salus-{os.getuid()}" / named


def make_room(path: Path) -> None:
    """Remove a socket that a crash left behind; its folder must be ours alone, or somebody else could answer.

    Raises:
        FileError: somebody else made it, or may write into it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.lstat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022 or not stat.S_ISDIR(found.st_mode):
        raise FileError(reason="the socket's folder is not this user's alone")
    path.unlink(missing_ok=True)


def forwarded(folder: Path, argv: Sequence[str], sink: Sink, screen: Screen) -> int | None:
    """Let the network that is up carry the command out; its exit code, or None where none is up.

    Raises:
        ConnectionLostError: it went away before it had answered.
    """
    connection = _connected(folder)
    if connection is None:
        return None
    with connection:
        request = {
            "argv": list(argv),
            "folder": str(screen.folder),
            "terminal": screen.is_terminal,
            "width": screen.width,
        }
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    code = shown(json.loads(line), sink)
                    if code is not None:
                        return code
        except (OSError, ValueError):
            raise ConnectionLostError from None
    raise ConnectionLostError


def _connected(folder: Path) -> socket.socket | None:
    """A connection to whoever serves the folder; waited for where its process is being started again."""
    path, give_up = str(socket_path(folder)), time.monotonic() + AGAIN_S
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()  # Left behind by one that was killed, or not there.
        if time.monotonic() > give_up or not is_held(folder / RUN_FOLDER / LOCK_FILE):
            return None
        time.sleep(AGAIN_EVERY_S)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file, as a supervisor does; not, where there is none."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def shown(line: dict[str, object], sink: Sink) -> int | None:
    """Pass one line of an answer on; the exit code where it is the last."""
    for stream in ("out", "err"):
        text, data = line.get(stream), line.get(f"{stream}64")
        if isinstance(text, str):
            sink.write(text.encode(), is_error=stream == "err")
        elif isinstance(data, str):
            sink.write(base64.b64decode(data), is_error=stream == "err")
    code = line.get("exit")
    return code if isinstance(code, int) else None


def line_of(data: bytes, *, is_error: bool) -> bytes:
    """One line of an answer."""
    stream = "err" if is_error else "out"
    try:
        line = {stream: data.decode()}
    except UnicodeDecodeError:
        line = {f"{stream}64": base64.b64encode(data).decode()}
    return json.dumps(line).encode() + b"\n"
