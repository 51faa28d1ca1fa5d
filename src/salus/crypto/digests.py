"""Digests, blinded terms and derived keys, each for one meaning only.

A hash of joined parts says nothing about where one part ends; `tagged` and `derive` write lengths first, so that two
different lists of parts, or two different purposes, never share an input.
"""

import hmac
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from salus.core.ids import Digest, Token
from salus.crypto.errors import BadKeyError

TOKEN_BYTES = 16

_BLOCK_BYTES = 64
_INNER_PAD, _OUTER_PAD = (bytes(value ^ pad for value in range(256)) for pad in (0x36, 0x5C))

PathPart = bytes | str | int


def digest(data: bytes) -> Digest:
    """SHA-256 of these bytes."""
    return sha256(data).digest()


def tagged(tag: str, *parts: bytes) -> Digest:
    """SHA-256 of parts for one purpose: length (2 bytes) and tag, then length (8 bytes) and bytes of every part."""
    hasher = sha256(_beginning(tag))
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)  # Not joined first: a part may be a whole deposit.
    return hasher.digest()


@cache
def _beginning(tag: str) -> bytes:
    name = tag.encode()
    return len(name).to_bytes(2, "big") + name


def blind(key: bytes, term: str) -> Token:
    """The token under which a keeper matches `term` without knowing it: HMAC-SHA-256 cut to 16 bytes."""
    return hmac.digest(key, term.encode(), "sha256")[:TOKEN_BYTES]


class Keyed:
    """HMAC-SHA-256 (RFC 2104) under one key of at most 64 bytes, for many messages: the key is hashed in once.

    The same bytes as `hmac.digest`, in less than half the time.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """Take a key.

        Raises:
            BadKeyError: it is longer than a block of SHA-256.
        """
        if len(key) > _BLOCK_BYTES:
            raise BadKeyError(size_bytes=len(key))
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def digest(self, message: bytes) -> Digest:
        """The whole 32 bytes."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Blinder(Keyed):
    """`blind` under one key, for many terms."""

    __slots__ = ()

    def __call__(self, term: str) -> Token:
        """The token of a term."""
        return self.digest(term.encode())[:TOKEN_BYTES]


def derive(seed: bytes, *path: PathPart, length: int = 32) -> bytes:
    """The key that stands at `path` under this seed: HKDF-SHA-256 (RFC 5869) without salt, `length` bytes.

    A part keeps its kind: `1`, `"1"` and `b"1"` lead to different keys. Integers are 0 to 2^64 - 1.
    """
    info = b"".join(_path_part(part) for part in path)
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(seed)


def _path_part(part: PathPart) -> bytes:
    if isinstance(part, int):
        return b"i" + part.to_bytes(8, "big")
    kind, data = (b"s", part.encode()) if isinstance(part, str) else (b"b", part)
    return kind + len(data).to_bytes(4, "big") + data
