"""Every contract's README, and the machine's, lists every code with the words of its error."""

import importlib
import inspect
from pathlib import Path

import pytest

import salus
from salus.core.errors import SalusError

CONTRACTS = ("members", "credentials", "records", "cells", "reads")
ROOMS = (*(f"contracts/{contract}" for contract in CONTRACTS), "machine")


def errors_of(room: str) -> list[type[SalusError]]:
    module = importlib.import_module(f"salus.{room.replace('/', '.')}.errors")
    return [
        error
        for error in vars(module).values()
        if inspect.isclass(error) and issubclass(error, SalusError) and error.__module__ == module.__name__
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_the_readme_lists_every_error_in_checking_order(room: str) -> None:
    lines = (Path(salus.__file__).parent / room / "README.md").read_text().splitlines()
    codes = [error.code for error in errors_of(room)]
    rows = [line for line in lines if line.startswith("| `") and line.count("|") == 3]
    assert [code for row in rows if (code := row.split("`")[1]) in codes] == codes
    for error in errors_of(room):
        said = (inspect.getdoc(error) or "").split("\n")[0]
        assert any(error.code in line and said in line for line in lines)


def test_no_code_is_used_twice() -> None:
    codes = [error.code for room in ROOMS for error in errors_of(room)]
    assert len(set(codes)) == len(codes)
