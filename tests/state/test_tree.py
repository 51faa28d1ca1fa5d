"""The tree against the published vectors, against its definition, and against its own history."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salus.state import CorruptPageError, MemoryStore, Prefixed, tree
from salus.state.pages import PLACEHOLDER
from tests.state.reference_tree import reference_root

DATA = Path(os.environ.get("SALUS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
VECTORS = DATA / "jmt-sha256-vectors.json"

# Few distinct keys, so that histories overwrite and delete what they wrote before.
KEYS = st.integers(0, 60).map(lambda number: b"key%d" % number)
BLOCKS = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=25), max_size=8)


def near_keys(count: int, bits: int) -> list[bytes]:
    """Keys whose hashes begin with the same bits, so that pages grow one below another."""
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = b"near%d" % number
        if int.from_bytes(sha256(key).digest()[:4], "big") >> (32 - bits) == 0:
            found.append(key)
        number += 1
    return found


def contents_of(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.scan(b""))


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared test data is not beside the repository")
def test_published_vectors_give_their_roots() -> None:
    vectors = json.loads(VECTORS.read_text())["vectors"]
    assert vectors
    for vector in vectors:
        changes = {bytes.fromhex(row["key"]): bytes.fromhex(row["value"]) for row in vector["data"]}
        assert tree.update(MemoryStore(), changes).hex() == vector["expected_root"]


def test_the_empty_tree_has_the_placeholder_as_root() -> None:
    assert tree.root(MemoryStore()) == PLACEHOLDER == reference_root({})


def test_deleting_what_is_not_there_changes_nothing() -> None:
    store = MemoryStore()
    tree.update(store, {b"a": b"1", b"b": b"2"})
    before = contents_of(store)
    assert tree.update(store, {b"c": None, b"d": None}) == reference_root({b"a": b"1", b"b": b"2"})
    assert contents_of(store) == before


def test_no_changes_leave_the_root() -> None:
    store = MemoryStore()
    before = tree.update(store, {b"a": b"1"})
    assert tree.update(store, {}) == before


def test_a_tree_with_full_pages_equals_the_definition_block_after_block() -> None:
    contents = {b"key%d" % number: b"0" for number in range(1500)}
    store = MemoryStore()
    tree.update(store, dict(contents))
    assert sum(len(page) == 4 + 30 * 32 for _, page in store.scan(b"")) > 8  # The root and more below it.
    for block in range(12):
        changes: dict[bytes, bytes | None] = {
            b"key%d" % number: b"%d" % block for number in range(block, 40 * block, 37)
        }
        changes |= dict.fromkeys(b"key%d" % number for number in range(110 * block, 110 * block + 110))
        for key, value in changes.items():
            contents.pop(key, None) if value is None else contents.update({key: value})
        assert tree.update(store, changes) == tree.root(store) == reference_root(contents)
    at_once = MemoryStore()
    tree.update(at_once, dict(contents))
    assert contents_of(store) == contents_of(at_once)


def test_a_missing_page_is_found_out() -> None:
    store = MemoryStore()
    tree.update(store, {b"key%d" % number: b"1" for number in range(100)})
    store.delete(max(contents_of(store)))
    with pytest.raises(CorruptPageError):
        tree.update(store, {b"key%d" % number: b"2" for number in range(100)})


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\1" + bytes(31),
        b"\0\1\0\1" + bytes(63),
        b"\0\0\xff\xff" + bytes(16 * 32),
        b"\0\0\0\0" + bytes(32),
    ],
)
def test_a_page_of_another_form_is_found_out(page: bytes) -> None:
    store = MemoryStore()
    store.put(b"0", page)
    with pytest.raises(CorruptPageError):
        tree.root(store)


@given(BLOCKS)
@settings(max_examples=150, deadline=None)
def test_root_equals_the_definition_after_every_block_of_a_history(blocks: list[dict[bytes, bytes | None]]) -> None:
    store, contents = MemoryStore(), dict[bytes, bytes]()
    for changes in blocks:
        for key, value in changes.items():
            contents.pop(key, None) if value is None else contents.update({key: value})
        assert tree.update(store, changes) == tree.root(store) == reference_root(contents)


@given(BLOCKS, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_pages_depend_on_contents_alone(blocks: list[dict[bytes, bytes | None]], chance: object) -> None:
    store, contents = MemoryStore(), dict[bytes, bytes]()
    for changes in blocks:
        tree.update(store, changes)
        contents = {key: value for key, value in {**contents, **changes}.items() if value is not None}
    rows = list(contents.items())
    chance.shuffle(rows)  # type: ignore[attr-defined]
    at_once = MemoryStore()
    tree.update(at_once, dict(rows))
    assert contents_of(store) == contents_of(at_once)


def test_keys_that_lie_near_each_other_grow_deep_pages_and_collapse_again() -> None:
    near = near_keys(count=4, bits=13)
    store = MemoryStore()
    alone = tree.update(store, {near[0]: b"0"})
    pages_alone = contents_of(store)
    for count in range(2, 5):
        contents = dict.fromkeys(near[:count], b"0")
        assert tree.update(store, {near[count - 1]: b"0"}) == reference_root(contents)
    assert max(len(path) for path in contents_of(store)) >= 4
    for count in range(3, 0, -1):
        assert tree.update(store, {near[count]: None}) == reference_root(dict.fromkeys(near[:count], b"0"))
    assert tree.root(store) == alone
    assert contents_of(store) == pages_alone


def test_a_leaf_moves_up_when_its_neighbours_and_their_pages_go_in_one_block() -> None:
    near = near_keys(count=4, bits=13)
    store = MemoryStore()
    tree.update(store, dict.fromkeys(near, b"0"))
    assert tree.update(store, dict.fromkeys(near[1:]) | {near[0]: b"1"}) == reference_root({near[0]: b"1"})
    assert list(contents_of(store)) == [b"0"]
    assert tree.update(store, {near[0]: None}) == PLACEHOLDER
    assert contents_of(store) == {}


def test_a_part_of_a_store_serves_as_well_as_a_whole_one() -> None:
    store = MemoryStore()
    store.put(b"other", b"1")
    changes = {b"key%d" % number: b"value" for number in range(40)}
    assert tree.update(Prefixed(store, b"log/"), dict(changes)) == reference_root(changes)
    assert store.get(b"other") == b"1"
    assert all(key.startswith((b"log/", b"other")) for key in contents_of(store))
