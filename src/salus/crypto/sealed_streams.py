"""Long data sealed piece by piece, so that neither end holds all of it: AES-256-GCM, each piece in its place.

A piece's nonce is its number and whether it is the last, so pieces can be neither moved, dropped, doubled nor cut off
at the end. The key must be of this stream alone.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from salus.crypto.errors import UnopenableError

PIECE_BYTES = 1 << 20
OVERHEAD_BYTES = 16


def seal_piece(key: bytes, number: int, data: bytes, *, is_last: bool) -> bytes:
    """The piece of this number, from 0; all but the last are of `PIECE_BYTES`."""
    return AESGCM(key).encrypt(_nonce(number, is_last), data, None)


def open_piece(key: bytes, number: int, sealed: bytes, *, is_last: bool) -> bytes:
    """What was sealed as this piece.

    Raises:
        UnopenableError: it was altered, stands in another place, or is the last where more should come.
    """
    try:
        return AESGCM(key).decrypt(_nonce(number, is_last), sealed, None)
    except (InvalidTag, ValueError):
        raise UnopenableError(size_bytes=len(sealed)) from None


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
