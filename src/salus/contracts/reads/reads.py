"""What other rooms ask of reading."""

from salus.contracts.reads.messages import LogKind
from salus.contracts.reads.tables import LOG_ROOTS, REQUESTS, LatestLogRoot, OpenRequest
from salus.core.ids import MemberId, RequestId, TimeMs
from salus.state.state import State


def request_of(state: State, request_id: RequestId) -> OpenRequest | None:
    """A request's entry: while it is open, and for an hour after."""
    return REQUESTS.get(state, request_id)


def is_open(state: State, request_id: RequestId, at: TimeMs) -> bool:
    """Whether keepers may answer a request at this time: it stands, and `at` is before it expires."""
    standing = REQUESTS.get(state, request_id)
    return standing is not None and at < standing.expires


def log_root_of(state: State, member: MemberId, log: LogKind = LogKind.KEEPER) -> LatestLogRoot | None:
    """How far one of a member's logs has come; None while it never said."""
    return LOG_ROOTS.get(state, (member, log.value))
