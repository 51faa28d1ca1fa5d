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

TOKEN_BYTES = 16

PathPart = bytes | str | int


def digest(data: bytes) -> Digest:
    """SHA-256 of these bytes."""
    return sha256(data).digest()


def tagged(tag: str, *parts: bytes) -> Digest:
    """SHA-256 of parts for one purpose: length (2 bytes) and tag, then length (8 bytes) and bytes of every part."""
    joined = _beginning(tag)
    for part in parts:
        joined += len(part).to_bytes(8, "big") + part
    return sha256(joined).digest()


@cache
def _beginning(tag: str) -> bytes:
    name = tag.encode()
    return len(name).to_bytes(2, "big") + name


def blind(key: bytes, term: str) -> Token:
    """The token under which a keeper matches `term` without knowing it: HMAC-SHA-256 cut to 16 bytes."""
    return hmac.digest(key, term.encode(), "sha256")[:TOKEN_BYTES]


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
