"""What other rooms ask of members: keys, seats, limits. Absent members and committees are None, never an error."""

from salus.contracts.members.errors import NotFoundedError
from salus.contracts.members.messages import Committee, Parameters, SeatHolder
from salus.contracts.members.tables import (
    AUTHORSHIPS,
    CHAIN,
    COMMITTEES,
    DEALT,
    EPOCHS,
    EVIDENCE,
    KEYS,
    MEMBERS,
    PACKS,
    PENDING,
    PROPOSALS,
    RULES,
    SUSPENSIONS,
    Authorship,
    Chain,
    Evidence,
    Member,
    Proposal,
    Rules,
    Suspension,
)
from salus.contracts.members.transitions import CHAIN_KEY, FIRST_RULES
from salus.core.ids import CommitteeId, Digest, Epoch, Height, MemberId, ProposalId, PublicKey, Seat, Version
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
    """Whose signatures make a header final, with their keys, by name. Suspended ones are not among them."""
    suspended = {member for member, _ in SUSPENSIONS.items(state)}
    return tuple(
        (member, entry.keys.validator)
        for member, entry in MEMBERS.items(state)
        if entry.validator and member not in suspended
    )


def governors(state: State) -> tuple[MemberId, ...]:
    """Who may propose and vote, by name: all members but suspended ones."""
    suspended = {member for member, _ in SUSPENSIONS.items(state)}
    return tuple(member for member in members_of(state) if member not in suspended)


def suspension_of(state: State, member: MemberId) -> Suspension | None:
    """Why a member neither validates nor votes; None for one that may."""
    return SUSPENSIONS.get(state, member)


def evidence_of(state: State, member: MemberId) -> tuple[tuple[Height, Evidence], ...]:
    """What a validator was shown to have done, by height, whether it was suspended for it or not."""
    return tuple((height, evidence) for (_, height), evidence in EVIDENCE.items(state, member))


def validator_at(state: State, address: bytes) -> MemberId | None:
    """Whose a validator's address is or was: the first 20 bytes of its key's SHA-256, as CometBFT has it."""
    return next((owner.member for key, owner in KEYS.items(state) if key.startswith(address)), None)


def tls_keys_of(state: State, member: MemberId) -> tuple[PublicKey, ...]:
    """The keys that a member's TLS certificate may carry: one, or two while it changes them; none for a stranger."""
    entry = MEMBERS.get(state, member)
    if entry is None:
        return ()
    return (entry.keys.tls,) if entry.tls_next is None else (entry.keys.tls, entry.tls_next)


def may_act_for(state: State, actor: MemberId, author: MemberId) -> bool:
    """Whether a member may dispose of what another authored or issued: it is that one, or has succeeded it."""
    if actor == author:
        return True
    authorship = AUTHORSHIPS.get(state, author)
    return authorship is not None and authorship.successor == actor


def successor_of(state: State, member: MemberId) -> MemberId | None:
    """Who answers for a departed member's records, credentials and patients; None where it has not departed."""
    authorship = AUTHORSHIPS.get(state, member)
    return None if authorship is None else authorship.successor


def departure_of(state: State, member: MemberId) -> Authorship | None:
    """When a member went, and who succeeded it; None where it has not departed."""
    return AUTHORSHIPS.get(state, member)


def departures(state: State) -> tuple[tuple[MemberId, Authorship], ...]:
    """All members that have left, by name."""
    return tuple(AUTHORSHIPS.items(state))


def jurisdictions(state: State) -> dict[MemberId, str]:
    """Whose law applies to what each member writes, and to what departed ones wrote, by name."""
    departed = {author: authorship.jurisdiction for author, authorship in AUTHORSHIPS.items(state)}
    return departed | {member: entry.jurisdiction for member, entry in MEMBERS.items(state)}


def proposal_of(state: State, proposal_id: ProposalId) -> Proposal | None:
    """A proposal, whatever has become of it."""
    return PROPOSALS.get(state, proposal_id)


def proposals(state: State) -> tuple[tuple[ProposalId, Proposal], ...]:
    """All proposals there ever were, by id."""
    return tuple(PROPOSALS.items(state))


def undecided(state: State) -> tuple[tuple[ProposalId, Proposal], ...]:
    """Proposals that may still be executed, the oldest first."""
    listed = ((proposal_id, PROPOSALS.get(state, proposal_id)) for (_, proposal_id), _ in PENDING.items(state))
    return tuple((proposal_id, proposal) for proposal_id, proposal in listed if proposal is not None)


def rules_at(state: State, height: Height) -> Version:
    """The version of the rules in force at a height, as far as it is decided."""
    in_force = [entry.rules for since, entry in RULES.items(state) if since <= height]
    return in_force[-1] if in_force else FIRST_RULES


def rules_ahead(state: State) -> tuple[tuple[Height, Rules], ...]:
    """Since which height each version of the rules is in force, or will be; the first one first."""
    return tuple(RULES.items(state))


def committee_of(state: State, committee: CommitteeId) -> Committee | None:
    """A committee at its current epoch."""
    return COMMITTEES.get(state, committee)


def committee_at(state: State, committee: CommitteeId, epoch: Epoch) -> Committee | None:
    """A committee as it was at an epoch, or is: whoever sat there holds what was dealt then."""
    current = COMMITTEES.get(state, committee)
    return current if current is not None and current.epoch == epoch else EPOCHS.get(state, (committee, epoch))


def dealt_at(state: State, committee: CommitteeId, epoch: Epoch) -> int:
    """How many batches are dealt to a committee as it was at this epoch, and to none later."""
    entry = DEALT.get(state, (committee, epoch))
    return 0 if entry is None else entry.batches


def former(state: State, committee: CommitteeId) -> tuple[tuple[Epoch, Committee], ...]:
    """A committee as it was at each earlier epoch whose holders still have the shares of some batch; newest first."""
    current = COMMITTEES.get(state, committee)
    epochs = [epoch for (_, epoch), _ in DEALT.items(state, committee) if current is None or epoch != current.epoch]
    found = ((epoch, EPOCHS.get(state, (committee, epoch))) for epoch in reversed(epochs))
    return tuple((epoch, entry) for epoch, entry in found if entry is not None)


def holder_of(committee: Committee, seat: Seat) -> SeatHolder | None:
    """Who sits on a seat; None for a seat the committee does not have."""
    return committee.seats[seat - 1] if 1 <= seat <= len(committee.seats) else None


def seat_of(committee: Committee, member: MemberId) -> Seat | None:
    """The seat that a member holds, counted from 1."""
    return next((seat for seat, holder in enumerate(committee.seats, start=1) if holder.member == member), None)


def pack_roots_of(state: State) -> tuple[Digest, ...]:
    """The roots of all packs in force, by jurisdiction."""
    return tuple(pack.root for _, pack in PACKS.items(state))


def pack_root_of(state: State, jurisdiction: str) -> Digest | None:
    """The root of the defaults and statute in force in a jurisdiction."""
    pack = PACKS.get(state, jurisdiction)
    return None if pack is None else pack.root
