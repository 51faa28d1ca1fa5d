"""Which seat this member holds, by its own final state: nothing is served for a seat that moved elsewhere."""

from salus.contracts.members.messages import Committee, SeatHolder
from salus.contracts.members.reads import committee_of
from salus.core.ids import CommitteeId, MemberId, Seat
from salus.keeper.errors import NotSeatedError
from salus.state.state import State


def own_seat(state: State, committee_id: CommitteeId, seat: Seat, member: MemberId) -> Committee:
    """The committee, if this member holds that seat of it.

    Raises:
        NotSeatedError: no such committee or seat, or another member's.
    """
    committee = committee_of(state, committee_id)
    if committee is None or seat > len(committee.seats) or committee.seats[seat - 1].member != member:
        raise NotSeatedError(seat=seat)
    return committee


def seats_of(committee: Committee) -> list[tuple[Seat, SeatHolder]]:
    """Seats with their holders, from 1."""
    return list(enumerate(committee.seats, 1))
