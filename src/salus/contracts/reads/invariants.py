"""What holds of reading after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.members.reads import member_of, successor_of
from salus.contracts.reads.tables import EXPIRIES, LOG_ROOTS, REQUESTS
from salus.core.ids import MemberId
from salus.state.state import State


def requests_will_be_forgotten(state: State) -> Iterator[str]:
    """Every request has its entry in the expiry list."""
    for request_id, standing in REQUESTS.items(state):
        if not EXPIRIES.has(state, (standing.expires, request_id)):
            yield request_id.hex()


def expiries_name_requests(state: State) -> Iterator[str]:
    """Every entry in the expiry list names a request that expires then."""
    for (expires, request_id), _ in EXPIRIES.items(state):
        standing = REQUESTS.get(state, request_id)
        if standing is None or standing.expires != expires:
            yield request_id.hex()


def readers_are_members(state: State) -> Iterator[str]:
    """Every request was sponsored by a member, or by one that has a successor."""
    for request_id, standing in REQUESTS.items(state):
        if not _is_known(state, standing.sponsor):
            yield request_id.hex()


def log_roots_are_members_own(state: State) -> Iterator[str]:
    """Every log root belongs to a member, or to one that has a successor, and counts from 1."""
    for (member, _), latest in LOG_ROOTS.items(state):
        if not _is_known(state, member) or latest.version < 1:
            yield member


def _is_known(state: State, member: MemberId) -> bool:
    return member_of(state, member) is not None or successor_of(state, member) is not None


INVARIANTS = (requests_will_be_forgotten, expiries_name_requests, readers_are_members, log_roots_are_members_own)
