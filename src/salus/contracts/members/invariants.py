"""What holds of members after every block; each yields whatever breaks it."""

from collections.abc import Iterator

from salus.contracts.members.reads import committee_at, validators
from salus.contracts.members.tables import (
    AUTHORSHIPS,
    COMMITTEES,
    DEALT,
    EPOCHS,
    KEYS,
    MEMBERS,
    PENDING,
    PROPOSALS,
    SUSPENSIONS,
    Standing,
)
from salus.contracts.members.transitions import SEATS_MAX, duties
from salus.crypto.digests import digest
from salus.crypto.shares import threshold
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


def epochs_follow_each_other(state: State) -> Iterator[str]:
    """Every committee is known as it was at each epoch before its current one, and at no other."""
    for committee, entry in COMMITTEES.items(state):
        if [epoch for (_, epoch), _ in EPOCHS.items(state, committee)] != list(range(1, entry.epoch)):
            yield committee.hex()


def keys_are_unique(state: State) -> Iterator[str]:
    """No public key serves two members or two duties, and whose each is stands in the list of keys."""
    seen: set[bytes] = set()
    for member, entry in MEMBERS.items(state):
        announced = () if entry.tls_next is None else (entry.tls_next,)
        for key in (*duties(entry.keys), *announced):
            owner = KEYS.get(state, digest(key))
            if key in seen or owner is None or owner.member != member:
                yield member
            seen.add(key)


def somebody_validates(state: State) -> Iterator[str]:
    """There is at least one validator that is not suspended, or no block could become final."""
    if not validators(state):
        yield "validators"


def suspended_ones_are_members(state: State) -> Iterator[str]:
    """Only members are suspended."""
    for member, _ in SUSPENSIONS.items(state):
        if not MEMBERS.has(state, member):
            yield member


def votes_are_members_own(state: State) -> Iterator[str]:
    """On what is undecided, members have voted and nobody else, each once."""
    for (_, proposal_id), _ in PENDING.items(state):
        proposal = PROPOSALS.get(state, proposal_id)
        voters = () if proposal is None else (*proposal.approvals, *proposal.rejections)
        if len(set(voters)) != len(voters) or not all(MEMBERS.has(state, voter) for voter in voters):
            yield proposal_id.hex()


def what_is_undecided_is_listed(state: State) -> Iterator[str]:
    """The list that each block walks names the undecided proposals, and no other."""
    listed = [(height, proposal_id) for (height, proposal_id), _ in PENDING.items(state)]
    undecided = (Standing.OPEN, Standing.ACCEPTED)
    found = [(one.height, id) for id, one in PROPOSALS.items(state) if one.standing in undecided]
    for _, proposal_id in sorted(set(listed) ^ set(found)):
        yield proposal_id.hex()


def authorship_has_a_member(state: State) -> Iterator[str]:
    """A member that is gone has a successor that is not, and its name is nobody's."""
    for author, authorship in AUTHORSHIPS.items(state):
        if MEMBERS.has(state, author) or not MEMBERS.has(state, authorship.successor):
            yield author


def shares_have_holders(state: State) -> Iterator[str]:
    """Whatever was dealt to a committee at an epoch can be combined: enough of those who sat there are members."""
    for (committee, epoch), dealt in DEALT.items(state):
        entry = committee_at(state, committee, epoch)
        holders = () if entry is None else entry.seats
        left = sum(MEMBERS.has(state, seat.member) for seat in holders)
        if dealt.batches == 0 or left < threshold(len(holders)):
            yield f"{committee.hex()}/{epoch}"


INVARIANTS = (
    seats_are_held_by_members,
    committees_have_a_size,
    epochs_follow_each_other,
    keys_are_unique,
    somebody_validates,
    suspended_ones_are_members,
    votes_are_members_own,
    what_is_undecided_is_listed,
    authorship_has_a_member,
    shares_have_holders,
)
