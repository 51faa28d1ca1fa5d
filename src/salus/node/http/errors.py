"""What a member says at its HTTP door before a message reaches `core.transport.Door`; one status for each."""

from collections.abc import Mapping

from salus.core.errors import MalformedError, RefusalError, SalusError, UnavailableError


class NotYourNameError(RefusalError):
    """The request names another member than its connection's certificate."""

    code = "wire.not_your_name"


class OtherChainError(RefusalError):
    """The request belongs to another network."""

    code = "wire.other_chain"


class OtherRequestError(RefusalError):
    """The request's key was used before, for other bytes."""

    code = "wire.other_request"


class BadHeadError(MalformedError):
    """A header is missing, or has not the one form it may have."""

    code = "wire.bad_head"


class TooLongError(MalformedError):
    """The request is longer than a peer may send."""

    code = "wire.too_long"


class TooSlowError(UnavailableError):
    """The request did not arrive, or was not answered, in the time it has."""

    code = "wire.too_slow"


class KeyNotInForceError(UnavailableError):
    """The connection's certificate has ended, or its key was replaced: open a new one."""

    code = "wire.key_not_in_force"


class TooManyError(UnavailableError):
    """This peer sends more than its share: wait as long as the reply says."""

    code = "wire.too_many"


class OverloadedError(UnavailableError):
    """This member has more to do than it takes on: wait as long as the reply says."""

    code = "wire.overloaded"


class BrokenError(UnavailableError):
    """This member failed to answer by a fault of its own."""

    code = "wire.broken"


STATUS: Mapping[type[SalusError], int] = {
    BadHeadError: 400,
    KeyNotInForceError: 401,
    NotYourNameError: 403,
    TooSlowError: 408,
    TooLongError: 413,
    OtherChainError: 421,
    OtherRequestError: 422,
    TooManyError: 429,
    BrokenError: 500,
    OverloadedError: 503,
}
AGAIN = frozenset({401, 408, 429, 503})  # It pays to ask again, with the same key.
