"""What holds of credentials after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.credentials.tables import CREDENTIALS, Status
from salus.contracts.members.reads import member_of, successor_of
from salus.state.state import State


def issuers_are_members(state: State) -> Iterator[str]:
    """Every credential has a member that answers for it."""
    for credential_id, credential in CREDENTIALS.items(state):
        if member_of(state, successor_of(state, credential.issuer) or credential.issuer) is None:
            yield credential_id.hex()


def versions_tell_what_happened(state: State) -> Iterator[str]:
    """A credential in force is at version 0, a revoked one at version 1."""
    for credential_id, credential in CREDENTIALS.items(state):
        if credential.version != (1 if credential.status is Status.REVOKED else 0):
            yield credential_id.hex()


INVARIANTS = (issuers_are_members, versions_tell_what_happened)
