"""What only a server can do to a store: go away, come back, be asked by two, sort as people do."""

import psycopg
import pytest
import sqlalchemy as sa

from salus.keeper.access_log import AccessLog
from salus.keeper.errors import StoreCorruptError
from salus.keeper.postgres import postgres_engine
from salus.keeper.store import LOG, META, DiskError, SubjectStore, UnstorableError, upsert
from salus.sdk.author_store import WAITING, AuthorStore
from tests.conftest import Database
from tests.keeper.test_access_log import ANNA, use
from tests.node.stage import Clock
from tests.support.servers import Postgres, postgres

KEK = bytes(range(32))


@pytest.fixture
def url(postgres_server: Postgres) -> str:
    return postgres_server.new_database()


def put(store: SubjectStore, name: str) -> None:
    with store.commit("test"):
        upsert(store.connection, META, [{"name": name, "value": b"\1"}])


def test_what_is_no_server_of_postgresql_is_refused_without_showing_the_password() -> None:
    for url in ("sqlite:///x", "no url", "postgresql+psycopg://app:" + "hush@127.0.0.1:1/none"):
        with pytest.raises(DiskError) as error:
            SubjectStore(postgres_engine(url), KEK)
        assert "hush" not in f"{error.value}{error.value.__cause__}{error.value.__context__}"


def test_a_second_process_is_refused_until_the_first_has_let_go(url: str) -> None:
    store = SubjectStore(postgres_engine(url), KEK)
    with pytest.raises(DiskError):
        SubjectStore(postgres_engine(url), KEK)
    looking = postgres_engine(url, is_owner=False).connect()
    assert looking.execute(sa.select(META.c.name)).all()
    looking.close()
    store.close()
    SubjectStore(postgres_engine(url), KEK).close()


def test_no_transaction_stays_open_between_commits(url: str) -> None:
    store = SubjectStore(postgres_engine(url), KEK)
    store.meta("format")
    put(store, "a")
    list(store.connection.execute(sa.select(LOG)))
    pid = store.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        query = "SELECT state FROM pg_stat_activity WHERE pid = %s"
        assert other.execute(query, [pid]).fetchall() == [("idle",)]
    assert store.connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    store.close()


def test_a_failed_statement_ends_its_transaction_alone(url: str) -> None:
    store = SubjectStore(postgres_engine(url), KEK)

    def half() -> None:
        with store.commit("test"):
            upsert(store.connection, META, [{"name": "b", "value": b""}])
            store.connection.exec_driver_sql("SELECT nothing FROM nowhere")

    with pytest.raises(StoreCorruptError):
        half()
    assert store.meta("b") is None
    with pytest.raises(StoreCorruptError):
        store.connection.exec_driver_sql("SELECT nothing FROM nowhere")
    put(store, "c")
    assert store.meta("c") == b"\1"
    store.close()


def test_what_was_committed_is_there_after_a_crash_of_the_server_and_the_store_goes_on() -> None:
    with postgres() as server:
        url = server.new_database()
        store, clock = SubjectStore(postgres_engine(url), KEK), Clock()
        store.set_reconciled(True)
        log = AccessLog("mercy", store, clock)  # type: ignore[arg-type]
        assert use(log, clock, ANNA).number == 1
        server.restart()
        with pytest.raises(DiskError):
            store.meta("format")
        assert use(log, clock, ANNA).number == 2
        server.restart()
        with pytest.raises(DiskError):
            use(log, clock, ANNA)
        assert use(log, clock, ANNA).number == 3
        server.stop()
        for _ in range(2):
            with pytest.raises(DiskError):
                use(log, clock, ANNA)
        server.start()
        assert use(log, clock, ANNA).number == 4
        assert log.broken_chains() == []
        store.close()


def test_what_a_database_cannot_hold_is_the_senders_to_mend(url: str) -> None:
    store = AuthorStore(postgres_engine(url), KEK)
    with pytest.raises(UnstorableError):
        store.keep_waiting("a\0b", bytes(32), b"", 0)  # type: ignore[arg-type]
    store.close()


def test_text_sorts_by_its_bytes_whatever_the_servers_language(database: Database) -> None:
    store = AuthorStore(database.engine(), KEK)
    for sender in ("b", "B", "a-c", "ab", "A", "a"):
        store.keep_waiting(sender, bytes(32), b"", 0)  # type: ignore[arg-type]
    query = sa.select(WAITING.c.sender).order_by(WAITING.c.sender)
    assert list(store.connection.execute(query).scalars()) == ["A", "B", "a", "a-c", "ab", "b"]
    store.close()


def test_a_store_that_does_not_open_lets_go_of_the_server(url: str) -> None:
    SubjectStore(postgres_engine(url), KEK).close()
    with pytest.raises(StoreCorruptError):
        SubjectStore(postgres_engine(url), bytes(32))
    SubjectStore(postgres_engine(url), KEK).close()
