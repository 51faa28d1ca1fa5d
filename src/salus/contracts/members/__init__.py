"""Members: the organisations of a network, their keys, quotas, committees and packs, and how they decide. All public.

`messages.py` the genesis, changes, proposals and votes; `transitions.py` how a network is founded; `governing.py` how
members propose and vote; `executing.py` what follows; `changing.py` what each change does; `founding.py` a genesis from
public keys; `dealing.py` with which holders the shares of how many batches are; `statements.py` what new keys sign;
`tables.py` what is kept; `reads.py` what others ask; `errors.py` refusals; `invariants.py` what always holds. Begin
with `README.md`.
"""

from salus.contracts.members.changing import Moment
from salus.contracts.members.dealing import count_dealt, count_moved
from salus.contracts.members.executing import govern, suspend
from salus.contracts.members.governing import announce_tls, move, propose, rotate_gateway, rotate_tls, vote
from salus.contracts.members.messages import (
    AnnounceTls,
    Committee,
    Genesis,
    MemberKeys,
    Misbehaviour,
    Move,
    Parameters,
    Propose,
    RotateGateway,
    RotateTls,
    SeatHolder,
    Vote,
)
from salus.contracts.members.reads import (
    chain_of,
    committee_at,
    committee_of,
    dealt_at,
    departure_of,
    departures,
    former,
    governors,
    holder_of,
    may_act_for,
    member_of,
    members_of,
    pack_root_of,
    parameters_of,
    proposal_of,
    quota_of,
    rules_at,
    seat_of,
    successor_of,
    suspension_of,
    tls_keys_of,
    validators,
)
from salus.contracts.members.tables import Chain, Member, Proposal, Standing
from salus.contracts.members.transitions import genesis

__all__ = [
    "AnnounceTls",
    "Chain",
    "Committee",
    "Genesis",
    "Member",
    "MemberKeys",
    "Misbehaviour",
    "Moment",
    "Move",
    "Parameters",
    "Proposal",
    "Propose",
    "RotateGateway",
    "RotateTls",
    "SeatHolder",
    "Standing",
    "Vote",
    "announce_tls",
    "chain_of",
    "committee_at",
    "committee_of",
    "count_dealt",
    "count_moved",
    "dealt_at",
    "departure_of",
    "departures",
    "former",
    "genesis",
    "govern",
    "governors",
    "holder_of",
    "may_act_for",
    "member_of",
    "members_of",
    "move",
    "pack_root_of",
    "parameters_of",
    "proposal_of",
    "propose",
    "quota_of",
    "rotate_gateway",
    "rotate_tls",
    "rules_at",
    "seat_of",
    "successor_of",
    "suspend",
    "suspension_of",
    "tls_keys_of",
    "validators",
    "vote",
]
