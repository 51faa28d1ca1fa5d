"""The unit file and the container file: what matters in them is there, and stays."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from salus.cli.app import app
from salus.engines.cometbft.supervisor import OUR_MAIN, STOCK
from salus.node import site
from salus.node.processes import GAVE_UP
from salus.node.site import PORTS, SITE_FILE, Site, host_and_port, read_site, site_at
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


FIRST_PORT = 7101  # Of the example in `site.py`, which the container file and Prometheus follow.


def example(folder: Path) -> Site:
    """The `member.toml` that `site.py` shows."""
    shown = re.findall(r"^    (.+)$", site.__doc__ or "", flags=re.MULTILINE)
    (folder / SITE_FILE).write_text("\n".join(shown))
    return read_site(folder)


def test_the_example_has_the_ports_that_salus_init_gives(tmp_path: Path) -> None:
    given = site_at("127.0.0.1", list(range(FIRST_PORT, FIRST_PORT + PORTS)))
    shown = example(tmp_path)
    for name in ("engine", "rpc", "keeper", "gateway", "ledger_operator", "keeper_operator", "gateway_operator"):
        assert getattr(shown, name) == getattr(given, name), name


def test_the_container_shows_the_ports_of_the_example_and_asks_its_keeper(tmp_path: Path) -> None:
    shown = example(tmp_path)
    ports = [host_and_port(address)[1] for address in (shown.engine, shown.rpc, shown.keeper, shown.gateway)]
    assert ("EXPOSE", " ".join(map(str, ports))) in instructions()
    [checked] = [text for word, text in instructions() if word == "HEALTHCHECK"]
    assert f"http://127.0.0.1:{shown.keeper_operator}/healthz" in checked
    text = CONTAINER.read_text()
    assert f"--port {FIRST_PORT} " in text
    assert re.findall(r"--publish (\d+):(\d+)", text) == [(str(port), str(port)) for port in ports]


def test_prometheus_asks_the_operator_ports_of_the_example(tmp_path: Path) -> None:
    shown = example(tmp_path)
    [job] = json.loads((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    ports = (shown.ledger_operator, shown.keeper_operator, shown.gateway_operator)
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{port}" for port in ports]}]


def test_the_container_builds_our_engine_and_the_stock_one_of_one_version() -> None:
    found = instructions()
    [version] = [text.partition("=")[2] for word, text in found if word == "ARG" and text.startswith("COMETBFT")]
    required = re.search(r"github.com/cometbft/cometbft (v\S+)", (ROOT / "engine/go.mod").read_text())
    assert required is not None
    assert required[1] == version
    assert f"wanted={version}\n" in (ROOT / "tools/build_engine").read_text()
    built = [text for word, text in found if word == "RUN" and "go build" in text]
    assert len(built) == 1
    last = found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]
    for name in (OUR_MAIN, STOCK):
        assert ("COPY", f"--from=engine /out/{name} /usr/local/bin/{name}") in last
    assert f"-o /out/{OUR_MAIN} " in built[0]


def test_the_container_installs_what_the_lock_file_names_and_copies_no_secret() -> None:
    found = instructions()
    installs = [text for word, text in found if word == "RUN" and "pip install" in text]
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    copied = [text.split()[0] for word, text in found if word in ("COPY", "ADD") and "--from" not in text]
    assert copied == ["engine", "requirements/runtime.txt", "pyproject.toml", "src"]
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
