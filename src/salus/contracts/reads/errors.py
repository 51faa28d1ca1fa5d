"""Every way a message about reading can be refused."""

from salus.core.errors import RefusalError


class ExpiresInThePastError(RefusalError):
    """A request would have expired before it stands."""

    code = "reads.expires_in_the_past"


class ExpiresTooLateError(RefusalError):
    """A request would stay open for more than one encounter."""

    code = "reads.expires_too_late"


class RequestExistsError(RefusalError):
    """A request with this id stands already."""

    code = "reads.exists"


class StaleVersionError(RefusalError):
    """The member's log root has moved on from the version named."""

    code = "reads.stale_version"
