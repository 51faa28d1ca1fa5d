"""A pattern recognises an answer that differs in its shares alone, and no other."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.core.wire import encode
from salus.keeper.messages import BatchProof, Item
from salus.sdk.alike import pattern_of

HEADERS = (b"h" * 40, b"i" * 300)  # One short and one long: their lengths are written differently.
PROOFS = (BatchProof(author="mercy", batch_id=bytes(16), leaf_proof=b"leaf", row_proof=b"row"),)


@dataclass(frozen=True)
class Told:
    """What a pattern looks at in an answer."""

    items: tuple[bytes, ...]
    proofs: tuple[BatchProof, ...] = PROOFS


def item(header: bytes, share: bytes = bytes(32), obligations: tuple[str, ...] = ()) -> Item:
    return Item(header, b"s" * 32, share, b"h" * 128, obligations)


ITEMS = (item(HEADERS[0]), item(HEADERS[1], obligations=("log",)))
ANSWER = Told(tuple(encode(one) for one in ITEMS))
PATTERN = pattern_of(ANSWER, ITEMS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        Told(ANSWER.items[:1]),
        Told((*ANSWER.items, ANSWER.items[0])),
        Told(ANSWER.items[::-1]),
        Told(ANSWER.items, proofs=()),
        Told((ANSWER.items[0][:-1] + b"\xc0", ANSWER.items[1])),
        Told((ANSWER.items[0] + b"\0", ANSWER.items[1])),
        Told((encode(item(HEADERS[0], share=bytes(31))), ANSWER.items[1])),
        Told((encode(item(HEADERS[0], share=bytes(33))), ANSWER.items[1])),
        Told((encode(item(HEADERS[0], obligations=("log",))), ANSWER.items[1])),
    ],
)
def test_an_answer_that_says_anything_else_is_not_alike(other: Told) -> None:
    assert PATTERN is not None
    assert PATTERN.shares_of(other) is None  # type: ignore[arg-type]


@given(st.integers(0, 1), st.data())
def test_one_other_byte_is_found_wherever_it_stands_unless_in_a_share(place: int, data: st.DataObject) -> None:
    assert PATTERN is not None
    items = [bytearray(one) for one in ANSWER.items]
    at = data.draw(st.integers(0, len(items[place]) - 1))
    items[place][at] ^= 1
    shares = PATTERN.shares_of(Told(tuple(bytes(one) for one in items)))  # type: ignore[arg-type]
    tail = len(encode(ITEMS[place].share_hashes)) + len(encode(ITEMS[place].obligations))
    in_share = 0 <= at - (len(items[place]) - tail - 32) < 32
    assert (shares is not None) is in_share


def test_shares_come_in_the_order_of_the_items() -> None:
    assert PATTERN is not None
    other = Told((encode(item(HEADERS[0], b"a" * 32)), encode(item(HEADERS[1], b"b" * 32, ("log",)))))
    assert PATTERN.shares_of(other) == [b"a" * 32, b"b" * 32]  # type: ignore[arg-type]


def test_where_a_share_lies_is_not_guessed() -> None:
    short = item(HEADERS[0], share=bytes(31))
    assert pattern_of(Told((encode(short),)), [short]) is None  # type: ignore[arg-type]
    loose = b"\xdc\x00\x06" + ANSWER.items[0][1:]  # The same item, its array written longer than need be.
    assert pattern_of(Told((loose,)), ITEMS[:1]) is None  # type: ignore[arg-type]
