"""Which seat this member holds, by its own final state: nothing is served for a seat that moved elsewhere.

A seat of an earlier epoch counts as long as some batch is dealt to that epoch and to none later: whoever sat there has
the shares, and serves them until they are dealt again.
"""

from collections.abc import Iterator

from salus.contracts.members.messages import Committee, SeatHolder
from salus.contracts.members.reads import committee_at, committee_of, former, member_of, seat_of
from salus.core.ids import CommitteeId, Epoch, MemberId, Seat
from salus.keeper.errors import NotSeatedError
from salus.state.state import State


def own_seat(
    state: State, committee_id: CommitteeId, seat: Seat, member: MemberId, epoch: Epoch | None = None
) -> Committee:
    """The committee at an epoch that counts, if this member holds that seat of it; at its current one unless named.

    Raises:
        NotSeatedError: no such committee, epoch or seat, or another member's.
    """
    for found, committee in _circles(state, committee_id):
        if found == epoch or epoch is None:
            if seat <= len(committee.seats) and committee.seats[seat - 1].member == member:
                return committee
            break
    raise NotSeatedError(seat=seat)


def has_sat(state: State, committee_id: CommitteeId, member: MemberId) -> bool:
    """Whether this member sits in a committee, or sat in it at any epoch: its log may tell of the patients there."""
    committee = committee_of(state, committee_id)
    if committee is None:
        return False
    circles = (committee_at(state, committee_id, epoch) for epoch in range(committee.epoch, 0, -1))
    return any(circle is not None and seat_of(circle, member) is not None for circle in circles)


def own_place(state: State, committee_id: CommitteeId, member: MemberId) -> tuple[Epoch, Seat] | None:
    """Where this member sits now; else where it sat last, if that counts."""
    for epoch, committee in _circles(state, committee_id):
        seat = seat_of(committee, member)
        if seat is not None:
            return epoch, seat
    return None


def holders_of(state: State, committee_id: CommitteeId) -> list[MemberId]:
    """Members on seats that count: those of now first, by seat, each once."""
    named = [holder.member for _, committee in _circles(state, committee_id) for holder in committee.seats]
    return [member for member in dict.fromkeys(named) if member_of(state, member) is not None]


def seats_of(committee: Committee) -> list[tuple[Seat, SeatHolder]]:
    """Seats with their holders, from 1."""
    return list(enumerate(committee.seats, 1))


def _circles(state: State, committee_id: CommitteeId) -> Iterator[tuple[Epoch, Committee]]:
    """A committee now, then at each earlier epoch that counts, newest first."""
    committee = committee_of(state, committee_id)
    if committee is not None:
        yield committee.epoch, committee
        yield from former(state, committee_id)
