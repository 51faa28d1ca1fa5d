"""Members: the organisations of a network, their keys, quotas, committees and packs. All public.

`messages.py` the genesis; `transitions.py` how it founds a network; `founding.py` a genesis from public keys;
`tables.py` what is kept; `reads.py` what others ask; `errors.py` refusals; `invariants.py` what always holds. Begin
with `README.md`.
"""

from salus.contracts.members.messages import Committee, Genesis, MemberKeys, Parameters, SeatHolder
from salus.contracts.members.reads import (
    chain_of,
    committee_of,
    holder_of,
    member_of,
    members_of,
    pack_root_of,
    parameters_of,
    quota_of,
    seat_of,
    validators,
)
from salus.contracts.members.tables import Chain, Member
from salus.contracts.members.transitions import genesis

__all__ = [
    "Chain",
    "Committee",
    "Genesis",
    "Member",
    "MemberKeys",
    "Parameters",
    "SeatHolder",
    "chain_of",
    "committee_of",
    "genesis",
    "holder_of",
    "member_of",
    "members_of",
    "pack_root_of",
    "parameters_of",
    "quota_of",
    "seat_of",
    "validators",
]
