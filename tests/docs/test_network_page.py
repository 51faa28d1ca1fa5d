"""What docs/network.md tells the IT of five hospitals to type works as it stands, each on a machine of its own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apart import needs_cometbft
from tests.support.machines import Machines, machines

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "network.md").read_text()
_BLOCK = re.compile(r"```sh\n# on ([a-z-]+)\n(.*?)```", re.DOTALL)
_ADDRESSES = re.compile(r" --listen \S+ --port \d+")  # Of machines that are not this one.
COMMAND_S = 180


def blocks() -> list[tuple[str, list[str]]]:
    """On whose machine, and what is typed there."""
    return [(name, text.splitlines()) for name, text in _BLOCK.findall(PAGE)]


@pytest.fixture
def hosts(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Machines]:
    with machines(tmp_path, lambda: tuple(capfdbinary.readouterr())) as made:  # type: ignore[arg-type,return-value]
        yield made


def test_every_block_of_the_page_says_on_whose_machine_it_is_typed() -> None:
    assert PAGE.count("```sh\n") == len(blocks())
    assert {name for name, _ in blocks()} == {"mercy", "st-luke", "lakeside", "northgate", "southport"}


@needs_cometbft
def test_five_hospitals_do_what_the_page_says(hosts: Machines) -> None:
    words: dict[str, str] = {}
    for name, lines in blocks():
        for line in lines:
            if line == "salus up":
                hosts.up(name)
                continue
            if line.startswith("salus leave"):
                _is_member(hosts, name)
            _learn(hosts, line, words)
            said = _typed(hosts, name, line, words)
            code = re.search(r"Show this code at its desk: (\S+)", said)
            words |= {} if code is None else {"CODE": code[1]}
    end = time.monotonic() + COMMAND_S
    while "southport has left the network" not in hosts.log("southport"):
        assert time.monotonic() < end, hosts.log("southport")
        time.sleep(0.5)


def _is_member(hosts: Machines, name: str) -> None:
    """Wait until a newcomer's own ledger has it as a member, as `salus up` tells."""
    end = time.monotonic() + COMMAND_S
    while name not in json.dumps(hosts.json(name, "members")):
        assert time.monotonic() < end, hosts.log(name)
        time.sleep(0.5)


def _typed(hosts: Machines, name: str, line: str, words: dict[str, str]) -> str:
    line = _ADDRESSES.sub("", line)
    for word, meant in words.items():
        line = re.sub(rf"\b{word}\b", meant, line)
    command = re.sub(r"^salus\b", f"{sys.executable} -m salus.cli.main", line)
    environment = {"SALUS_HOME": str(hosts.folder(name)), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    for _ in range(2 if " status" in line or " read " in line else 1):  # Both may come before all is ready.
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=hosts.mail,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if run.returncode == 0:
            return run.stdout
        time.sleep(10)
    assert " status" in line, f"{name}: {line}\n{run.stdout}\n{run.stderr}"
    return run.stdout


def _learn(hosts: Machines, line: str, words: dict[str, str]) -> None:
    """What people read off their screens and tell each other."""
    if "CHAIN" in line:
        words["CHAIN"] = str(hosts.json("mercy", "ledger", "show")["chain"])
    if "PROPOSAL" in line:
        words["PROPOSAL"] = _proposal(hosts)


def _proposal(hosts: Machines) -> str:
    """The one that is to be decided, as soon as Mercy's ledger has it."""
    end = time.monotonic() + COMMAND_S
    while not (found := hosts.json("mercy", "proposals")["proposals"]):
        assert time.monotonic() < end, "nothing is to be decided"
        time.sleep(0.2)
    (one,) = found  # type: ignore[misc]
    return str(one["id"])
