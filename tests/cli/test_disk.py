"""An import whose disk is full ends with a clear word; with room again, the same command takes the rest, once."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from salus.cli import sample

KIB = 1024


def salus(home: Path, *words: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "salus.cli.main", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, preexec_fn=before)


@pytest.mark.parametrize(("file_kib_max", "codes"), [(150, {5}), (300, {5}), (600, {1, 5})])
def test_an_import_on_a_full_disk_says_so_and_finishes_later(
    tmp_path: Path, file_kib_max: int, codes: set[int]
) -> None:
    """No file may grow beyond a limit: to each store that is a disk without room, at another moment of the import."""

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_kib_max * KIB, file_kib_max * KIB))

    assert salus(tmp_path / "n", "new").returncode == 0
    first = salus(tmp_path / "n", "import", str(sample.FOLDER), before=full)
    assert first.returncode in codes
    assert "Traceback" not in first.stderr
    assert "[keeper.disk]" in first.stderr or "[sdk.too_few_seats]" in first.stderr
    again = salus(tmp_path / "n", "import", str(sample.FOLDER), "--json")
    report = json.loads(again.stdout.splitlines()[-1])
    assert again.returncode == 0
    assert report["records_sealed"] + report["repeated"] == 334
    assert report["records_sealed"] == report["records_durable"]
    once_more = json.loads(salus(tmp_path / "n", "import", str(sample.FOLDER), "--json").stdout.splitlines()[-1])
    assert (once_more["records_sealed"], once_more["repeated"]) == (0, 334)
    assert salus(tmp_path / "n", "ledger", "check").returncode == 0
