"""What other rooms ask of credentials."""

from salus.contracts.credentials.tables import CREDENTIALS, Credential, Status
from salus.core.ids import CredentialId, TimeMs
from salus.state.state import State


def credential_of(state: State, credential_id: CredentialId) -> Credential | None:
    """A credential's entry, in force or not."""
    return CREDENTIALS.get(state, credential_id)


def is_active(state: State, credential_id: CredentialId, at: TimeMs) -> bool:
    """Whether a credential is in force at this time: issued, not revoked, and `at` before it expires."""
    credential = CREDENTIALS.get(state, credential_id)
    return credential is not None and credential.status is Status.ACTIVE and at < credential.expires
