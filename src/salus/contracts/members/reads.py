"""What other rooms ask of members: keys, seats, limits. Absent members and committees are None, never an error."""

from salus.contracts.members.errors import NotFoundedError
from salus.contracts.members.messages import Committee, Parameters, SeatHolder
from salus.contracts.members.tables import CHAIN, COMMITTEES, MEMBERS, PACKS, Chain, Member
from salus.contracts.members.transitions import CHAIN_KEY
from salus.core.ids import CommitteeId, Digest, MemberId, PublicKey, Seat
from salus.state.state import State


def chain_of(state: State) -> Chain:
    """The network this state belongs to.

    Raises:
        NotFoundedError: no genesis was applied.
    """
    chain = CHAIN.get(state, CHAIN_KEY)
    if chain is None:
        raise NotFoundedError
    return chain


def parameters_of(state: State) -> Parameters:
    """The limits in force. Raises as `chain_of` does."""
    return chain_of(state).parameters


def member_of(state: State, member: MemberId) -> Member | None:
    """A member's entry."""
    return MEMBERS.get(state, member)


def members_of(state: State) -> tuple[MemberId, ...]:
    """All members, by name."""
    return tuple(member for member, _ in MEMBERS.items(state))


def quota_of(state: State, member: MemberId) -> int:
    """Transaction bytes that a member may sponsor per block; none for a stranger."""
    entry = MEMBERS.get(state, member)
    return 0 if entry is None else entry.quota_bytes


def validators(state: State) -> tuple[tuple[MemberId, PublicKey], ...]:
    """Whose signatures make a header final, with their keys, by name."""
    return tuple((member, entry.keys.validator) for member, entry in MEMBERS.items(state) if entry.validator)


def committee_of(state: State, committee: CommitteeId) -> Committee | None:
    """A committee at its current epoch."""
    return COMMITTEES.get(state, committee)


def holder_of(committee: Committee, seat: Seat) -> SeatHolder | None:
    """Who sits on a seat; None for a seat the committee does not have."""
    return committee.seats[seat - 1] if 1 <= seat <= len(committee.seats) else None


def seat_of(committee: Committee, member: MemberId) -> Seat | None:
    """The seat that a member holds, counted from 1."""
    return next((seat for seat, holder in enumerate(committee.seats, start=1) if holder.member == member), None)


def pack_root_of(state: State, jurisdiction: str) -> Digest | None:
    """The root of the defaults and statute in force in a jurisdiction."""
    pack = PACKS.get(state, jurisdiction)
    return None if pack is None else pack.root
