"""CometBFT as a child of this process: found, started, watched, stopped.

CometBFT and the application are one unit. When the application dies, CometBFT exits (with code 0) and never comes back
by itself; when CometBFT dies, an application alone decides nothing. So either's end ends both, and whoever runs the
unit starts it again. CometBFT says in its log alone that consensus has failed beyond mending, as beside an application
that computes another state than the validators agreed on, and then goes on as a node that decides nothing. So what it
says passes through here, and those words end it.
"""

import asyncio
import os
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from salus.core.errors import UnavailableError

BINARY_VARIABLE: Final = "SALUS_COMETBFT"
STOP_S: Final = 5.0  # For CometBFT to end by itself before it is killed, which costs it nothing.
LOG_FILE: Final = "cometbft.log"
DATA_FOLDER: Final = "data"
LOG_BYTES_MAX: Final = 16 << 20
CONSENSUS_FAILED: Final = 70  # BSD's EX_SOFTWARE, as our own main ends.
_CONSENSUS_FAILURE: Final = b"CONSENSUS FAILURE!!!"
_UNBORN: Final = re.compile(r"LOCK|LOG|LOG\.old|MANIFEST-\d+|CURRENT\.\d+")
_LAST_WORDS_S: Final = 1.0  # For the rest of what it says of that.
_READ_BYTES: Final = 65_536
OUR_MAIN: Final = "salus-engine"  # Does not spin; it is tried first (`engine/` in the repository).
STOCK: Final = "cometbft"


class NoEngineError(UnavailableError):
    """CometBFT is not installed here: `make engine` builds it, or SALUS_COMETBFT names where it is."""

    code = "engine.not_installed"


class EngineEndedError(UnavailableError):
    """CometBFT ended, and the ledger with it; its own last words are in `cometbft.log` beside its data."""

    code = "engine.ended"


def find_binary() -> Path:
    """Where CometBFT is: what SALUS_COMETBFT names, else beside this Python, in the search path, or in Go's folder.

    Raises:
        NoEngineError: nowhere.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        if os.access(named, os.X_OK) and Path(named).is_file():
            return Path(named).resolve()
        raise NoEngineError(named=BINARY_VARIABLE)
    for name in (OUR_MAIN, STOCK):
        with suppress(NoEngineError):
            return find_named(name)
    raise NoEngineError


def find_named(name: str) -> Path:
    """Where one of the two binaries is: beside this Python, in the search path, or in Go's folder.

    Raises:
        NoEngineError: nowhere.
    """
    for folder in _folders():
        if os.access(folder / name, os.X_OK):
            return folder / name
    if found := shutil.which(name):
        return Path(found)
    raise NoEngineError(named=name)


def _folders() -> list[Path]:
    import sys

    go = os.environ.get("GOPATH", "")
    return [Path(sys.prefix) / "bin", Path(go) / "bin" if go else Path.home() / "go" / "bin"]


class Supervisor:
    """Runs CometBFT in the folder that `config.write_config` prepared. `ended` is done once it has ended."""

    def __init__(self, folder: Path, binary: Path, environment: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._binary = binary
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[int] | None = None

    async def start(self) -> None:
        """Start it. Its log is cut when it has grown long, and what never became a database is made anew.

        Raises:
            NoEngineError: the binary cannot be run.
        """
        _drop_unborn(self._folder / DATA_FOLDER)
        log = os.open(self._folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                str(self._binary),
                "start",
                "--home",
                ".",
                cwd=self._folder,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                umask=0o077,
            )
        except OSError as error:
            os.close(log)
            raise NoEngineError(errno=error.errno or 0) from None
        self._watch = asyncio.create_task(_watched(self._process, log))

    @property
    def process_id(self) -> int | None:
        """Of the running CometBFT."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def ended(self) -> int:
        """Wait until it has ended; its exit code, which says little: 0 where the application went away.

        CONSENSUS_FAILED where consensus had failed, however it ended then.
        """
        assert self._watch is not None
        return await asyncio.shield(self._watch)

    async def stop(self) -> None:
        """Ask it to end, and kill it if it does not. Stopping twice is harmless."""
        if self._process is None or self._watch is None:
            return
        for how, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
            if self._process.returncode is None:
                self._process.send_signal(how)
            await asyncio.wait((self._watch,), timeout=patience_s)
            if self._watch.done():
                return


def _drop_unborn(data: Path) -> None:
    """Remove databases whose making was cut off, which CometBFT would never open again.

    Such a one has no CURRENT yet, by which a database of goleveldb begins, so nothing was ever written into it.
    """
    for database in data.glob("*.db"):
        if all(_UNBORN.fullmatch(one.name) for one in database.iterdir()):
            shutil.rmtree(database)


async def _watched(process: asyncio.subprocess.Process, log: int) -> int:
    """Keep what a CometBFT says until it has ended, and end it once it decides nothing; see `ended`."""
    failing: asyncio.TimerHandle | None = None
    assert process.stdout is not None
    said = b""
    try:
        while data := await process.stdout.read(_READ_BYTES):
            _keep(log, data)
            said = said[1 - len(_CONSENSUS_FAILURE) :] + data
            if failing is None and _CONSENSUS_FAILURE in said:
                failing = asyncio.get_running_loop().call_later(_LAST_WORDS_S, _kill, process)
        code = await process.wait()
        return code if failing is None else CONSENSUS_FAILED
    finally:
        os.close(log)
        if failing is not None:
            failing.cancel()


def _keep(log: int, data: bytes) -> None:
    """Append to a log that is cut when it has grown long. On a full disk it is lost, and nothing else."""
    with suppress(OSError):
        if os.fstat(log).st_size > LOG_BYTES_MAX:
            os.ftruncate(log, 0)
        while data:
            data = data[os.write(log, data) :]


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
