"""By which key a gateway finds what it sealed: one patient's lie side by side, and older databases keep theirs."""

from pathlib import Path

import sqlalchemy as sa

from salus.core.ids import SubjectId
from salus.keeper.store import META, sqlite_engine
from salus.sdk.author_store import AuthorStore
from tests.node.stage import data_of, stage

KEK = b"k" * 32
ANNA, BEN = SubjectId(b"a" * 16), SubjectId(b"b" * 16)


def as_older(store: AuthorStore) -> None:
    """What a database was before it said where sources lie."""
    store.connection.execute(META.delete().where(META.c.name == "source_keys"))
    store.connection.commit()


def test_keys_of_one_patient_begin_alike_and_no_two_are_the_same(tmp_path: Path) -> None:
    store = AuthorStore(sqlite_engine(tmp_path / "gateway.db"), KEK)
    keys = {(who, name): store.source_key(who, name) for who in (ANNA, BEN) for name in ("x", "y", "z")}
    assert len(set(keys.values())) == 6
    assert {len(key) for key in keys.values()} == {16}
    beginnings = {who: {key[:6] for (whose, _), key in keys.items() if whose == who} for who in (ANNA, BEN)}
    assert [len(found) for found in beginnings.values()] == [1, 1]
    assert beginnings[ANNA] != beginnings[BEN]
    assert not any(store.tag(who).startswith(key[:6]) for (who, _), key in keys.items())
    store.close()


def test_an_older_database_keeps_its_keys_whenever_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    store = AuthorStore(sqlite_engine(path), KEK)
    as_older(store)
    store.close()
    for _ in range(2):
        store = AuthorStore(sqlite_engine(path), KEK)
        assert store.source_key(ANNA, "x") == store.keyed("source", ANNA + b"x")
        store.close()


async def test_what_an_older_database_sealed_is_found_and_not_sealed_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        as_older(on["mercy"].store)
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
    async with stage(tmp_path) as on:
        store = on["mercy"].store
        assert store.connection.execute(sa.select(META).where(META.c.name == "source_keys")).first() is None
        assert on["mercy"].author.was_sealed(wallet.subject, "a", data_of("a")) == sealed.records[0]
