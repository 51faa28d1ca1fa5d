"""A key from a passphrase: scrypt (RFC 7914), whose cost in time and memory is what a thief pays for each guess."""

import unicodedata
from dataclasses import dataclass

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from salus.crypto.errors import BadKeyError

KEY_BYTES = 32
SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess costs: memory is 128 · 2^log2_n · r bytes."""

    log2_n: int
    r: int
    p: int


USUAL = Cost(log2_n=17, r=8, p=1)  # 128 MiB and about half a second.
MOST = Cost(log2_n=20, r=8, p=4)  # What a file may ask of whoever opens it: 1 GiB.


def key_of(passphrase: str, salt: bytes, cost: Cost = USUAL) -> bytes:
    """The 32-byte key of a passphrase, however its letters were composed.

    Raises:
        BadKeyError: the salt is not of 32 bytes, or the cost is none that is borne.
    """
    is_borne = 1 <= cost.log2_n <= MOST.log2_n and 1 <= cost.r <= MOST.r and 1 <= cost.p <= MOST.p
    if len(salt) != SALT_BYTES or not is_borne:
        raise BadKeyError(salt_bytes=len(salt), log2_n=cost.log2_n)
    normal = unicodedata.normalize("NFC", passphrase).encode()
    return Scrypt(salt=salt, length=KEY_BYTES, n=1 << cost.log2_n, r=cost.r, p=cost.p).derive(normal)
