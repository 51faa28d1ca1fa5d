"""Every way a message about a credential can be refused."""

from salus.core.errors import RefusalError


class ExpiresInThePastError(RefusalError):
    """A credential would have expired before it is issued."""

    code = "credentials.expires_in_the_past"


class CredentialExistsError(RefusalError):
    """A credential with this id was issued already."""

    code = "credentials.exists"


class CredentialNotFoundError(RefusalError):
    """No credential has this id."""

    code = "credentials.not_found"


class NotIssuerError(RefusalError):
    """The sponsor did not issue this credential."""

    code = "credentials.not_issuer"


class StaleVersionError(RefusalError):
    """The credential has moved on from the version named."""

    code = "credentials.stale_version"


class CredentialRevokedError(RefusalError):
    """The credential was revoked already."""

    code = "credentials.revoked"
