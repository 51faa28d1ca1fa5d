"""Which form a database has, and how an older one becomes the newest: step by step, all in one transaction.

A crash on the way leaves the old form or the new one. A change to a table adds a step here: it takes the database from
the format it is filed under to the next.

    1    first light's: nothing tells whether a keeper has lost or forgotten anything
    2    `meta` has room for `reconciled`, which nobody said yet
    3    `meta` says `reconciled` once its holder may serve from it; a copy that is put back does not say so
"""

from collections.abc import Callable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from salus.core.errors import IntegrityError

FORMAT = 3
FORMAT_NAME = "format"
RECONCILED = "reconciled"
RECONCILING_SINCE = "reconciling_since"  # When its holder first waited for what it lacks; empty once that is over.
YES = b"\1"

Step = Callable[[Connection], None]
_META = sa.table("meta", sa.column("name"), sa.column("value"))


class FormatError(IntegrityError):
    """The store was written by another version of Salus, newer than this one or too old for it."""

    code = "keeper.store_format"


def _say_reconciled(connection: Connection) -> None:
    """A store that was in use is as good as it was."""
    connection.execute(_META.delete().where(_META.c.name == RECONCILED))
    connection.execute(_META.insert().values(name=RECONCILED, value=YES))


STEPS: Mapping[int, Step] = {1: _say_reconciled, 2: _say_reconciled}


def prepare(
    connection: Connection,
    schema: sa.MetaData,
    first: Mapping[str, bytes],
    steps: Mapping[int, Step] = STEPS,
    newest: int = FORMAT,
) -> None:
    """Make a new database's tables, with the `first` rows of `meta`; or bring an older one's to the newest form.

    Raises:
        FormatError: it is of a newer format, or of one from which no step leads here.
    """
    found = format_of(connection)
    if found is not None and (found > newest or any(step not in steps for step in range(found, newest))):
        raise FormatError(found=found, expected=newest)
    begin(connection, immediate=found != newest)
    try:
        for step in range(newest if found is None else found, newest):
            steps[step](connection)
        schema.create_all(connection)
        if found != newest:
            connection.execute(_META.delete().where(_META.c.name == FORMAT_NAME))
            connection.execute(_META.insert().values(name=FORMAT_NAME, value=bytes([newest])))
        if found is None:
            connection.execute(_META.insert(), [{"name": name, "value": value} for name, value in first.items()])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def begin(connection: Connection, *, immediate: bool = False) -> None:
    """Open a transaction where the driver does not do so by itself: for DDL on SQLite, for anything on PostgreSQL.

    Outside of one, a PostgreSQL connection holds no snapshot, so that nothing on the server waits for it.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("BEGIN")
    elif immediate:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def format_of(connection: Connection) -> int | None:
    """The form that a database says it has; None where it is new."""
    if not sa.inspect(connection).has_table(_META.name):
        return None
    value = connection.execute(sa.select(_META.c.value).where(_META.c.name == FORMAT_NAME)).scalar()
    return None if value is None else int.from_bytes(value, "big")
