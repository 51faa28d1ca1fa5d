"""Wrapping what a member keeps: AES-256-GCM under a key that can be destroyed, with the nonce in front.

The nonce must be fresh for every wrapping under one key (96 random bits: below 2^32 wrappings). Nothing here is cached:
a key that was destroyed for an erasure must not live on in this process.
"""

from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from salus.crypto.errors import BadKeyError, UnopenableError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES


def wrap(key: bytes, nonce: bytes, data: bytes, context: bytes) -> bytes:
    """Data under a key, bound to a context that says what and whose it is; 28 bytes longer.

    Raises:
        BadKeyError: the key is not of 32 bytes or the nonce not of 12.
    """
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise BadKeyError(size_bytes=len(key), nonce_bytes=len(nonce))
    return nonce + AESGCM(key).encrypt(nonce, data, context)


def unwrap(key: bytes, wrapped: bytes, context: bytes) -> bytes:
    """What was wrapped under this key and context.

    Raises:
        BadKeyError: the key is not of 32 bytes.
        UnopenableError: wrapped under another key or context, or altered.
    """
    return unwrap_all(key, [(wrapped, context)])[0]


def unwrap_all(key: bytes, rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """What each row holds, wrapped with its context under one key: faster than one by one where there are many.

    Raises:
        BadKeyError: the key is not of 32 bytes.
        UnopenableError: one was wrapped under another key or context, or altered.
    """
    if len(key) != KEY_BYTES:
        raise BadKeyError(size_bytes=len(key))
    open_one = AESGCM(key).decrypt
    return [_opened(open_one, wrapped, context) for wrapped, context in rows]


def _opened(open_one: Callable[[bytes, bytes, bytes], bytes], wrapped: bytes, context: bytes) -> bytes:
    if len(wrapped) < OVERHEAD_BYTES:
        raise UnopenableError(size_bytes=len(wrapped))
    try:
        return open_one(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
    except InvalidTag:
        raise UnopenableError(size_bytes=len(wrapped)) from None
