"""Ed25519 by one library alone, so that all members give the same verdict on every signature.

RFC 8032 leaves edge cases open (small order, other encodings, an unreduced scalar) on which libraries disagree; a
ledger cannot. libsodium decides here; the verdicts on twelve known edge cases are frozen in a test.
"""

from functools import lru_cache

from nacl import signing
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

from salus.core.ids import PublicKey, Signature
from salus.crypto.errors import BadKeyError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


class SigningKey:
    """A secret key for as long as its holder needs it. Signing is deterministic (RFC 8032, section 5.1.6)."""

    __slots__ = ("_key", "public")

    public: PublicKey

    def __init__(self, seed: bytes) -> None:
        """Read a key from its 32-byte seed.

        Raises:
            BadKeyError: the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise BadKeyError(size_bytes=len(seed))
        self._key = signing.SigningKey(seed)
        self.public = bytes(self._key.verify_key)

    @property
    def seed(self) -> bytes:
        """The secret itself, for a library that must sign by itself, as TLS does."""
        return bytes(self._key)

    def sign(self, message: bytes) -> Signature:
        """The signature over this message, without the message."""
        return self._key.sign(message).signature


def verify(key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Whether `key` signed `message`. A key that is not `is_sound` has signed nothing."""
    if len(signature) != SIGNATURE_BYTES or not is_sound(key):
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


@lru_cache(maxsize=16_384)
def is_sound(key: PublicKey) -> bool:
    """Whether a key is canonical, on the curve, and of the full prime order.

    A key of small order would "sign" messages that its holder never saw; a mixed order lets verifiers disagree.
    """
    return len(key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(key)
