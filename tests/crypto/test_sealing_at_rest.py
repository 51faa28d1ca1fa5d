import pytest

from salus.crypto.errors import BadKeyError, UnopenableError
from salus.crypto.sealing_at_rest import OVERHEAD_BYTES, unwrap, wrap

KEY, NONCE, CONTEXT = bytes(range(32)), bytes(range(12)), b"share of subject 1"
WRAPPED = wrap(KEY, NONCE, b"share", CONTEXT)


@pytest.mark.parametrize("place", range(len(WRAPPED)))
def test_an_altered_byte_does_not_unwrap(place: int) -> None:
    altered = WRAPPED[:place] + bytes([WRAPPED[place] ^ 0x80]) + WRAPPED[place + 1 :]
    with pytest.raises(UnopenableError):
        unwrap(KEY, altered, CONTEXT)


@pytest.mark.parametrize("length", range(len(WRAPPED)))
def test_cut_bytes_do_not_unwrap(length: int) -> None:
    with pytest.raises(UnopenableError):
        unwrap(KEY, WRAPPED[:length], CONTEXT)


def test_another_key_or_context_does_not_unwrap() -> None:
    with pytest.raises(UnopenableError):
        unwrap(bytes(32), WRAPPED, CONTEXT)
    with pytest.raises(UnopenableError):
        unwrap(KEY, WRAPPED, b"share of subject 2")


def test_a_key_or_nonce_of_another_length_is_refused() -> None:
    with pytest.raises(BadKeyError):
        wrap(KEY[:16], NONCE, b"share", CONTEXT)
    with pytest.raises(BadKeyError):
        wrap(KEY, NONCE[:8], b"share", CONTEXT)
    with pytest.raises(BadKeyError):
        unwrap(KEY[:16], WRAPPED, CONTEXT)


def test_what_is_wrapped_unwraps_with_its_nonce_in_front() -> None:
    assert WRAPPED[:12] == NONCE
    assert len(WRAPPED) == len(b"share") + OVERHEAD_BYTES
    assert unwrap(KEY, WRAPPED, CONTEXT) == b"share"


def test_wrapping_is_aes_256_gcm() -> None:
    """The GCM specification's test case 14 (McGrew, Viega: "The Galois/Counter Mode of Operation", appendix B)."""
    wrapped = wrap(bytes(32), bytes(12), bytes(16), b"")
    assert wrapped[12:].hex() == "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"
