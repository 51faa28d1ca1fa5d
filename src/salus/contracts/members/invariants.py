"""What holds of members after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.members.tables import COMMITTEES, MEMBERS
from salus.contracts.members.transitions import SEATS_MAX, duties
from salus.state.state import State


def seats_are_held_by_members(state: State) -> Iterator[str]:
    """Every seat's holder is a member, under the keys that the member has, and holds no other seat there."""
    for committee, entry in COMMITTEES.items(state):
        held = [seat.member for seat in entry.seats]
        for seat in entry.seats:
            member = MEMBERS.get(state, seat.member)
            known = member is not None and (member.keys.keeper, member.keys.sealing) == (seat.key, seat.sealing)
            if not known or held.count(seat.member) > 1:
                yield f"{committee.hex()}/{seat.member}"


def committees_have_a_size(state: State) -> Iterator[str]:
    """A committee has one to thirteen seats."""
    for committee, entry in COMMITTEES.items(state):
        if not 1 <= len(entry.seats) <= SEATS_MAX:
            yield committee.hex()


def keys_are_unique(state: State) -> Iterator[str]:
    """No public key serves two members or two duties."""
    seen: set[bytes] = set()
    for member, entry in MEMBERS.items(state):
        for key in duties(entry.keys):
            if key in seen:
                yield member
            seen.add(key)


def somebody_validates(state: State) -> Iterator[str]:
    """There is at least one validator, or no block could become final."""
    if not any(entry.validator for _, entry in MEMBERS.items(state)):
        yield "validators"


INVARIANTS = (seats_are_held_by_members, committees_have_a_size, keys_are_unique, somebody_validates)
