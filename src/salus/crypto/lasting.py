"""ML-DSA-65 (FIPS 204): signatures that a quantum computer does not forge, for what must convince in many years.

Large and hedged with chance inside the library, so they are for the edges: no rule of the chain makes or checks one.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from salus.core.ids import LastingKey
from salus.crypto.errors import BadKeyError

SEED_BYTES = 32


class LastingSigningKey:
    """A secret key, for as long as its holder needs it."""

    __slots__ = ("_key", "public")

    public: LastingKey

    def __init__(self, seed: bytes) -> None:
        """Read a key from its 32-byte seed.

        Raises:
            BadKeyError: the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise BadKeyError(size_bytes=len(seed))
        self._key = MLDSA65PrivateKey.from_seed_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes, context: bytes) -> bytes:
        """The signature over a message, under a context that says what it is. Another one each time."""
        return self._key.sign(message, context)


def verify_lasting(key: LastingKey, message: bytes, signature: bytes, context: bytes) -> bool:
    """Whether `key` signed `message` under this context."""
    try:
        _public_key(key).verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1_024)
def _public_key(key: LastingKey) -> MLDSA65PublicKey:
    return MLDSA65PublicKey.from_public_bytes(key)
