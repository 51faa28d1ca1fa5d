"""Whom a reader asks: who sits in a committee now, and who sat there when some batch was dealt that still lies there.

Each member is asked once, on the seat it holds now, else on the one it held last. A *circle* is a committee as it was
at one epoch: shares combine, and answers back each other, within a circle, by its own size.
"""

from collections.abc import Collection
from dataclasses import dataclass

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_at, committee_of, former, member_of, seat_of
from salus.core.ids import CommitteeId, Epoch, MemberId, PublicKey, SealingKey, Seat
from salus.crypto.shares import faulty, quorum, threshold
from salus.state.state import State


@dataclass(frozen=True, slots=True)
class Chair:
    """One member that is asked, on which seat of which epoch, under the keys that it has now."""

    epoch: Epoch
    seat: Seat
    member: MemberId
    key: PublicKey
    sealing: SealingKey


@dataclass(frozen=True, slots=True)
class Circle:
    """A committee at one epoch: how many sit there, and of those who."""

    seats: int
    members: frozenset[MemberId]

    def is_quorum(self, some: Collection[MemberId]) -> bool:
        """Whether these are as many of it as make a batch sealed, and a key."""
        return self._count(some) >= max(quorum(self.seats), threshold(self.seats))

    def can_combine(self, some: Collection[MemberId]) -> bool:
        """Whether these are as many of it as it takes to open a record."""
        return self._count(some) >= threshold(self.seats)

    def has_honest(self, some: Collection[MemberId]) -> bool:
        """Whether at least one of these is honest."""
        return self._count(some) > faulty(self.seats)

    def _count(self, some: Collection[MemberId]) -> int:
        return len(self.members.intersection(some))


@dataclass(frozen=True, slots=True)
class Chairs:
    """All that are asked, and how their answers count."""

    chairs: tuple[Chair, ...]  # Those of now first, by seat.
    circles: tuple[Circle, ...]  # Now first.
    new: frozenset[MemberId]  # On a seat now, and on none an epoch ago: they may not know every subject yet.


def chairs_of(state: State, committee_id: CommitteeId, committee: Committee) -> Chairs:
    """Whom to ask in a committee, which is `committee` now."""
    chairs: dict[MemberId, Chair] = {}
    circles = [_circle(committee)]
    for seat, holder in enumerate(committee.seats, 1):
        chairs[holder.member] = Chair(committee.epoch, seat, holder.member, holder.key, holder.sealing)
    current = committee_of(state, committee_id)
    for epoch, before in former(state, committee_id) if current == committee else ():
        circles.append(_circle(before))
        for seat, holder in enumerate(before.seats, 1):
            entry = member_of(state, holder.member)
            if holder.member not in chairs and entry is not None:
                chairs[holder.member] = Chair(epoch, seat, holder.member, entry.keys.keeper, entry.keys.sealing)
    before_that = committee_at(state, committee_id, committee.epoch - 1) if committee.epoch > 1 else committee
    new = [h.member for h in committee.seats if before_that is None or seat_of(before_that, h.member) is None]
    return Chairs(tuple(chairs.values()), tuple(circles), frozenset(new))


def chairs_before(state: State, committee_id: CommitteeId, committee: Committee) -> tuple[Chair, ...]:
    """Members that sat in a committee once, and sit there no more: each on the seat that it held last."""
    chairs: dict[MemberId, Chair] = {}
    here = {holder.member for holder in committee.seats}
    for epoch in range(committee.epoch - 1, 0, -1):
        before = committee_at(state, committee_id, epoch)
        for seat, holder in enumerate(before.seats if before is not None else (), 1):
            entry = member_of(state, holder.member)
            if holder.member not in here and entry is not None:
                chair = Chair(epoch, seat, holder.member, entry.keys.keeper, entry.keys.sealing)
                chairs.setdefault(holder.member, chair)
    return tuple(chairs.values())


def _circle(committee: Committee) -> Circle:
    return Circle(len(committee.seats), frozenset(holder.member for holder in committee.seats))
