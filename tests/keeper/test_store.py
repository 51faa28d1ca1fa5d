"""The keeper's store: wrapped under keys that can be destroyed, and honest about what is wrong with it."""

from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.keeper.errors import StoreCorruptError
from salus.keeper.formats import FormatError
from salus.keeper.store import META, SUBJECTS, DiskError, SqlPages, SubjectStore, sqlite_engine, upsert
from tests.conftest import Database

KEK = bytes(range(32))
ANNA = b"a" * 16


def opened(place: Database | Path, kek: bytes = KEK) -> SubjectStore:
    engine = sqlite_engine(place / "keeper.db") if isinstance(place, Path) else place.engine()
    return SubjectStore(engine, kek)


def test_what_was_wrapped_for_a_subject_opens_after_a_restart_under_its_context_alone(database: Database) -> None:
    store = opened(database)
    tag = store.tag(ANNA)
    with store.commit("test"):
        wrapped = store.wrapped(tag, b"secret", b"here")
    store.close()
    store = opened(database)
    assert store.unwrapped(tag, wrapped, b"here") == b"secret"
    for data, context in ((wrapped, b"there"), (wrapped[:-1] + bytes(1), b"here"), (b"", b"here")):
        with pytest.raises(StoreCorruptError):
            store.unwrapped(tag, data, context)
    store.close()


def test_without_its_subjects_key_nothing_opens(database: Database) -> None:
    store = opened(database)
    tag = store.tag(ANNA)
    with store.commit("test"):
        wrapped = store.wrapped(tag, b"secret", b"here")
        store.connection.execute(SUBJECTS.delete())
    store.close()
    store = opened(database)
    assert store.subject_key(tag) is None
    with pytest.raises(StoreCorruptError):
        store.unwrapped(tag, wrapped, b"here")
    store.close()


def test_a_failed_transaction_leaves_neither_rows_nor_keys(database: Database) -> None:
    store = opened(database)
    tag = store.tag(ANNA)
    with suppress(RuntimeError), store.commit("test"):
        store.wrapped(tag, b"secret", b"here")
        raise RuntimeError
    assert store.subject_key(tag) is None
    store.close()


def test_another_kek_or_format_is_refused_at_the_door(database: Database) -> None:
    opened(database).close()
    with pytest.raises(StoreCorruptError):
        opened(database, bytes(32))
    store = opened(database)
    with store.commit("test"):
        upsert(store.connection, META, [{"name": "format", "value": b"\x63"}])
    store.close()
    with pytest.raises(FormatError):
        opened(database)


def test_a_file_that_is_no_database_and_a_folder_that_is_not_there_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "keeper.db").write_bytes(b"no database" * 500)
    with pytest.raises(StoreCorruptError):
        opened(tmp_path)
    with pytest.raises(DiskError):
        opened(tmp_path / "nowhere")


def test_tags_say_nothing_without_the_kek(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one, other = opened(tmp_path / "one"), opened(tmp_path / "other", bytes(32))
    assert one.tag(ANNA) != other.tag(ANNA)
    assert one.tag(ANNA) == one.tag(ANNA) != one.keyed("person", ANNA)
    one.close()
    other.close()


def test_pages_are_a_key_value_store_in_the_order_of_keys(database: Database) -> None:
    store = opened(database)
    pages = SqlPages(store)
    with store.commit("test"):
        for key in (b"b", b"a\x02", b"a\x01", b"a"):
            pages.put(key, key * 2)
        pages.put(b"a", b"again")
        pages.delete(b"b")
    assert list(pages.scan(b"a")) == [(b"a", b"again"), (b"a\x01", b"a\x01" * 2), (b"a\x02", b"a\x02" * 2)]
    assert list(pages.scan(b"a", b"\x02")) == [(b"a\x02", b"a\x02" * 2)]
    assert (pages.get(b"a"), pages.get(b"b")) == (b"again", None)
    store.close()


def test_a_store_on_a_full_disk_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    store = opened(tmp_path)
    pages = store.connection.exec_driver_sql("PRAGMA page_count").scalar()
    store.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskError), store.commit("test"):
        upsert(store.connection, META, [{"name": "large", "value": bytes(10_000_000)}])
    assert store.meta("large") is None
    assert store.meta("format") is not None
    store.close()
    assert sa.inspect(sa.create_engine(f"sqlite:///{tmp_path}/keeper.db")).has_table("log")
