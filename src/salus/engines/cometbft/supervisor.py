"""CometBFT as a child of this process: found, started, watched, stopped.

CometBFT and the application are one unit. When the application dies, CometBFT exits (with code 0) and never comes back
by itself; when CometBFT dies, an application alone decides nothing. So either's end ends both, and whoever runs the
unit starts it again.
"""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from salus.core.errors import UnavailableError

BINARY_VARIABLE: Final = "SALUS_COMETBFT"
STOP_S: Final = 5.0  # For CometBFT to end by itself before it is killed, which costs it nothing.
LOG_FILE: Final = "cometbft.log"
LOG_BYTES_MAX: Final = 16 << 20
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
        """Start it. Its log is cut when it has grown long.

        Raises:
            NoEngineError: the binary cannot be run.
        """
        path = self._folder / LOG_FILE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(descriptor).st_size > LOG_BYTES_MAX:
                os.ftruncate(descriptor, 0)
            self._process = await asyncio.create_subprocess_exec(
                str(self._binary),
                "start",
                "--home",
                ".",
                cwd=self._folder,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                umask=0o077,
            )
        except OSError as error:
            raise NoEngineError(errno=error.errno or 0) from None
        finally:
            os.close(descriptor)
        self._watch = asyncio.create_task(self._process.wait())

    @property
    def process_id(self) -> int | None:
        """Of the running CometBFT."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def ended(self) -> int:
        """Wait until it has ended; its exit code, which says little: 0 where the application went away."""
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
