"""A member's stores: of the format that this version reads, sound as far as a quick look shows, each with its own key.

Databases are opened for reading alone, so that none is made, migrated or mended by looking at it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from salus.core.errors import SalusError
from salus.engines.cometbft.unit import LEDGER_FOLDER
from salus.engines.ledger_copy import OtherNetworkError
from salus.engines.lmdb_errors import FolderInUseError, StoreCorruptError, StoreFormatError
from salus.engines.lmdb_store import check_file
from salus.keeper import formats
from salus.keeper.errors import StoreCorruptError as DatabaseCorruptError
from salus.keeper.postgres import postgres_engine
from salus.keeper.store import SubjectStore, report_errors
from salus.node.doctor.case import Case, with_ledger
from salus.node.observing.findings import Finding, found
from salus.node.stores import DATABASES, read_settings, vault_storage
from salus.sdk.author_store import AuthorStore
from salus.vault import formats as vault_formats

QUICK_BYTES_MAX = 256 << 20  # A larger database is not walked through: that takes minutes.
PAGES_BYTES_MAX = 64 << 20  # A larger ledger's pages are not walked through, for the same reason.
_DATA_FILE = "data.mdb"


def check_ledger_file(case: Case) -> Iterator[Finding]:
    """The ledger's file, before anything else opens it: LMDB may end the process that reads a damaged one."""
    path = case.place / LEDGER_FOLDER
    data = path / _DATA_FILE
    if not data.exists():
        if (case.place / "keeper.db").exists():
            yield found("store.gone", case.member, "ledger", store=LEDGER_FOLDER)
        return
    try:
        if not case.is_up and data.stat().st_blocks * 512 <= PAGES_BYTES_MAX:
            with suppress(FolderInUseError):  # By a command that runs now.
                check_file(path)
        with with_ledger(case):
            pass
    except StoreFormatError as error:
        said = [int(error.facts.get(name, 0)) for name in ("found", "expected")]
        yield _format_finding(case, "ledger", LEDGER_FOLDER, said[0], said[1])
    except OtherNetworkError:
        yield found("store.other_network", case.member, "ledger")
    except StoreCorruptError:
        yield found("store.corrupt", case.member, "ledger", store=LEDGER_FOLDER)


def check_database(case: Case, name: str) -> Iterator[Finding]:
    """One of its databases: there, of this format, sound, and of this key."""
    where = read_settings(case.place)
    if getattr(where, name) is None and not (case.place / f"{name}.db").exists():
        if (case.place / LEDGER_FOLDER / _DATA_FILE).exists():
            yield found("store.gone", case.member, name, store=f"{name}.db")
        return
    try:
        engine = looking_engine(case, name)
        try:
            with engine.connect() as connection:
                format_here = formats.format_of(connection)
                is_sound = _is_sound(case, name, connection)
        finally:
            engine.dispose()
    except DatabaseCorruptError:
        yield found("store.corrupt", case.member, name, store=f"{name}.db")
        return
    except SalusError as error:
        yield found("store.away", case.member, name, store=f"{name}.db", error=error.code)
        return
    if not is_sound:
        yield found("store.corrupt", case.member, name, store=f"{name}.db")
    elif format_here != formats.FORMAT:
        yield _format_finding(case, name, f"{name}.db", format_here or 0, formats.FORMAT)
    else:
        yield from _check_key(case, name)


def check_databases(case: Case) -> Iterator[Finding]:
    """Both of them."""
    for name in DATABASES:
        yield from check_database(case, name)


def check_vault(case: Case) -> Iterator[Finding]:
    """The vault's storage: there, and of this format."""
    settings = read_settings(case.place)
    if settings.vault is None and not (case.place / "vault").is_dir():
        return  # It is made when the first blob comes.
    try:
        found_format = vault_formats.format_of(vault_storage(case.place, settings))
    except SalusError as error:
        yield found("store.away", case.member, "keeper", store="vault", error=error.code)
        return
    if found_format is not None and found_format != vault_formats.FORMAT:
        yield _format_finding(case, "keeper", "vault", found_format, vault_formats.FORMAT)


@contextmanager
def keeper_store(case: Case) -> Iterator[SubjectStore]:
    """The keeper's store, to look at.

    Raises:
        SalusError: it cannot be opened so.
    """
    assert case.secrets is not None, "Without its KEK nothing in a store can be read."
    store = SubjectStore(looking_engine(case, "keeper"), case.secrets.keeper_kek)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def gateway_store(case: Case) -> Iterator[AuthorStore]:
    """The gateway's store, to look at. Raises as `keeper_store`."""
    assert case.secrets is not None, "Without its KEK nothing in a store can be read."
    store = AuthorStore(looking_engine(case, "gateway"), case.secrets.gateway_kek)
    try:
        yield store
    finally:
        store.close()


def looking_engine(case: Case, name: str) -> Engine:
    """A database, opened in such a way that nothing can be written."""
    url = getattr(read_settings(case.place), name)
    if url is not None:
        return postgres_engine(url, is_owner=False)
    path = case.place / f"{name}.db"
    is_still = not case.is_up and not path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro&immutable=1" if is_still else "mode=ro"  # Without a journal nothing need be made beside it.
    uri = f"file:{quote(str(path))}?{how}"
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False),
        poolclass=sa.StaticPool,
        hide_parameters=True,
    )
    report_errors(engine)
    return engine


def _is_sound(case: Case, name: str, connection: sa.Connection) -> bool:
    path: Path = case.place / f"{name}.db"
    if connection.dialect.name != "sqlite" or path.stat().st_size > QUICK_BYTES_MAX:
        return True
    return bool(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok")


def _check_key(case: Case, name: str) -> Iterator[Finding]:
    """Whether the KEK in the folder is the one that the database was made with."""
    if case.secrets is None:
        return
    try:
        with keeper_store(case) if name == "keeper" else gateway_store(case):
            return
    except DatabaseCorruptError:
        yield found("keys.kek_other", case.member, name, duty=f"{name}-kek", store=f"{name}.db")


def _format_finding(case: Case, part: str, store: str, here: int, expected: int) -> Finding:
    code = "store.older" if 1 <= here < expected else "store.format"
    return found(code, case.member, part, store=store, found=here, expected=expected)
