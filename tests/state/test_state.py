"""A state reads through, writes on top, takes back, and commits all or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salus.state import CorruptPageError, MemoryStore, Prefixed, State
from salus.state.proofs import verify
from salus.state.state import PAGES_PREFIX, checked_root
from tests.state.reference_tree import reference_root

KEYS = st.binary(min_size=1, max_size=2)
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=12)


def written(*rows: tuple[bytes, bytes]) -> tuple[MemoryStore, State]:
    store = MemoryStore()
    state = State(store)
    for key, value in rows:
        state.put(key, value)
    state.commit()
    return store, state


def test_rollback_leaves_nothing_of_a_transaction() -> None:
    _, state = written((b"a", b"1"), (b"b", b"2"))
    mark = state.savepoint()
    state.put(b"a", b"9")
    state.delete(b"b")
    state.put(b"c", b"3")
    state.rollback(mark)
    assert (state.get(b"a"), state.get(b"b"), state.get(b"c")) == (b"1", b"2", None)
    assert state.changes == {}


def test_an_inner_rollback_keeps_the_outer_writes() -> None:
    _, state = written()
    outer = state.savepoint()
    state.put(b"a", b"1")
    inner = state.savepoint()
    state.put(b"a", b"2")
    state.delete(b"b")
    state.rollback(inner)
    assert state.changes == {b"a": b"1"}
    state.rollback(outer)
    assert state.changes == {}


def test_nothing_reaches_the_store_before_commit() -> None:
    store, state = written((b"a", b"1"))
    before = dict(store.scan(b""))
    state.put(b"a", b"2")
    state.delete(b"a")
    assert dict(store.scan(b"")) == before
    assert State(store).get(b"a") == b"1"


def test_commit_gives_the_root_of_the_contents() -> None:
    store, state = written((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    state.delete(b"b")
    state.put(b"c", b"4")
    root = state.commit()
    assert root == state.root() == checked_root(store) == reference_root({b"a": b"1", b"c": b"4"})
    assert State(store).get(b"c") == b"4"


def test_a_commit_without_changes_keeps_the_root() -> None:
    store, state = written((b"a", b"1"))
    before, root = dict(store.scan(b"")), state.root()
    assert state.commit() == root
    state.put(b"a", b"1")
    assert state.commit() == root
    assert dict(store.scan(b"")) == before


@pytest.mark.parametrize("key", [b"va", b"vz", b"t0", b"t4zz"])
def test_the_check_finds_a_value_or_page_changed_behind_the_tree(key: bytes) -> None:
    store, state = written((b"a", b"1"), (b"b", b"2"))
    assert checked_root(store) == state.root()
    store.put(key, b"2")
    with pytest.raises(CorruptPageError):
        checked_root(store)


def test_the_check_finds_a_value_or_page_that_is_gone() -> None:
    store, _ = written((b"a", b"1"), (b"b", b"2"))
    for key, value in list(store.scan(b"")):
        store.delete(key)
        with pytest.raises(CorruptPageError):
            checked_root(store)
        store.put(key, value)


def test_a_value_and_an_absence_are_proven_against_the_root() -> None:
    _, state = written((b"a", b"1"), (b"b", b"2"))
    root = state.root()
    assert verify(root, b"a", b"1", state.prove(b"a"))
    assert verify(root, b"z", None, state.prove(b"z"))
    assert not verify(root, b"a", b"2", state.prove(b"a"))


def test_scan_shows_the_moment_of_its_call_so_that_a_caller_may_delete_as_it_goes() -> None:
    _, state = written((b"a1", b"1"), (b"a3", b"3"), (b"b", b"5"))
    state.put(b"a2", b"2")
    scanned = state.scan(b"a")
    state.put(b"a4", b"4")
    seen = []
    for key, value in scanned:
        seen.append((key, value))
        state.delete(key)
    assert seen == [(b"a1", b"1"), (b"a2", b"2"), (b"a3", b"3")]
    assert list(state.scan(b"a")) == [(b"a4", b"4")]


def test_scan_begins_at_its_start() -> None:
    _, state = written((b"a1", b"1"), (b"a3", b"3"), (b"b", b"5"))
    state.put(b"a2", b"2")
    assert [key for key, _ in state.scan(b"a", b"2")] == [b"a2", b"a3"]
    assert [key for key, _ in state.scan(b"")] == [b"a1", b"a2", b"a3", b"b"]


@given(st.lists(st.tuples(WRITES, st.booleans()), max_size=6), KEYS)
@settings(max_examples=150, deadline=None)
def test_a_state_equals_a_dictionary_under_any_history(
    transactions: list[tuple[list[tuple[bytes, bytes | None]], bool]], prefix: bytes
) -> None:
    store, expected = MemoryStore(), dict[bytes, bytes]()
    state = State(store)
    for number, (writes, refused) in enumerate(transactions):
        mark = state.savepoint()
        after = dict(expected)
        for key, value in writes:
            if value is None:
                state.delete(key)
                after.pop(key, None)
            else:
                state.put(key, value)
                after[key] = value
        assert dict(state.scan(b"")) == after
        if refused:
            state.rollback(mark)
        else:
            expected = after
        assert list(state.scan(prefix)) == sorted(row for row in expected.items() if row[0].startswith(prefix))
        if number % 2:
            assert state.commit() == reference_root(expected)
    assert state.commit() == reference_root(expected)
    assert bool(list(Prefixed(store, PAGES_PREFIX).scan(b""))) == bool(expected)
