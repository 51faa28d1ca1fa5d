"""Databases and ledgers as of one moment, copied beside whoever writes them.

A copy is a new file with live rows alone: what was erased is not in the leftover pages of a backup. It no longer says
that it is reconciled (`keeper.formats`), so whoever serves from it catches up first.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from salus.core.errors import RefusalError
from salus.engines.lmdb_store import LmdbStore
from salus.keeper.formats import RECONCILED, RECONCILING_SINCE
from salus.keeper.store import META, DiskError, reported, sqlite_engine

ROWS_AT_ONCE = 1_000


class DatabaseInUseError(RefusalError):
    """The database into which a backup should go holds something already."""

    code = "backup.database_in_use"


def copy_sqlite(source: Path, to: Path) -> None:
    """A SQLite database as it is now.

    Raises:
        DiskError: it cannot be read, or there is no room.
    """
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30.0)) as disk:
            disk.execute("VACUUM INTO ?", (str(to),))
    except sqlite3.Error as error:
        raise DiskError(reason=type(error).__name__) from None


def forget_reconciled(path: Path) -> None:
    """Let a copy of a keeper's or gateway's database not say that it is as new as the ledger, nor since when it waits
    to be so."""
    engine = sqlite_engine(path)
    with reported(), engine.begin() as connection:
        connection.execute(META.update().where(META.c.name.in_([RECONCILED, RECONCILING_SINCE])).values(value=b""))
    engine.dispose()


def copy_tables(source: Engine, to: Engine, schema: sa.MetaData) -> None:
    """All rows of these tables as of one moment into a database that has none, whatever server holds either.

    Raises:
        DatabaseInUseError: there are rows in it.
        DiskError: one of the two is away, or full.
    """
    with reported(), source.connect() as reading, to.connect() as writing:
        if source.dialect.name == "postgresql":
            reading.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if to.dialect.name == "postgresql":
            writing.exec_driver_sql("BEGIN")
        here = set(sa.inspect(reading).get_table_names())
        tables = [table for table in schema.sorted_tables if table.name in here]
        schema.create_all(writing, tables)
        for table in tables:
            _copy_table(reading, writing, table)
        writing.commit()
        reading.rollback()


def copy_ledger(folder: Path, to: Path) -> None:
    """A ledger's store as of its newest commit, without pages that nothing leads to.

    Raises:
        StoreUnavailableError: it cannot be read, or the copy not written.
    """
    store = LmdbStore(folder, read_only=True)
    try:
        store.copy_to(to)
    finally:
        store.close()


def _copy_table(reading: Connection, writing: Connection, table: sa.Table) -> None:
    if writing.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
        raise DatabaseInUseError(table=table.name)
    for rows in reading.execution_options(stream_results=True).execute(sa.select(table)).partitions(ROWS_AT_ONCE):
        writing.execute(table.insert(), [dict(row._mapping) for row in rows])
