"""What the README tells a newcomer to type works as it stands, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """The lines of the README's blocks that run `salus`, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(".venv/bin/salus")]


def test_the_five_minutes_of_the_readme_run_as_they_are_written(tmp_path: Path) -> None:
    env = {**os.environ, "SALUS_HOME": str(tmp_path / "first")}
    assert len(commands()) >= 10
    said: list[tuple[str, str]] = []
    for line in commands():
        words = line.replace(".venv/bin/salus", f"{sys.executable} -m salus.cli.main", 1)
        run = subprocess.run(
            ["bash", "-c", words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}\n{run.stderr}"
        said.append((line, run.stdout))
    before, after = (text for line, text in said if " read " in line)
    assert "documents of 1 hospital" in before
    assert "documents of 4 hospitals" in after
    assert len(before.splitlines()) < len(after.splitlines())


def test_every_command_the_readme_names_exists() -> None:
    named = set(re.findall(r"`salus ([a-z][a-z-]+)", README))

    run = subprocess.run(
        [sys.executable, "-m", "salus.cli.main", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    missing = [name for name in named if not re.search(rf"^\s+{name}\b", run.stdout, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))))
def test_every_make_target_the_readme_names_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
