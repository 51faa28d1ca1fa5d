"""What the operator's guide tells to type works as it stands, from top to bottom, on real processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from salus.cli.app import app
from tests.support.apart import needs_cometbft

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "operating.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
TIMEOUT_S = 900.0
BEGIN = """set -eux
trap '[ -z "$(jobs -pr)" ] || { kill $(jobs -pr); wait; }' EXIT
"""


def commands() -> set[str]:
    """Every command there is, with its words."""
    found: set[str] = set()
    waiting = [("", typer.main.get_group(app))]
    while waiting:
        words, group = waiting.pop()
        for name, command in group.commands.items():
            found.add(f"{words}{name}")
            if hasattr(command, "commands"):
                waiting.append((f"{words}{name} ", command))
    return found


@needs_cometbft
def test_every_block_runs_as_it_is_written(tmp_path: Path) -> None:
    assert len(BLOCKS) >= 10
    script = tmp_path / "guide.sh"
    script.write_text(BEGIN + "\n".join(BLOCKS))
    program = tmp_path / "bin" / "salus"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m salus.cli.main \"$@\"\n")
    program.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    env.pop("SALUS_HOME", None)
    with subprocess.Popen(["bash", str(script)], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as shell:
        try:
            _, told = shell.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            shell.terminate()  # Its trap ends what it started.
            _, told = shell.communicate()
    assert shell.returncode == 0, told[-6_000:]
    said = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    assert "northgate  gateway  yes" in said["status.txt"]
    assert said["trouble.txt"].startswith("error: mercy: others may read its keys: keys/tls has mode 644.")
    assert "chmod 600" in said["trouble.txt"]
    assert "The network is down." in (tmp_path / "up.log").read_text()
    assert [line for line in said["rest.txt"].splitlines() if line.startswith(("error", "warning"))] == []


@pytest.mark.parametrize("named", sorted(set(re.findall(r"salus ((?:[a-z][a-z-]* ?)+)", GUIDE))))
def test_every_command_the_guide_names_exists(named: str) -> None:
    known, words = commands(), named.split()
    assert any(" ".join(words[:count]) in known for count in (1, 2, 3)), named
