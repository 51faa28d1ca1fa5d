"""What holds of reading after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.members.reads import member_of
from salus.contracts.reads.tables import EXPIRIES, LOG_ROOTS, REQUESTS
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
    """Every request was sponsored by a member."""
    for request_id, standing in REQUESTS.items(state):
        if member_of(state, standing.sponsor) is None:
            yield request_id.hex()


def log_roots_are_members_own(state: State) -> Iterator[str]:
    """Every log root belongs to a member and counts from 1."""
    for (member, _), latest in LOG_ROOTS.items(state):
        if member_of(state, member) is None or latest.version < 1:
            yield member


INVARIANTS = (requests_will_be_forgotten, expiries_name_requests, readers_are_members, log_roots_are_members_own)
