"""One function per message; each checks, then writes."""

from salus.contracts.credentials.errors import (
    CredentialExistsError,
    CredentialNotFoundError,
    CredentialRevokedError,
    ExpiresInThePastError,
    NotIssuerError,
    StaleVersionError,
)
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.credentials.tables import CREDENTIALS, Credential, Status
from salus.contracts.members.reads import may_act_for
from salus.core.context import Context
from salus.core.wire import replace
from salus.state.state import State


def issue(state: State, ctx: Context, msg: Issue) -> None:
    """Put a credential in force; the sponsor becomes its issuer.

    Raises, in this order:
        ExpiresInThePastError: `expires` is not after block time.
        CredentialExistsError: the id was used before, be the credential in force or not.
    """
    if msg.expires <= ctx.time:
        raise ExpiresInThePastError(credential_id=msg.credential_id, expires=msg.expires)
    if CREDENTIALS.has(state, msg.credential_id):
        raise CredentialExistsError(credential_id=msg.credential_id)
    credential = Credential(
        version=0, issuer=ctx.sponsor, commitment=msg.commitment, expires=msg.expires, status=Status.ACTIVE
    )
    CREDENTIALS.put(state, msg.credential_id, credential)


def revoke(state: State, ctx: Context, msg: Revoke) -> None:
    """End a credential for good.

    Raises, in this order:
        CredentialNotFoundError: no credential has this id.
        NotIssuerError: the sponsor neither issued it nor succeeded the member that did.
        StaleVersionError: it has moved on from `version`.
        CredentialRevokedError: it is revoked already.
    """
    credential = CREDENTIALS.get(state, msg.credential_id)
    if credential is None:
        raise CredentialNotFoundError(credential_id=msg.credential_id)
    if not may_act_for(state, ctx.sponsor, credential.issuer):
        raise NotIssuerError(credential_id=msg.credential_id, issuer=credential.issuer)
    if msg.version != credential.version:
        raise StaleVersionError(credential_id=msg.credential_id, version=credential.version)
    if credential.status is Status.REVOKED:
        raise CredentialRevokedError(credential_id=msg.credential_id)
    revoked = replace(credential, version=credential.version + 1, status=Status.REVOKED)
    CREDENTIALS.put(state, msg.credential_id, revoked)
