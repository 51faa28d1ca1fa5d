"""The page about backups tells what works: its commands run as they stand, on a network in a fresh folder."""

import re
import subprocess
import sys
from pathlib import Path

from salus.cli.told import TO_DO
from salus.node.observing.findings import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "backup.md").read_text()
PLACES = ("/srv/", "/backups/", "/etc/salus/")


def commands() -> list[str]:
    """The lines of all blocks that are marked as shell, in the order in which the page's story needs them."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    first = next(line for line in lines if line.startswith("salus backup /backups/monday"))
    return [first, *(line for line in lines if line != first)]  # Nothing can be restored before it was taken.


def run(line: str, folder: Path) -> str:
    for place in PLACES:
        line = line.replace(place, f"{folder}{place}")
    words = line.replace("salus ", f"{sys.executable} -m salus.cli.main ", 1)
    done = subprocess.run(["bash", "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_commands_of_the_page_run_as_they_are_written(tmp_path: Path) -> None:
    for place in PLACES:
        (tmp_path / place.strip("/")).mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/salus/passphrase").write_text("six words drawn by mere chance\n")
    run("salus new --home /srv/salus", tmp_path)
    run("salus patient new --writer mercy --writer st-luke --home /srv/salus", tmp_path)
    assert len(commands()) == 9
    for line in commands():
        run(line, tmp_path)
    assert "patient:1" in run("salus patient list --home /srv/restored-2", tmp_path)


def test_what_it_quotes_is_what_the_commands_say() -> None:
    told = {kind.says for kind in KINDS.values()}
    quoted = set(re.findall(r"^\| \*(.+?)\* \|", PAGE, re.MULTILINE))
    assert quoted
    assert quoted <= told
    for code in re.findall(r"`((?:backup|keeper)\.[a-z_]+)`", PAGE):
        assert code in TO_DO or code == "keeper.db", code
