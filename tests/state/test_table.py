"""Tables keep records under typed keys, in the order of the keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.core.wire import Record, encode
from salus.state import Bytes, CorruptValueError, Integer, MemoryStore, State, Table, Text
from salus.state.proofs import verify


class Entry(Record, frozen=True, tag="tests.entry/1"):
    """What the tables of these tests keep."""

    number: int


ONE: Table[bytes, Entry] = Table("tests/one/", Entry, Bytes(16))
NAMED: Table[tuple[str, int], Entry] = Table("tests/named/", Entry, Text(), Integer())
ID = bytes(range(16))


@pytest.mark.parametrize("key", [bytes(15), bytes(17), "a" * 16, 7, (ID, ID), ()])
def test_a_key_of_another_shape_is_refused(key: object) -> None:
    with pytest.raises(ValueError):
        ONE.key_bytes(key)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [("a", -1), ("a", 1 << 64), ("a" * 256, 0), (b"a", 0), ("a",), ("a", 0, 0)])
def test_a_composite_key_of_another_shape_is_refused(key: object) -> None:
    with pytest.raises(ValueError):
        NAMED.key_bytes(key)  # type: ignore[arg-type]


@pytest.mark.parametrize(("prefix", "parts"), [("tests/x", (Integer(),)), ("tests/x/", ())])
def test_a_table_without_end_of_prefix_or_key_is_refused(prefix: str, parts: tuple[Integer, ...]) -> None:
    with pytest.raises(ValueError):
        Table(prefix, Entry, *parts)


@pytest.mark.parametrize("data", [b"", b"\xc0", encode(7), encode(Entry(number=1)) + b"\0"])
def test_a_stored_value_that_does_not_decode_is_an_integrity_error_without_the_key(data: bytes) -> None:
    state = State(MemoryStore())
    state.put(ONE.key_bytes(ID), data)
    with pytest.raises(CorruptValueError) as caught:
        ONE.get(state, ID)
    assert caught.value.code == "state.corrupt_value"
    assert ID.hex() not in str(caught.value)


@pytest.mark.parametrize(
    "tail", [b"", b"\x01", b"\x01a", b"\x01a" + bytes(7), b"\x01a" + bytes(9), b"\x01\xff" + bytes(8)]
)
def test_a_stored_key_of_another_shape_is_an_integrity_error(tail: bytes) -> None:
    state = State(MemoryStore())
    state.put(b"tests/named/" + tail, encode(Entry(number=1)))
    with pytest.raises(CorruptValueError):
        list(NAMED.items(state))


def test_a_record_is_put_had_and_deleted() -> None:
    state = State(MemoryStore())
    assert ONE.get(state, ID) is None
    assert not ONE.has(state, ID)
    ONE.put(state, ID, Entry(number=7))
    assert ONE.get(state, ID) == Entry(number=7)
    assert ONE.has(state, ID)
    ONE.delete(state, ID)
    assert ONE.get(state, ID) is None


def test_a_key_is_its_prefix_and_its_parts() -> None:
    assert ONE.key_bytes(ID) == b"tests/one/" + ID
    assert NAMED.key_bytes(("ab", 258)) == b"tests/named/\x02ab\0\0\0\0\0\0\x01\x02"


def test_items_are_in_key_order_and_can_be_narrowed_by_leading_parts() -> None:
    state = State(MemoryStore())
    keys = [("a", 300), ("a", 2), ("b", 1), ("ab", 9)]
    for key in keys:
        NAMED.put(state, key, Entry(number=key[1]))
    assert [key for key, _ in NAMED.items(state)] == [("a", 2), ("a", 300), ("b", 1), ("ab", 9)]
    assert list(NAMED.items(state, "a")) == [(("a", 2), Entry(number=2)), (("a", 300), Entry(number=300))]
    assert list(NAMED.items(state, "a", 2)) == [(("a", 2), Entry(number=2))]
    with pytest.raises(ValueError):
        NAMED.items(state, "a", 2, 3)


def test_a_committed_record_is_proven_by_its_table() -> None:
    state = State(MemoryStore())
    ONE.put(state, ID, Entry(number=7))
    root = state.commit()
    assert verify(root, ONE.key_bytes(ID), encode(Entry(number=7)), ONE.prove(state, ID))
    assert not verify(root, ONE.key_bytes(ID), encode(Entry(number=8)), ONE.prove(state, ID))


@given(st.dictionaries(st.tuples(st.text(max_size=5), st.integers(0, (1 << 64) - 1)), st.integers(0, 99), max_size=10))
def test_every_key_comes_back_as_it_was(rows: dict[tuple[str, int], int]) -> None:
    state = State(MemoryStore())
    for key, number in rows.items():
        NAMED.put(state, key, Entry(number=number))
    assert {key: entry.number for key, entry in NAMED.items(state)} == rows
