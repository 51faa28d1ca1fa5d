"""The unit file and the container file: what matters in them is there, and stays."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from salus.cli.app import app
from salus.node.processes import GAVE_UP
from tools.check_quiet import ROOT

UNIT = ROOT / "deploy" / "systemd" / "salus@.service"
CONTAINER = ROOT / "deploy" / "Containerfile"

Directives = dict[str, dict[str, list[str]]]


def unit() -> Directives:
    """Sections, their directives, and every value each is given."""
    found: Directives = {}
    section: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), defaultdict(list))
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section[name].append(value)
    return found


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the container file with its arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINER.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], " ".join(line.split()[1:])) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("directive", "value"),
    [
        ("KillMode", "mixed"),  # The supervisor stops the others in order.
        ("Restart", "on-failure"),
        ("User", "salus"),
        ("UMask", "0077"),
        ("StateDirectory", "salus/%i"),
        ("StateDirectoryMode", "0700"),
        ("LimitCORE", "0"),
        ("MemorySwapMax", "0"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("ProtectProc", "invisible"),
        ("SystemCallArchitectures", "native"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ],
)
def test_the_unit_is_confined_and_stops_in_order(directive: str, value: str) -> None:
    assert unit()["Service"][directive] == [value]


def test_the_unit_has_the_sections_of_a_service_of_one_member() -> None:
    found = unit()
    assert list(found) == ["Unit", "Service", "Install"]
    assert found["Service"]["ExecStart"] == ["/usr/bin/env salus up --home ${STATE_DIRECTORY}"]
    assert found["Unit"]["ConditionPathExists"] == ["/var/lib/salus/%i/genesis"]
    assert found["Install"]["WantedBy"] == ["multi-user.target"]
    assert not any("root" in value for values in found["Service"].values() for value in values)


def test_the_unit_waits_longer_for_the_end_than_the_supervisor_and_leaves_what_needs_the_operator() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"][0]) >= 4 * 15 + 15  # Four processes, each with its time to end.
    assert str(GAVE_UP) in service["RestartPreventExitStatus"][0].split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_nothing_unknown_in_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "salus@mercy.service"
    copy.write_text(UNIT.read_text())
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "salus@" in line]
    assert [line for line in said if "Unknown" in line or "Failed to parse" in line or "Invalid" in line] == []


def test_the_container_has_three_stages_and_runs_as_nobody_in_particular() -> None:
    found = instructions()
    assert [text for word, text in found if word == "FROM"] == [
        "${GO_IMAGE} AS engine",
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE} AS member",
    ]
    last = found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]
    users = [text for word, text in last if word == "USER"]
    assert len(users) == 1
    assert not users[0].startswith(("0", "root"))
    words = [word for word, _ in last]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert not any(word == "RUN" for word in words[words.index("USER") :])
    assert ("STOPSIGNAL", "SIGTERM") in last
    assert any(word == "HEALTHCHECK" for word in words)


def test_the_container_installs_what_the_lock_file_names_and_copies_no_secret() -> None:
    found = instructions()
    installs = [text for word, text in found if word == "RUN" and "pip install" in text]
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    copied = [text.split()[0] for word, text in found if word in ("COPY", "ADD") and "--from" not in text]
    assert copied == ["requirements/runtime.txt", "pyproject.toml", "src"]
    assert all(word != "ADD" for word, _ in found)


def test_both_start_a_command_that_there_is() -> None:
    assert ("CMD", '["up", "--home", "/var/lib/salus"]') in instructions()
    found = CliRunner().invoke(app, ["up", "--help"])
    assert found.exit_code == 0
    assert "--home" in found.output


def test_what_the_container_copies_is_there() -> None:
    for word, text in instructions():
        if word == "COPY" and "--from" not in text:
            for source in text.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_neither_file_names_a_registry() -> None:
    words = [r"py" + r"pi\.", r"python" + r"hosted", r"proxy\.golang", r"docker\.io", r"ghcr\.", r"quay\.", r"--index"]
    for file in (UNIT, CONTAINER):
        assert [word for word in words if re.search(word, file.read_text())] == []
