"""A network whose members run as processes of their own on this machine, for tests that act on it from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from salus.engines.cometbft.supervisor import NoEngineError, find_binary

UP_S = 90.0
DOWN_S = 60.0
SAID = "up.log"


def _has_cometbft() -> bool:
    try:
        find_binary()
    except NoEngineError:
        return False
    return True


needs_cometbft = pytest.mark.skipif(not _has_cometbft(), reason="CometBFT IS NOT INSTALLED: `make engine` builds it")


@contextmanager
def apart(folder: Path, *options: str) -> Iterator[int]:
    """Run the network of a folder with `salus up`; gives the process id of what supervises it."""
    process = started(folder, *options)
    try:
        _wait(process, folder / SAID)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DOWN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def started(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    """`salus up` as a process that has only begun; what it says lies in the folder."""
    with (folder / SAID).open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "salus.cli.main", "up", "--home", str(folder), *options],
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )


def _wait(process: "subprocess.Popen[bytes]", said: Path) -> None:
    give_up = time.monotonic() + UP_S
    while "is up: " not in said.read_text():
        assert process.poll() is None, f"it ended: {said.read_text()}"
        assert time.monotonic() < give_up, f"not up in {UP_S} s: {said.read_text()} {_logs(said.parent)}"
        time.sleep(0.1)


def _logs(folder: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text()[-2_000:]}" for path in sorted((folder / "logs").glob("*.log")))
