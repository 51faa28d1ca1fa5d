"""Sealing to the holder of a key: HPKE (RFC 9180), base mode, one message per sealing.

The KEM is X-Wing, ML-KEM-768 joined with X25519 (draft-connolly-cfrg-xwing-kem, HPKE id 0x647a): it stands while either
of the two does. Base mode says nothing of the sender; whoever needs that signs what is inside. `info` binds a sealing
to its purpose and is not sent along. `seal` draws its encapsulation inside the library, so it is for the edges: no rule
of the chain may call it.
"""

from functools import lru_cache
from hashlib import shake_256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from salus.core.ids import SealingKey
from salus.crypto.errors import BadKeyError, UnopenableError

SEED_BYTES = 32
MLKEM_SEED_BYTES = 64
MLKEM_PUBLIC_BYTES = 1184
SEALING_KEY_BYTES = 1216
OVERHEAD_BYTES = 1136  # 1088 of ML-KEM, 32 of X25519, 16 of AES-GCM's tag.

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class OpeningKey:
    """The secret half, for as long as its holder needs it."""

    __slots__ = ("_key", "public")

    public: SealingKey

    def __init__(self, seed: bytes) -> None:
        """Read a key from its 32-byte seed, as the draft's section 5.2 expands it.

        Raises:
            BadKeyError: the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise BadKeyError(size_bytes=len(seed))
        expanded = shake_256(seed).digest(MLKEM_SEED_BYTES + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED_BYTES:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The message that was sealed to this key under `info`.

        Raises:
            UnopenableError: sealed to another key, under another `info`, or altered.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise UnopenableError(size_bytes=len(sealed)) from None


def seal(to: SealingKey, message: bytes, info: bytes) -> bytes:
    """A message that only the holder of `to` opens, under the same `info`; 1,136 bytes longer.

    Raises:
        BadKeyError: `to` is not an X-Wing public key.
    """
    try:
        return _SUITE.encrypt(message, _public_key(to), info)
    except ValueError:  # An X25519 point of small order is met only here.
        raise BadKeyError(size_bytes=len(to)) from None


# Decoding expands the ML-KEM matrix. Keepers' keys recur with every batch; single-use reply keys pass through.
@lru_cache(maxsize=256)
def _public_key(key: SealingKey) -> hpke.MLKEM768X25519PublicKey:
    if len(key) != SEALING_KEY_BYTES:
        raise BadKeyError(size_bytes=len(key))
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(key[:MLKEM_PUBLIC_BYTES])
    except ValueError:
        raise BadKeyError(size_bytes=len(key)) from None
    return hpke.MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(key[MLKEM_PUBLIC_BYTES:]))
