"""A store on PostgreSQL, for members whose keeper or gateway outgrows one file: `postgresql+psycopg://host/database`.

One connection per store, held by one process: a lock of the session refuses a second one, since a keeper numbers its
log from memory. Between transactions it holds no snapshot; a commit has reached the server's disk when it returns. The
password comes from where libpq looks (`PGPASSWORD`, `~/.pgpass`) or from the URL, and is never shown.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from salus.keeper.store import DiskError, report_errors

DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_MS = 60_000
_LOCK_ROOM = 0x5A1  # So that another program's locks on the same server do not meet ours.
_SETTINGS = (
    "SET synchronous_commit = on",
    f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}",
    "SET idle_in_transaction_session_timeout = 60000",
    "SET default_transaction_isolation = 'read committed'",
    "SET client_encoding = 'UTF8'",
)
_ALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


def postgres_engine(url: str, *, is_owner: bool = True) -> Engine:
    """A durable database on a server. The owner writes and holds the lock; others may look, as a backup does.

    Raises:
        DiskError: the URL is not one of PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise DiskError(reason="not a URL") from None
    if parsed.drivername != DRIVER:
        raise DiskError(reason="not a URL of PostgreSQL")
    engine = sa.create_engine(
        parsed,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": 1000 * CONNECT_TIMEOUT_S, **_ALIVE},
        poolclass=sa.NullPool,
        isolation_level="AUTOCOMMIT",  # `SubjectStore.commit` says BEGIN.
        hide_parameters=True,
    )
    report_errors(engine)

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        for setting in _SETTINGS:
            cursor.execute(setting)
        if is_owner:
            cursor.execute(f"SELECT pg_try_advisory_lock({_LOCK_ROOM}, hashtext(current_schema()))")
            row = cursor.fetchone()
            if row is None or not row[0]:
                raise DiskError(reason="in use by another process")
        connection.commit()
        cursor.close()

    return engine
