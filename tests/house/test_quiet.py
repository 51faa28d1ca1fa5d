"""Each fault that the check of quiet rooms promises to find is planted once and must be found."""

import pytest

from tools.check_quiet import ALLOWED, ROOT, check_rooms, check_source, folders_without_index, quiet_rooms

LOUD = [
    ("import os", "os"),
    ("import os.path", "os.path"),
    ("from pathlib import Path", "pathlib"),
    ("import socket", "socket"),
    ("import time", "time"),
    ("from time import monotonic", "time"),
    ("import random", "random"),
    ("import secrets", "secrets"),
    ("import threading", "threading"),
    ("import asyncio", "asyncio"),
    ("import subprocess", "subprocess"),
    ("import tempfile", "tempfile"),
    ("import logging", "logging"),
    ("from concurrent.futures import ThreadPoolExecutor", "concurrent.futures"),
    ("def f():\n    import lmdb", "lmdb"),
    ("from datetime import datetime\nat = datetime.now()", ".now"),
    ("from datetime import date\nday = date.today()", ".today"),
    ("from datetime import datetime\nat = datetime.fromtimestamp(0)", ".fromtimestamp"),
    ("text = open('x').read()", "open()"),
    ("print('x')", "print()"),
    ("name = input()", "input()"),
    ("n = hash('x')", "hash()"),
    ("n = id(x)", "id()"),
    ("n = float('1')", "float()"),
    ("n = 1.5", "float"),
    ("n = 1e3", "float"),
    ("n = a / b", "/"),
    ("n = 1\nn /= 2", "/"),
    ("for x in {1, 2}:\n    pass", "set order"),
    ("for x in set(items):\n    pass", "set order"),
    ("for x in frozenset(items):\n    pass", "set order"),
    ("for x in {y for y in items}:\n    pass", "set order"),
    ("for x in set(items) - other:\n    pass", "set order"),
    ("for x in set(items).union(other):\n    pass", "set order"),
    ("found = [x for x in set(items)]", "set order"),
    ("found = list({1, 2})", "set order"),
    ("found = tuple(set(items))", "set order"),
    ("text = ','.join(set(items))", "set order"),
    ("f(*set(items))", "set order"),
    ("async def f():\n    return 1", "async"),
    ("def f():\n    global x", "global"),
]

QUIET = [
    "for x in sorted(set(items)):\n    pass",
    "n = 7 // 2",
    "known = 3 in {1, 2, 3}",
    "from datetime import date\nday = date(2026, 1, 1)",
    "class P:\n    async def call(self) -> bytes:\n        '''Send it.'''",
    "def f(timeout_s: float) -> None:\n    pass",
    "from salus.core.ids import Height",
]


@pytest.mark.parametrize(("source", "what"), LOUD)
def test_a_loud_line_is_found(source: str, what: str) -> None:
    assert what in {finding.what for finding in check_source(source, "machine/sample.py")}


@pytest.mark.parametrize("source", QUIET)
def test_a_quiet_line_is_let_through(source: str) -> None:
    assert check_source(source, "machine/sample.py") == []


def test_an_exception_holds_for_its_file_alone() -> None:
    loud = "async def ask():\n    return 1"
    assert check_source(loud, "core/transport.py") == []
    assert len(check_source(loud, "core/other.py")) == 1


def test_every_exception_is_still_needed() -> None:
    for path, what in ALLOWED:
        source = (ROOT / "src/salus" / path).read_text(encoding="utf-8")
        renamed = check_source(source, f"elsewhere/{path}")
        assert what in {finding.what for finding in renamed}, f"{path} no longer needs {what}"


def test_a_loud_file_in_a_subfolder_is_found(tmp_path) -> None:
    folder = tmp_path / "contracts" / "cells"
    folder.mkdir(parents=True)
    (folder / "reads.py").write_text("import os\n")
    found = check_rooms(tmp_path, ["contracts"])
    assert [(finding.path, finding.line, finding.what) for finding in found] == [("contracts/cells/reads.py", 1, "os")]


def test_a_folder_without_an_index_is_found(tmp_path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "store.py").write_text("")
    (tmp_path / "__init__.py").write_text("")
    assert folders_without_index(tmp_path) == ["vault"]


def test_the_quiet_rooms_of_this_tree_are_quiet() -> None:
    assert check_rooms(ROOT / "src/salus", quiet_rooms()) == []
