import json
from hashlib import sha256, shake_256
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic.shamir import RawShare, _interpolate

from salus.crypto.errors import BadSharesError
from salus.crypto.shares import coefficients, combine, deal, deal_batch, faulty, quorum, threshold

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "dealing.json").read_text())
KEYS = [sha256(f"key {number}".encode()).digest() for number in range(5)]
CONTEXTS = [f"context {number}".encode() for number in range(5)]
JOINED = b"".join(KEYS)


def dealt(seats: int, least: int) -> dict[int, bytes]:
    return dict(enumerate(deal_batch(KEYS, CONTEXTS, seats=seats, threshold=least), start=1))


@pytest.mark.parametrize(("seats", "least"), [(4, 0), (4, -1), (4, 5), (0, 0), (0, 1), (256, 3), (256, 256)])
def test_a_threshold_outside_the_committee_is_refused(seats: int, least: int) -> None:
    with pytest.raises(BadSharesError) as caught:
        deal_batch(KEYS, CONTEXTS, seats=seats, threshold=least)
    assert caught.value.code == "crypto.bad_shares"


def test_keys_and_contexts_that_do_not_match_are_refused() -> None:
    with pytest.raises(BadSharesError):
        deal_batch(KEYS, CONTEXTS[:4], seats=4, threshold=3)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(BadSharesError):
        deal_batch([key], CONTEXTS[:1], seats=4, threshold=3)


def test_coefficients_of_another_length_are_refused() -> None:
    with pytest.raises(BadSharesError):
        deal(JOINED, [JOINED, JOINED[:-1]], 4)


@pytest.mark.parametrize(
    "shares",
    [{}, {0: bytes(32)}, {256: bytes(32)}, {-1: bytes(32)}, {1: bytes(32), 2: bytes(31)}, {1: bytes(32), 2: b""}],
)
def test_shares_that_do_not_belong_together_are_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(BadSharesError):
        combine(shares)


def test_one_seat_too_few_does_not_give_the_keys() -> None:
    for seats in (2, 3, 4, 7):
        shares, least = dealt(seats, threshold(seats)), threshold(seats)
        for chosen in combinations(shares, least - 1):
            if chosen:
                assert combine({seat: shares[seat] for seat in chosen}) != JOINED


def test_one_wrong_share_gives_other_keys() -> None:
    shares = dealt(4, 3)
    assert combine({1: shares[1], 2: shares[2], 3: shares[4]}) != JOINED
    flipped = bytes([shares[3][0] ^ 1]) + shares[3][1:]
    assert combine({1: shares[1], 2: shares[2], 3: flipped}) != JOINED


def test_every_value_of_a_key_byte_fits_what_two_of_three_seats_hold() -> None:
    """Perfect secrecy of the scheme itself: with coefficients left free, a share of `t - 1` seats excludes nothing."""
    # Seats 1 and 2 are fixed; seat 3 runs through all that it could hold.
    seen = {combine({1: b"\x17", 2: b"\x2a", 3: bytes([third])}) for third in range(256)}
    assert len(seen) == 256


@pytest.mark.parametrize("seats", [1, 2, 3, 4, 5, 7])
def test_any_seats_enough_give_the_keys(seats: int) -> None:
    least = threshold(seats)
    shares = dealt(seats, least)
    for count in range(least, seats + 1):
        for chosen in combinations(shares, count):
            assert combine({seat: shares[seat] for seat in chosen}) == JOINED


def test_the_largest_committee_deals_and_combines() -> None:
    shares = dealt(255, 169)
    assert combine({seat: shares[seat] for seat in range(87, 256)}) == JOINED


@given(st.data(), st.integers(1, 20))
def test_what_is_dealt_combines(data: st.DataObject, seats: int) -> None:
    least = data.draw(st.integers(1, seats))
    keys = data.draw(st.lists(st.binary(min_size=32, max_size=32), max_size=3))
    blobs = deal_batch(keys, CONTEXTS[: len(keys)], seats=seats, threshold=least)
    chosen = data.draw(st.sets(st.integers(1, seats), min_size=least))
    assert combine({seat: blobs[seat - 1] for seat in chosen}) == b"".join(keys)


def test_dealing_again_gives_the_same_shares_and_another_context_gives_others() -> None:
    assert dealt(4, 3) == dealt(4, 3)
    again = deal_batch(KEYS, [context + b"!" for context in CONTEXTS], seats=4, threshold=3)
    assert all(left != right for left, right in zip(dealt(4, 3).values(), again, strict=True))


def test_a_batch_is_dealt_as_its_records_one_by_one() -> None:
    alone = [deal_batch([key], [context], seats=7, threshold=5) for key, context in zip(KEYS, CONTEXTS, strict=True)]
    assert list(dealt(7, 5).values()) == [b"".join(row[seat] for row in alone) for seat in range(7)]


@pytest.mark.parametrize("seats", [2, 4, 7, 13])
def test_a_second_implementation_interpolates_to_the_same_keys_and_shares(seats: int) -> None:
    least = threshold(seats)
    shares = dealt(seats, least)
    held = [RawShare(seat, shares[seat]) for seat in range(seats - least + 1, seats + 1)]
    assert _interpolate(held, 0) == JOINED
    assert all(_interpolate(held, seat) == shares[seat] for seat in shares)


def test_coefficients_follow_from_key_and_context_as_written() -> None:
    expected = shake_256(bytes.fromhex(VECTORS["tag"]) + b"context" + KEYS[0]).digest(64)
    assert coefficients(KEYS[0], b"context", 3) == expected
    assert coefficients(KEYS[0], b"context", 1) == b""


def test_dealing_keeps_its_vectors() -> None:
    for case in VECTORS["cases"]:
        seats, least = case["seats"], case["threshold"]
        keys, contexts = ([bytes.fromhex(one) for one in case[name]] for name in ("keys", "contexts"))
        blobs = deal_batch(keys, contexts, seats=seats, threshold=least)
        assert {seat: blobs[int(seat) - 1].hex() for seat in case["shares"]} == case["shares"]
        for key, context, kept in zip(keys, contexts, case["coefficients"], strict=True):
            assert kept in ("", coefficients(key, context, least).hex())


def test_committees_have_the_sizes_of_the_design() -> None:
    assert [threshold(seats) for seats in range(1, 8)] == [1, 2, 2, 3, 3, 4, 5]
    assert [faulty(seats) for seats in range(1, 8)] == [0, 0, 0, 1, 1, 1, 2]
    assert [quorum(seats) for seats in range(1, 8)] == [1, 2, 3, 3, 4, 5, 5]


@given(st.integers(1, 255))
def test_a_quorum_always_holds_enough_honest_seats(seats: int) -> None:
    assert faulty(seats) < threshold(seats) <= quorum(seats) <= seats
    assert 2 * quorum(seats) - seats > faulty(seats)
