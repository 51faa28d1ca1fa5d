"""One value has one encoding; secrets and people's words never show in a repr."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.core.errors import MalformedError
from salus.core.ids import CellId, Name, Version
from salus.core.wire import Message, Record, decode, decode_all, encode, reopen, replace


class Move(Message, tag="test.move/1", frozen=True):
    """A message."""

    cell: CellId
    sponsor: Name
    version: Version


class Stay(Message, tag="test.stay/1", frozen=True):
    """Another message."""

    cell: CellId


class Note(Record, tag="test.note/1", frozen=True):
    """Holds what must not be shown."""

    key: bytes
    words: str
    count: int
    inner: Stay | None


MOVE = Move(cell=b"c" * 16, sponsor="mercy", version=3)  # type: ignore[arg-type]
GOOD = encode(MOVE)

BAD = {
    "empty": b"",
    "cut short": GOOD[:-1],
    "a trailing byte": GOOD + b"\x00",
    "an integer written long": GOOD[:-1] + b"\xcc\x03",
    "a field too many": b"\x95" + GOOD[1:] + b"\x00",
    "a field too few": b"\x93" + GOOD[1:-1],
    "a map": encode({"cell": b"c" * 16}),
    "another tag": GOOD.replace(b"test.move/1", b"test.move/2"),
    "a name in capitals": GOOD.replace(b"mercy", b"MERCY"),
    "a name with a line break": GOOD.replace(b"\xa5mercy", b"\xa6mercy\n"),
    "an id of 15 bytes": GOOD.replace(b"\xc4\x10" + b"c" * 16, b"\xc4\x0f" + b"c" * 15),
    "a negative version": GOOD[:-1] + b"\xff",
    "a float": GOOD[:-1] + b"\xcb" + bytes(8),
    "deep nesting": b"\x91" * 100_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_not_the_one_encoding_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(Move | Stay, data)  # type: ignore[arg-type]


def test_a_value_comes_back_as_it_was() -> None:
    assert decode(Move, GOOD) == MOVE
    assert decode(Move | Stay, GOOD) == MOVE  # type: ignore[arg-type, comparison-overlap]
    assert reopen(Move, GOOD) == MOVE
    assert replace(MOVE, version=4).version == 4


@given(st.binary(max_size=64))
def test_bytes_that_decode_encode_to_themselves(data: bytes) -> None:
    try:
        value = decode(Move | Stay, data)  # type: ignore[arg-type]
    except MalformedError:
        return
    assert encode(value) == data


def test_a_repr_shows_sizes_and_numbers_and_nothing_else() -> None:
    note = Note(key=b"secret-key-bytes", words="lives next door", count=7, inner=Stay(cell=b"x" * 16))
    shown = repr(note)
    assert shown == "Note(key=<16 bytes>, words=<15 str>, count=7, inner=Stay(cell=<16 bytes>))"


def test_an_error_of_a_malformed_value_does_not_quote_it() -> None:
    with pytest.raises(MalformedError) as caught:
        decode(Move, encode(("test.move/1", b"c" * 16, "Jane Doe", 1)))
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_one_of_many_that_is_malformed_is_named_by_its_place(bad: bytes) -> None:
    with pytest.raises(MalformedError) as raised:
        decode_all(Move, [GOOD, GOOD, bad, GOOD])
    assert raised.value.facts["place"] == 2


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_values_that_only_make_sense_when_joined_are_malformed(cut: int) -> None:
    with pytest.raises(MalformedError):
        decode_all(Move, [GOOD[:cut], GOOD[cut:]])
    with pytest.raises(MalformedError):
        decode_all(Move, [GOOD + GOOD[:cut], GOOD[cut:]])


@given(st.lists(st.integers(0, 1 << 62), max_size=40))
def test_many_are_decoded_as_one_by_one(versions: list[int]) -> None:
    data = [encode(replace(MOVE, version=version)) for version in versions]
    assert decode_all(Move, data) == [decode(Move, one) for one in data]
