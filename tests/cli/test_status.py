"""`salus status`: what is wrong is named with what to do; the exit code says whether all serve."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from rich.text import Text

from salus.cli.home import found_home
from salus.cli.main import main
from salus.cli.status import COLUMNS, row
from salus.node.observing import parts_here
from salus.node.observing.findings import KINDS
from salus.node.observing.judging import CHECKS, Status, judged, read_figures, status_from
from tests.cli.test_up import up

GOOD = """
salus_build_info{part="keeper",version="0.1.0"} 1
salus_ready{check="view_fresh",member="mercy",part="keeper"} 1
salus_ready{check="store_open",member="mercy",part="keeper"} 1
salus_height{member="mercy",part="keeper"} 40
salus_view_age_seconds{member="mercy",part="keeper"} 3.5
salus_store_bytes{member="mercy",part="keeper",store="keeper.db"} 1048576
salus_store_bytes{member="mercy",part="keeper",store="vault"} 1048576
"""
MERCY = [("mercy", "keeper")]


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_a_check_that_does_not_hold_is_said_with_what_to_do(check: str) -> None:
    found = judged(MERCY, read_figures(GOOD + f'salus_ready{{check="{check}",member="mercy",part="keeper"}} 0\n'), {})
    assert not found.is_ready
    assert [one.code for one in found.wrong] == [CHECKS[check]]
    assert found.wrong[0].what == KINDS[CHECKS[check]].says
    assert found.wrong[0].to_do


def test_every_check_of_readiness_has_its_finding() -> None:
    named = re.findall(r'"([a-z_]+)", lambda', Path(parts_here.__file__).read_text())
    assert len(named) >= 8
    assert set(named) <= set(CHECKS)
    assert set(CHECKS.values()) <= set(KINDS)


def test_a_part_that_does_not_answer_is_not_ready() -> None:
    found = judged(MERCY, read_figures(""), {("mercy", "keeper"): 7102})
    assert not found.is_ready
    assert "logs/keeper-mercy.log" in found.wrong[0].to_do


def test_a_part_that_says_nothing_of_itself_is_not_ready() -> None:
    assert not judged(MERCY, read_figures('salus_height{member="mercy",part="keeper"} 40'), {}).is_ready
    assert not judged([], {}, {}).is_ready


def test_who_is_behind_and_whom_nobody_reaches_is_said() -> None:
    text = GOOD + 'salus_peer_away{member="mercy",part="keeper",peer="st-luke"} 1\n'
    text += 'salus_height{member="st-luke",part="keeper"} 90\n'
    found = judged([*MERCY, ("st-luke", "keeper")], read_figures(text), {})
    assert {one.what for one in found.wrong if one.member == "mercy"} == {
        "it is 50 blocks behind",
        "st-luke does not answer it",
    }


def test_a_part_that_serves_is_shown_with_its_figures() -> None:
    found = judged(MERCY, read_figures(GOOD), {})
    assert found.is_ready
    assert found.wrong == ()
    shown = dict(zip(COLUMNS, row(found.parts[0]), strict=True))
    assert (shown["ready"], shown["height"], shown["age"], shown["MiB"]) == ("yes", "40", "4 s", "2.0")
    assert shown["version"] == "0.1.0"
    assert status_from(json.loads(json.dumps(found.as_json))) == found


def test_an_unready_network_is_not_ready_as_json_either() -> None:
    assert Status((), ()).as_json["ready"] is False


def test_a_folder_without_a_network_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--home", str(tmp_path)]) == 3
    assert "[node.no_network]" in capfd.readouterr().err


def test_a_network_that_is_not_up_is_told_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found_home(tmp_path / "network")
    assert main(["status", "--home", str(tmp_path / "network")]) == 1
    assert "no network is up" in capfd.readouterr().out
    assert main(["status", "--json", "--home", str(tmp_path / "network")]) == 1
    assert json.loads(capfd.readouterr().out)["wrong"][0]["to_do"] == "salus up"


def test_members_that_run_apart_and_are_down_are_all_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    found_home(folder, apart=True)
    assert main(["status", "--json", "--home", str(folder)]) == 1
    said = json.loads(capfd.readouterr().out)
    assert len(said["parts"]) == len(said["wrong"]) == 12
    (folder / "members" / "mercy" / "member.toml").write_text("")
    assert main(["status", "--home", str(folder)]) == 6
    assert "[node.site]" in capfd.readouterr().err


def test_a_network_in_one_process_that_is_up_is_ready(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    found_home(folder)
    with up(folder):
        assert main(["status", "--home", str(folder)]) == 0
        assert "northgate  gateway  yes" in capfd.readouterr().out
        assert main(["status", "--json", "--home", str(folder)]) == 0
        said = json.loads(capfd.readouterr().out)
    assert said["ready"] is True
    assert {part["part"] for part in said["parts"]} == {"ledger", "keeper", "gateway"}


# The live table.

ROWS, COLUMNS_WIDE, COLUMNS_NARROW = 60, 150, 80
WAIT_S = 30.0


class Terminal:
    """A terminal of a given width, with `salus status` in it."""

    def __init__(self, folder: Path, columns: int) -> None:
        self._fd, inner = pty.openpty()
        self.resize(columns)
        command = (sys.executable, "-m", "salus.cli.main", "status", "--home", str(folder))
        environment = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
        }
        self.process = subprocess.Popen(
            command,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**environment, "TERM": "xterm"},
            preexec_fn=_own_terminal,
        )
        os.close(inner)
        self.said = ""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def press(self, key: bytes) -> None:
        os.write(self._fd, key)

    def shows(self, *words: str) -> str:
        """What is drawn, from the last call on until all of this is there."""
        deadline, drawn = time.monotonic() + WAIT_S, ""
        while not all(word in drawn for word in words):
            assert time.monotonic() < deadline, drawn
            drawn += self._read(0.2)
        return drawn

    def rest(self) -> str:
        """All that is still drawn until it ends."""
        drawn, deadline = "", time.monotonic() + WAIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            drawn += self._read(0.2)
        return drawn + self._read(0.2)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def _read(self, seconds: float) -> str:
        with suppress(OSError):  # Its other end is closed.
            if select.select([self._fd], [], [], seconds)[0]:
                return os.read(self._fd, 65_536).decode(errors="replace")
        return ""


def _own_terminal() -> None:
    """Let keys that are pressed there be signals to this process."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(folder: Path, columns: int) -> Iterator[Terminal]:
    made = Terminal(folder, columns)
    try:
        yield made
    finally:
        made.close()


def widest(drawn: str) -> int:
    """The longest line, without what only moves or colours."""
    return max(len(Text.from_ansi(line).plain.rstrip()) for line in re.split(r"[\r\n]+", drawn))


@pytest.mark.parametrize("columns", [COLUMNS_WIDE, COLUMNS_NARROW])
def test_the_table_is_drawn_anew_and_ctrl_c_ends_it_in_order(tmp_path: Path, columns: int) -> None:
    folder = tmp_path / "network"
    found_home(folder)
    with terminal(folder, columns) as screen:
        assert "salus up" in screen.shows("no network is up")
        with up(folder) as process:
            drawn = screen.shows("northgate", "gateway", "yes")
            assert widest(drawn) <= columns
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
            screen.shows("no network is up")
        screen.press(b"\x03")
        assert "Traceback" not in screen.rest()
        assert screen.process.wait(WAIT_S) == 0
