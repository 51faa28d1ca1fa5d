import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.crypto.digests import Blinder, Keyed, blind, derive, digest, tagged
from salus.crypto.errors import BadKeyError

KEY = bytes(range(32))


def test_digest_is_sha256() -> None:
    assert digest(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("a", b"bc"), ("ab", b"c")),
        (("a", b"b", b"c"), ("a", b"bc")),
        (("a", b"", b"b"), ("a", b"b", b"")),
        (("a",), ("a", b"")),
        (("a", b"\0"), ("a\0", b"")),
    ],
)
def test_tagged_never_confuses_where_a_part_ends(left: tuple[str, bytes], right: tuple[str, bytes]) -> None:
    assert tagged(left[0], *left[1:]) != tagged(right[0], *right[1:])


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_tagged_differs_where_the_parts_differ(left: list[bytes], right: list[bytes]) -> None:
    assert (tagged("salus.test/1", *left) == tagged("salus.test/1", *right)) == (left == right)


def test_tagged_writes_lengths_before_bytes() -> None:
    written = b"\0\x01t" + bytes(7) + b"\x02ab"
    assert tagged("t", b"ab") == hashlib.sha256(written).digest()


def test_blind_is_hmac_sha256_cut_to_sixteen_bytes() -> None:
    """RFC 4231, test case 2."""
    assert blind(b"Jefe", "what do ya want for nothing?").hex() == "5bdcc146bf60754e6a042426089575c7"


def test_a_term_under_another_key_is_another_token() -> None:
    assert blind(KEY, "label:PSY") != blind(bytes(32), "label:PSY")
    assert blind(KEY, "label:PSY") != blind(KEY, "label:HIV")


def test_a_key_longer_than_a_block_is_refused() -> None:
    with pytest.raises(BadKeyError):
        Keyed(bytes(65))


@given(st.binary(max_size=64), st.lists(st.binary(max_size=200), max_size=3))
def test_keyed_is_hmac_sha256_however_often_it_is_asked(key: bytes, messages: list[bytes]) -> None:
    keyed = Keyed(key)
    assert [keyed.digest(one) for one in messages] == [hmac.digest(key, one, "sha256") for one in messages]


@given(st.binary(min_size=32, max_size=32), st.text(max_size=40))
def test_a_blinder_blinds(key: bytes, term: str) -> None:
    assert Blinder(key)(term) == blind(key, term)


@pytest.mark.parametrize(
    ("left", "right"),
    [((1,), ("1",)), (("1",), (b"1",)), (("a", "b"), ("ab",)), ((1, 2), (2, 1)), ((), ("",)), ((0,), (bytes(8),))],
)
def test_derive_never_confuses_two_paths(
    left: tuple[bytes | str | int, ...], right: tuple[bytes | str | int, ...]
) -> None:
    assert derive(KEY, *left) != derive(KEY, *right)


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_derive_refuses_a_number_it_cannot_write(number: int) -> None:
    with pytest.raises(OverflowError):
        derive(KEY, number)


@pytest.mark.parametrize("length", [16, 32, 64, 100])
def test_derive_is_hkdf_as_rfc_5869_writes_it(length: int) -> None:
    info = b"s" + b"\0\0\0\x05owner" + b"b" + b"\0\0\0\x02id" + b"i" + bytes(7) + b"\x07"
    extracted = hmac.digest(bytes(32), KEY, "sha256")
    expanded, block = b"", b""
    for counter in range(1, 5):
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        expanded += block
    assert derive(KEY, "owner", b"id", 7, length=length) == expanded[:length]
