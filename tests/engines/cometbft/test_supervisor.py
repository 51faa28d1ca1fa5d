"""What the supervisor does with a child's output and end; the child is a script here, a real CometBFT elsewhere."""

import asyncio
import time
from pathlib import Path

import pytest

from salus.engines.cometbft import supervisor as supervising
from salus.engines.cometbft.supervisor import CONSENSUS_FAILED, LOG_FILE, Supervisor

LONG = "x" * 1_000


def child(folder: Path, script: str) -> Supervisor:
    program = folder / "engine"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return Supervisor(folder, program)


async def ran(folder: Path, script: str) -> tuple[int, str]:
    own = child(folder, script)
    await own.start()
    code = await asyncio.wait_for(own.ended(), 20.0)
    return code, (folder / LOG_FILE).read_text()


async def test_what_it_says_is_in_the_log_up_to_its_last_word(tmp_path: Path) -> None:
    code, said = await ran(tmp_path, f"echo {LONG}; echo wrong >&2; printf 'last word'; exit 3")
    assert (code, said) == (3, f"{LONG}\nwrong\nlast word")
    assert (tmp_path / LOG_FILE).stat().st_mode & 0o177 == 0


@pytest.mark.parametrize(
    "said",
    ["echo 'E[2026] CONSENSUS FAILURE!!! err=...'", "printf 'CONSENSUS FAI'; sleep 0.3; printf 'LURE!!! err=...\\n'"],
)
async def test_a_child_that_decides_nothing_any_more_is_ended(tmp_path: Path, said: str) -> None:
    """CometBFT goes on as a node without a vote; its log says why, and its end is nobody's success."""
    code, log = await ran(tmp_path, f"{said}; echo then; exec sleep 600")
    assert code == CONSENSUS_FAILED
    assert "CONSENSUS FAILURE" in log
    assert log.endswith("then\n")


async def test_its_end_after_that_is_no_success_either(tmp_path: Path) -> None:
    assert (await ran(tmp_path, "echo 'CONSENSUS FAILURE!!!'; exit 0"))[0] == CONSENSUS_FAILED


async def test_its_log_is_cut_while_it_runs_and_when_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "LOG_BYTES_MAX", 10_000)
    (tmp_path / LOG_FILE).write_text("old " * 5_000)
    _, said = await ran(tmp_path, f"for i in $(seq 100); do echo {LONG}; done; echo end")
    assert said.endswith("end\n")
    assert "old" not in said
    assert len(said) < 100_000 / 2


async def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).symlink_to("/dev/full")
    own = child(tmp_path, f"for i in $(seq 200); do echo {LONG}; done; exit 7")
    await own.start()
    assert await asyncio.wait_for(own.ended(), 20.0) == 7


async def test_it_is_asked_to_end_and_killed_if_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "STOP_S", 0.5)
    own = child(tmp_path, "trap '' TERM; echo up; while true; do sleep 0.1; done")
    await own.start()
    for _ in range(500):
        if "up" in (tmp_path / LOG_FILE).read_text():
            break
        await asyncio.sleep(0.02)
    began_s = time.monotonic()
    await own.stop()
    await own.stop()
    assert own.process_id is None
    assert time.monotonic() - began_s < 10.0


@pytest.mark.parametrize("kept", ["CURRENT", "CURRENT.bak", "000001.ldb", "000002.log", "elsewhere"])
async def test_a_database_that_may_hold_something_is_never_removed(tmp_path: Path, kept: str) -> None:
    database = tmp_path / "data" / "blockstore.db"
    database.mkdir(parents=True)
    for name in ("LOCK", "MANIFEST-000000", kept):
        (database / name).touch()
    await ran(tmp_path, "exit 0")
    assert (database / kept).exists()
