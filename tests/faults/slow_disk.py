"""A disk that takes its time: each fsync of this process, and of every program it starts, returns later.

Linux hands system calls of a process to another for judgement, where the process asks for it (seccomp's user
notification). Here a child takes each fsync, fdatasync and msync, waits, notes whose it was, and lets the kernel carry
it out; one after the other, as a disk does. The program under test knows nothing of it: LMDB, SQLite, the vault's files
and CometBFT are all as slow. How slow, a file says that a test writes, and may write anew.
"""

import ctypes
import errno
import fcntl
import os
import platform
import signal
import struct
import time
from collections import Counter
from pathlib import Path

_NUMBERS = {  # Of the system calls: seccomp, then those that are slow.
    "x86_64": (317, (74, 75, 26)),
    "aarch64": (277, (82, 83, 227)),
}
_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_RECEIVED_BYTES = 80
_CARRY_ON = 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def slow_down(wait_s: Path, noted: Path) -> None:
    """Let each fsync of this process take as many seconds longer as a file says; a line in `noted` tells whose it was.

    Raises:
        OSError: this kernel, or whoever runs us, does not allow it.
    """
    seccomp, slow = _NUMBERS[platform.machine()]
    listener = _filtered(seccomp, slow)
    if os.fork() == 0:
        _be_slow(listener, wait_s, noted)
    os.close(listener)


def slowed(noted: Path) -> Counter[str]:
    """How many fsyncs were slow until now, by the program whose they were."""
    try:
        return Counter(noted.read_text().split())
    except FileNotFoundError:
        return Counter()


def _filtered(seccomp: int, slow: tuple[int, ...]) -> int:
    """Hand these system calls over; the descriptor at which they arrive."""
    jumps = [(_JUMP_IF_EQUAL, len(slow) - at, 0, number) for at, number in enumerate(slow)]
    code = [(_LOAD, 0, 0, 0), *jumps, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NOTIFY)]
    data = b"".join(struct.pack("HBBI", *one) for one in code)
    kept = ctypes.create_string_buffer(data, len(data))
    program = _Program(len(code), ctypes.cast(kept, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener: int = libc.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "fsync cannot be slowed down here")
    return listener


def _be_slow(listener: int, wait_s: Path, noted: Path) -> None:
    """The life of the child: it ends with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    note = os.open(noted, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while True:
        received = bytearray(_RECEIVED_BYTES)
        try:
            fcntl.ioctl(listener, _RECEIVE, received)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT):  # Whoever called was killed meanwhile.
                continue
            os._exit(1)
        call, process_id = struct.unpack_from("QI", received)
        time.sleep(float(wait_s.read_text()))
        os.write(note, f"{_name_of(process_id)}\n".encode())
        try:
            fcntl.ioctl(listener, _SEND, struct.pack("QqiI", call, 0, 0, _CARRY_ON))
        except OSError:
            continue


def _name_of(thread_id: int) -> str:
    """The program that a thread belongs to."""
    try:
        status = Path(f"/proc/{thread_id}/status").read_text()
        group = next(line.split()[1] for line in status.splitlines() if line.startswith("Tgid:"))
        return Path(f"/proc/{group}/comm").read_text().strip().replace(" ", "_")
    except OSError:
        return "gone"
