"""Formats of a database: newer ones are refused, older ones grow, and a crash leaves one or the other whole."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.keeper.formats import FORMAT, STEPS, FormatError, prepare
from salus.keeper.store import META, SubjectStore, metadata, sqlite_engine
from salus.sdk.author_store import AuthorStore
from tests.conftest import Database
from tests.keeper.first_format import CONTEXT, SECRET, TAG, write_first_format

KEK = bytes(range(32))


def dumped(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as disk:
        return list(disk.iterdump())


@pytest.mark.parametrize("found", [0, FORMAT + 1, 250])
def test_a_newer_format_and_one_that_no_step_leads_from_are_refused_and_left_alone(tmp_path: Path, found: int) -> None:
    path = tmp_path / "keeper.db"
    write_first_format(path, KEK)
    with closing(sqlite3.connect(path)) as disk:
        disk.execute("UPDATE meta SET value = ? WHERE name = 'format'", (bytes([found]),))
        disk.commit()
    before = dumped(path)
    with pytest.raises(FormatError) as error:
        SubjectStore(sqlite_engine(path), KEK)
    assert error.value.facts == {"found": found, "expected": FORMAT}
    assert dumped(path) == before


def test_the_first_format_is_brought_up_to_date_and_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "keeper.db"
    wrapped = write_first_format(path, KEK)
    store = SubjectStore(sqlite_engine(path), KEK)
    assert store.unwrapped(TAG, wrapped, CONTEXT) == SECRET
    assert (store.meta("format"), store.is_reconciled) == (bytes([FORMAT]), True)
    store.close()
    SubjectStore(sqlite_engine(path), KEK).close()


def test_a_store_of_the_second_format_that_was_in_use_may_serve_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "keeper.db"
    SubjectStore(sqlite_engine(path), KEK).close()
    with closing(sqlite3.connect(path)) as disk:
        disk.execute("UPDATE meta SET value = x'02' WHERE name = 'format'")
        disk.commit()
    store = SubjectStore(sqlite_engine(path), KEK)
    assert (store.meta("format"), store.is_reconciled) == (bytes([FORMAT]), True)
    store.close()


def test_an_older_database_has_the_tables_and_indices_of_a_new_one_afterwards(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    write_first_format(old, KEK)
    for path in (old, new):
        AuthorStore(sqlite_engine(path), KEK).close()
    shapes = []
    for path in (old, new):
        inspector = sa.inspect(sa.create_engine(f"sqlite:///{path}"))
        shapes.append(
            {
                table: (
                    [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
                    inspector.get_pk_constraint(table)["constrained_columns"],
                    sorted((i["name"], tuple(i["column_names"]), i["unique"]) for i in inspector.get_indexes(table)),
                )
                for table in inspector.get_table_names()
            }
        )
    assert shapes[0] == shapes[1]


def test_a_new_store_is_not_reconciled_until_somebody_says_so(database: Database) -> None:
    store = SubjectStore(database.engine(), KEK)
    assert not store.is_reconciled
    store.set_reconciled(True)
    store.close()
    store = SubjectStore(database.engine(), KEK)
    assert store.is_reconciled
    store.close()


def test_steps_run_in_order_in_one_transaction_and_a_failure_leaves_the_old_form(database: Database) -> None:
    SubjectStore(database.engine(), KEK).close()
    done: list[int] = []

    def good(connection: sa.engine.Connection) -> None:
        done.append(FORMAT)
        connection.execute(sa.text("CREATE TABLE added (a INTEGER)"))

    def bad(_connection: sa.engine.Connection) -> None:
        done.append(FORMAT + 1)
        raise RuntimeError

    engine = database.engine()
    with engine.connect() as connection:
        steps = {**STEPS, FORMAT: good, FORMAT + 1: bad}
        with pytest.raises(RuntimeError):
            prepare(connection, metadata, {}, steps, FORMAT + 2)
        assert done == [FORMAT, FORMAT + 1]
        assert not sa.inspect(connection).has_table("added")
        query = sa.select(META.c.value).where(META.c.name == "format")
        assert connection.execute(query).scalar() == bytes([FORMAT])
        connection.rollback()
        prepare(connection, metadata, {}, steps, FORMAT + 1)
        assert sa.inspect(connection).has_table("added")
        assert connection.execute(query).scalar() == bytes([FORMAT + 1])
    engine.dispose()


CRASH = """
import os, sys
from pathlib import Path
from salus.keeper import formats
from salus.keeper.store import SubjectStore, sqlite_engine
def crash(connection):
    formats._say_reconciled(connection)
    os.kill(os.getpid(), 9)
formats.STEPS = {**formats.STEPS, 1: crash}
formats.prepare.__defaults__ = (formats.STEPS, formats.FORMAT)
SubjectStore(sqlite_engine(Path(sys.argv[1])), bytes(range(32)))
"""


def test_a_process_killed_in_the_middle_of_a_step_leaves_the_old_form_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "keeper.db"
    write_first_format(path, KEK)
    before = dumped(path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    killed = subprocess.run([sys.executable, "-c", CRASH, str(path)], env=environment, timeout=60, check=False)
    assert killed.returncode == -9
    assert dumped(path) == before
    SubjectStore(sqlite_engine(path), KEK).close()
    assert dumped(path) != before
