"""What a credential's commitment hides: shown to keepers with a request to read, never to the ledger."""

from salus.core.ids import Digest, Name, PublicKey, Salt
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged


class Claims(Record, tag="credentials.claims/1", frozen=True):
    """A person at a member: the key they sign with, and the roles the member vouches for."""

    salt: Salt
    member: Name
    key: PublicKey
    roles: tuple[str, ...]  # Such as `clinician`, `emergency`, `researcher`; sorted.


def commitment(claims: Claims) -> Digest:
    """What the ledger holds of these claims."""
    return tagged("credentials.claims", encode(claims))
