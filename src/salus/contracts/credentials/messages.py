"""What an issuer may say of a person's credential: that a salted commitment exists, and that it no longer holds.

Who the person is, their key and their roles are opened to keepers only (`claims.py`); the ledger sees a commitment.
"""

from salus.core.ids import CredentialId, Digest, TimeMs, Version
from salus.core.wire import Message


class Issue(Message, tag="credentials.issue/1", frozen=True):
    """Put a person's credential in force, under a commitment to its claims. The sponsor is the issuer."""

    credential_id: CredentialId
    commitment: Digest
    expires: TimeMs


class Revoke(Message, tag="credentials.revoke/1", frozen=True):
    """End a credential for good. Only its issuer may."""

    credential_id: CredentialId
    version: Version
