"""A forbidden import, planted in a copy of the house with empty rooms, breaks the contract that forbids it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.check_quiet import ROOT, quiet_rooms

ROOMS = ["core", "crypto", "state", "contracts", "machine", "engines", "keeper", "vault"]
ROOMS += ["sdk", "node", "fhir", "portal", "cli"]
CONTRACTS = ["members", "credentials", "records", "cells", "consent", "reads"]

BROKEN = [
    ("core", "salus.crypto", "smaller number"),
    ("crypto", "salus.state", "smaller number"),
    ("machine", "salus.engines", "smaller number"),
    ("keeper", "salus.vault", "smaller number"),
    ("portal", "salus.fhir", "smaller number"),
    ("sdk", "salus.node", "smaller number"),
    ("contracts/members", "salus.contracts.cells", "look down"),
    ("contracts/consent", "salus.contracts.reads", "look down"),
    ("fhir", "salus.keeper", "sdk alone"),
    ("portal", "salus.contracts.records", "sdk alone"),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every room of the design, each with one empty module."""
    root = tmp_path_factory.mktemp("house")
    for folder in ["", *ROOMS, *(f"contracts/{name}" for name in CONTRACTS)]:
        place = root / "src/salus" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.py").touch()
        (place / "page.py").touch()
    for container in ["", "contracts"]:  # Exhaustive: every child of these must be a layer.
        (root / "src/salus" / container / "page.py").unlink()
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def lint(house: Path) -> tuple[int, str]:
    """The exit code and words of the check of imports, run in a house."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=house, env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_orderly_house_passes(house: Path) -> None:
    code, said = lint(house)
    assert code == 0, said


@pytest.mark.parametrize(("room", "imported", "contract"), BROKEN)
def test_a_forbidden_import_is_found(house: Path, room: str, imported: str, contract: str) -> None:
    page = house / "src/salus" / room / "page.py"
    page.write_text(f"import {imported}.page\n")
    try:
        code, said = lint(house)
    finally:
        page.write_text("")
    assert code == 1, said
    assert any(contract in line and "BROKEN" in line for line in said.splitlines()), said


def test_a_room_that_no_layer_names_is_found(house: Path) -> None:
    stray = house / "src/salus/attic"
    stray.mkdir()
    (stray / "__init__.py").touch()
    try:
        code, said = lint(house)
    finally:
        shutil.rmtree(stray)
    assert code == 1
    assert "attic" in said


def test_the_quiet_rooms_are_the_five_lowest() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [layer.strip("()") for layer in reversed(layers[-5:])] == quiet_rooms()
