"""What a keeper keeps on disk, through SQLAlchemy Core: every value about a subject wrapped under that subject's key.

A subject's key is random and wrapped under the member's KEK, which never lies in the database: destroying the key, and
the KEK after a rotation, erases the subject. Rows are found by a keyed tag, so a stolen database does not tell which
handles it knows. Writes are durable when `commit` returns (SQLite: WAL, synchronous FULL; PostgreSQL: `postgres.py`).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Connection, Engine

from salus.core.errors import MalformedError, SalusError, UnavailableError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import MIB_BYTES, SubjectId
from salus.crypto.digests import Keyed, derive
from salus.crypto.errors import UnopenableError
from salus.crypto.sealing_at_rest import NONCE_BYTES, unwrap, unwrap_all, wrap
from salus.keeper.errors import StoreCorruptError
from salus.keeper.formats import RECONCILED, YES, begin, prepare

_CACHE_KIB = 32 * 1024  # A process on the embedded engine has two such stores for each member.
_AT_ONCE = 500  # Keys in one query.
_LOG_BYTES = 32 * MIB_BYTES  # How long SQLite's log grows before its pages move to their places.
KEY_BYTES = 32


def text(length: int) -> sa.String:
    """Text that sorts by its bytes in every database; SQLite does so by itself."""
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


metadata = sa.MetaData()
META = sa.Table("meta", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.LargeBinary))
SUBJECTS = sa.Table(
    "subjects",
    metadata,
    sa.Column("tag", sa.LargeBinary(16), primary_key=True),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
)
POLICIES = sa.Table(
    "policies",
    metadata,
    sa.Column("cell", sa.LargeBinary(16), primary_key=True),
    sa.Column("commitment", sa.LargeBinary(32), primary_key=True),
    sa.Column("tag", sa.LargeBinary(16), nullable=False, index=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("sender", text(32), nullable=False),  # Through whose gateway it came.
    sa.Column("good_until", sa.BigInteger, nullable=False),  # 0 once its cell has committed to it.
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
sa.Index("policies_waiting", POLICIES.c.good_until, POLICIES.c.sender)
WIDENINGS = sa.Table(
    "widenings",
    metadata,
    sa.Column("cell", sa.LargeBinary(16), primary_key=True),
    sa.Column("commitment", sa.LargeBinary(32), primary_key=True),
    sa.Column("evidence", sa.LargeBinary(32), primary_key=True),
    sa.Column("tag", sa.LargeBinary(16), nullable=False, index=True),
    sa.Column("noticed", sa.BigInteger, nullable=False),  # Block time: the 24 hours begin here.
    sa.Column("untold", sa.BigInteger, nullable=False),  # How many writers have not heard of it yet.
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
sa.Index("widenings_untold", WIDENINGS.c.untold)
BATCHES = sa.Table(
    "batches",
    metadata,
    sa.Column("author", text(32), primary_key=True),
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("root", sa.LargeBinary(32), primary_key=True),
    sa.Column("share_root", sa.LargeBinary(32), primary_key=True),
    sa.Column("good_until", sa.BigInteger, nullable=False),  # 0 once the ledger holds the batch.
)
sa.Index("batches_waiting", BATCHES.c.good_until, BATCHES.c.author)
HOLDINGS = sa.Table(
    "holdings",
    metadata,
    sa.Column("tag", sa.LargeBinary(16), primary_key=True),
    sa.Column("author", text(32), primary_key=True),
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("root", sa.LargeBinary(32), primary_key=True),
    sa.Column("share_root", sa.LargeBinary(32), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
sa.Index("holdings_by_batch", HOLDINGS.c.author, HOLDINGS.c.batch_id)
LOG = sa.Table(
    "log",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("tag", sa.LargeBinary(16), nullable=False),
    sa.Column("subject_number", sa.BigInteger, nullable=False),
    sa.Column("head", sa.LargeBinary(32), nullable=False),
    sa.Column("person", sa.LargeBinary(16), nullable=False),  # A keyed tag, to count a person's uses.
    sa.Column("member", sa.LargeBinary(16), nullable=False),  # Keyed tags too: whose person, for which request.
    sa.Column("request", sa.LargeBinary(16), nullable=False),
    sa.Column("break_glass", sa.Boolean, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
sa.Index("log_by_subject", LOG.c.tag, LOG.c.subject_number, unique=True)
sa.Index("log_by_person", LOG.c.person, LOG.c.time)
_BROKEN = sa.text("break_glass = 1")  # As SQLite reads the query's own condition: else it walks the whole log.
sa.Index("log_by_member", LOG.c.member, LOG.c.time, sqlite_where=_BROKEN, postgresql_where=LOG.c.break_glass)
LOG_PAGES = sa.Table(
    "log_pages",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

# Built once: these stand in the way of every answer, and of every step along the log's tree.
_META = sa.select(META.c.value).where(META.c.name == sa.bindparam("name"))
_SUBJECT_KEY = sa.select(SUBJECTS.c.wrapped_key).where(SUBJECTS.c.tag == sa.bindparam("tag"))
_NEW_SUBJECTS = SUBJECTS.insert()
_SUBJECT_KEYS = sa.select(SUBJECTS.c.tag).where(SUBJECTS.c.tag.in_(sa.bindparam("tags", expanding=True)))
_PAGE = sa.select(LOG_PAGES.c.value).where(LOG_PAGES.c.key == sa.bindparam("key"))


class DiskError(UnavailableError):
    """The store cannot be read or written now: full, read-only, away, or in use by another process."""

    code = "keeper.disk"


class UnstorableError(MalformedError):
    """A value is too long for the store, or of characters that it cannot hold."""

    code = "keeper.unstorable"


def sqlite_engine(path: Path, page_bytes: int = 4096) -> Engine:
    """A durable SQLite database in one file. Larger pages suit long rows; they count for a new file alone."""
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False},
        poolclass=sa.StaticPool,
        hide_parameters=True,
    )
    report_errors(engine)

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        checkpoint = f"wal_autocheckpoint={_LOG_BYTES // page_bytes}"
        size = f"page_size={page_bytes}"
        for setting in (size, "journal_mode=WAL", "synchronous=FULL", f"cache_size=-{_CACHE_KIB}", checkpoint):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    return engine


class SubjectStore:
    """Database, KEK, and the wrapping that ties every row of a subject to a key that can be destroyed.

    Not for two threads. Keepers and authors use the same shape, each with its own folder, KEK and tables.
    """

    first_meta: ClassVar[Mapping[str, bytes]] = {}  # What a new database says of itself; an older one does not.

    def __init__(self, engine: Engine, kek: bytes, schema: sa.MetaData = metadata, faults: Faults = NO_FAULTS) -> None:
        self._engine = engine
        self._kek = kek
        self._index = Keyed(derive(kek, "store", "index"))
        self.faults = faults
        self._keys: dict[bytes, bytes] = {}
        with reported():
            self._connection = engine.connect()
            try:
                self._open(schema)
            except BaseException:
                self.close()
                raise

    @property
    def connection(self) -> Connection:
        """The store's one connection. If a server has closed it, the next statement opens it anew."""
        if self._connection.invalidated:
            self._connection.rollback()
        return self._connection

    @property
    def is_reconciled(self) -> bool:
        """Whether its holder may serve from it: not so where it is new, or a copy that was put back."""
        return self._is_reconciled

    def set_reconciled(self, value: bool, *noted: tuple[str, bytes]) -> None:
        """Note whether its holder may serve from it, and what else that settles; durable on return, all at once."""
        with self.commit("store.reconciled"):
            self.set_meta(RECONCILED, YES if value else b"")
            for name, said in noted:
                self.set_meta(name, said)
        self._is_reconciled = value

    def tag(self, subject: SubjectId) -> bytes:
        """Where a subject's rows lie."""
        return self.keyed("subject", subject)

    def keyed(self, kind: str, value: bytes) -> bytes:
        """A 16-byte tag by which a value is found, and that says nothing without the KEK."""
        return self._index.digest(kind.encode() + b"\0" + value)[:16]

    def subject_key(self, tag: bytes) -> bytes | None:
        """The key of a subject, if it is known here."""
        key = self._keys.get(tag)
        if key is None:
            row = self.connection.execute(_SUBJECT_KEY, {"tag": tag}).first()
            if row is None:
                return None
            key = self._opened(self._kek, row.wrapped_key, b"subject key" + tag)
            self._remember(tag, key)
        return key

    def new_subject_key(self, tag: bytes) -> bytes:
        """The key of a subject, made if it is not known yet."""
        key = self.subject_key(tag)
        if key is None:
            self._make_keys([tag])
            key = self._keys[tag]
        return key

    def meet_subjects(self, tags: Sequence[bytes]) -> None:
        """Make keys for those of these subjects that have none, in one go, within a `commit`."""
        for start in range(0, len(tags), _AT_ONCE):
            part = [tag for tag in dict.fromkeys(tags[start : start + _AT_ONCE]) if tag not in self._keys]
            if part:
                known = {bytes(row.tag) for row in self.connection.execute(_SUBJECT_KEYS, {"tags": part})}
                self._make_keys([tag for tag in part if tag not in known])

    def drop_subject(self, tag: bytes) -> None:
        """Forget a subject's key if nothing is held under it, within a `commit`."""
        for table in (POLICIES, HOLDINGS, LOG, WIDENINGS):
            if self.connection.execute(sa.select(table.c.tag).where(table.c.tag == tag).limit(1)).first() is not None:
                return
        self.connection.execute(SUBJECTS.delete().where(SUBJECTS.c.tag == tag))
        self._keys.pop(tag, None)

    def forget_key(self, tag: bytes) -> None:
        """Let go of a key whose row was deleted."""
        self._keys.pop(tag, None)

    def wrapped(self, tag: bytes, data: bytes, context: bytes) -> bytes:
        """Data of a subject under its key; the subject must be known."""
        return wrap(self.new_subject_key(tag), os.urandom(NONCE_BYTES), data, context)

    def unwrapped(self, tag: bytes, data: bytes, context: bytes) -> bytes:
        """What was wrapped for a subject.

        Raises:
            StoreCorruptError: its key is gone, or the bytes were altered.
        """
        return self.unwrapped_all(tag, [(data, context)])[0]

    def unwrapped_all(self, tag: bytes, rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """What was wrapped for a subject, row by row with its context.

        Raises:
            StoreCorruptError: its key is gone, or the bytes of one were altered.
        """
        key = self.subject_key(tag)
        if key is None:
            raise StoreCorruptError(reason="a subject's key is missing")
        try:
            return unwrap_all(key, rows)
        except UnopenableError:
            raise StoreCorruptError(reason="a row does not open") from None

    def wrapped_own(self, data: bytes, context: bytes) -> bytes:
        """Data that belongs to no subject, under the KEK itself."""
        return wrap(self._kek, os.urandom(NONCE_BYTES), data, context)

    def unwrapped_own(self, data: bytes, context: bytes) -> bytes:
        """What `wrapped_own` wrapped.

        Raises:
            StoreCorruptError: the bytes were altered.
        """
        return self._opened(self._kek, data, context)

    @contextmanager
    def commit(self, point: str) -> Iterator[Connection]:
        """One durable transaction; on an error nothing of it is kept."""
        with reported():
            begin(self.connection)
            try:
                yield self.connection
                self.faults.hit(f"{point}:before")
                self.connection.commit()
            except BaseException:
                self.connection.rollback()
                self._keys.clear()
                raise
            self.faults.hit(f"{point}:after")

    def meta(self, name: str) -> bytes | None:
        """A single value."""
        row = self.connection.execute(_META, {"name": name}).first()
        return None if row is None else bytes(row.value)

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a single value, within a `commit`."""
        upsert(self.connection, META, [{"name": name, "value": value}])

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        self._engine.dispose()

    def _open(self, schema: sa.MetaData) -> None:
        check = self.keyed("check", b"kek")
        prepare(self._connection, schema, {"kek_check": check, **self.first_meta})
        if self.meta("kek_check") != check:
            raise StoreCorruptError(reason="the key file does not belong to this database")
        self._is_reconciled = self.meta(RECONCILED) == YES

    def _make_keys(self, tags: Sequence[bytes]) -> None:
        keys = {tag: os.urandom(KEY_BYTES) for tag in tags}
        rows = [
            {"tag": tag, "wrapped_key": wrap(self._kek, os.urandom(NONCE_BYTES), key, b"subject key" + tag)}
            for tag, key in keys.items()
        ]
        if rows:  # Never in the place of a key that is there: what it wraps would be lost.
            self.connection.execute(_NEW_SUBJECTS, rows)
        for tag, key in keys.items():
            self._remember(tag, key)

    def _remember(self, tag: bytes, key: bytes) -> None:
        if len(self._keys) >= 65_536:
            self._keys.clear()
        self._keys[tag] = key

    def _opened(self, key: bytes, data: bytes, context: bytes) -> bytes:
        try:
            return unwrap(key, data, context)
        except UnopenableError:
            raise StoreCorruptError(reason="a row does not open") from None


class SqlPages:
    """A key-value view of one table, for the log's tree. Satisfies `state.KeyValue`."""

    def __init__(self, store: SubjectStore) -> None:
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        row = self._store.connection.execute(_PAGE, {"key": key}).first()
        return None if row is None else bytes(row.value)

    def put(self, key: bytes, value: bytes) -> None:
        upsert(self._store.connection, LOG_PAGES, [{"key": key, "value": value}])

    def delete(self, key: bytes) -> None:
        self._store.connection.execute(LOG_PAGES.delete().where(LOG_PAGES.c.key == key))

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        query = sa.select(LOG_PAGES).where(LOG_PAGES.c.key >= prefix + start).order_by(LOG_PAGES.c.key)
        for row in self._store.connection.execute(query):
            if not row.key.startswith(prefix):
                return
            yield bytes(row.key), bytes(row.value)


@lru_cache(maxsize=64)
def _upsert_statement(table: sa.Table, dialect: str, columns: tuple[str, ...]) -> sa.sql.dml.Insert:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in columns if name not in keys}
    )


@lru_cache(maxsize=64)
def _sqlite_upsert(table: sa.Table, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The statement's text, and its parameters' names in order."""
    compiled = _upsert_statement(table, "sqlite", columns).compile(dialect=sqlite_dialect(), column_keys=list(columns))
    return str(compiled), tuple(compiled.positiontup or ())


def upsert(connection: Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    """Insert rows, or replace those whose key is there already. SQLite and PostgreSQL.

    SQLite takes Python's bytes and numbers as they are, so its rows go past SQLAlchemy's conversions: an import writes
    a thousand at a time.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        sql, order = _sqlite_upsert(table, columns)
        connection.exec_driver_sql(sql, [tuple([row[name] for name in order]) for row in rows])
    else:
        connection.execute(_upsert_statement(table, connection.dialect.name, columns), rows)


_AWAY = ("08", "25006", "40", "53", "55", "57", "58")  # What PostgreSQL says of itself, not of what it was asked.


@contextmanager
def reported() -> Iterator[None]:
    """Turn a database's errors into ours: what can be waited out, and what an operator must look at."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _ours(error) from None


def report_errors(engine: Engine) -> None:
    """Turn them into ours wherever a statement meets them."""

    @sa.event.listens_for(engine, "handle_error", retval=True)
    def _report(context: sa.engine.ExceptionContext) -> SalusError | None:
        found = context.sqlalchemy_exception
        return _ours(found) if isinstance(found, sa.exc.DBAPIError) else None


def _ours(error: sa.exc.DBAPIError) -> SalusError:
    reason = type(error.orig).__name__
    is_away = (getattr(error.orig, "sqlstate", None) or "").startswith(_AWAY) or error.connection_invalidated
    if is_away or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return DiskError(reason=reason)
    if isinstance(error, sa.exc.DataError):
        return UnstorableError(reason=reason)
    return StoreCorruptError(reason=reason)
