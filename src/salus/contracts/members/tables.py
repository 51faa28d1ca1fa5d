"""What the ledger keeps of members: public organisations, their keys, quotas and committees, and how they decide."""

from enum import Enum
from typing import Final

from salus.contracts.members.messages import Change, Committee, Endpoints, MemberKeys, Offence, Parameters
from salus.core.ids import (
    ChainId,
    CommitteeId,
    Digest,
    Epoch,
    Height,
    MemberId,
    Name,
    ProposalId,
    PublicKey,
    TimeMs,
    Unsigned,
    Version,
)
from salus.core.wire import Record
from salus.state.keys import Bytes, Integer, Text
from salus.state.table import Table


class Member(Record, tag="members.member/1", frozen=True):
    """An organisation in the network."""

    version: Version  # Consumed by what members decide about it.
    own_version: Version  # Consumed by what it changes alone, so that moving house does not upset a vote about it.
    keys: MemberKeys
    tls_next: PublicKey | None  # Accepted beside `keys.tls` while it changes keys.
    jurisdiction: str
    validator: bool
    quota_bytes: Unsigned
    endpoints: Endpoints


class Chain(Record, tag="members.chain/1", frozen=True):
    """The network itself: one entry."""

    version: Version
    chain: ChainId
    started: TimeMs
    parameters: Parameters


class PackRoot(Record, tag="members.pack_root/1", frozen=True):
    """The pack in force in a jurisdiction."""

    version: Version  # Counts from 1.
    root: Digest


class KeyOwner(Record, tag="members.key_owner/1", frozen=True):
    """Whose a key is or was, so that none ever serves another."""

    member: Name


class Rules(Record, tag="members.rules/1", frozen=True):
    """The version of the rules that is in force from the height that is its key."""

    rules: Version


class Authorship(Record, tag="members.authorship/1", frozen=True):
    """Who answers for what a departed member authored, issued and kept."""

    successor: Name
    height: Height  # At which it went.
    jurisdiction: str  # Its own: what it authored stays under the law under which it was written.


class Suspension(Record, tag="members.suspension/1", frozen=True):
    """A member that neither validates nor votes, and why."""

    offence: Offence
    height: Height  # At which it happened.
    since: Height


class Evidence(Record, tag="members.evidence/1", frozen=True):
    """What a validator did at the height in the key, whatever came of it."""

    offence: Offence
    reported: Height


class Dealt(Record, tag="members.dealt/1", frozen=True):
    """How many batches are dealt to a committee as it was at the epoch in the key, and to none later. Never none."""

    batches: Unsigned


class Standing(Enum):
    """What has become of a proposal."""

    OPEN = "open"
    ACCEPTED = "accepted"  # Waits for its height.
    EXECUTED = "executed"
    FAILED = "failed"  # Accepted, and impossible by then.
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Proposal(Record, tag="members.proposal/1", frozen=True):
    """Changes, and what members said of them."""

    proposer: Name
    changes: tuple[Change, ...]
    activate_at: Height
    height: Height  # At which it was proposed.
    expires: TimeMs
    approvals: tuple[Name, ...]  # In the order in which they came, the proposer first.
    rejections: tuple[Name, ...]
    standing: Standing
    decided: Height  # When `standing` was last changed.
    code: str  # Of the rule by which it failed.


class Pending(Record, tag="members.pending/1", frozen=True):
    """An entry of the list of proposals that may still be executed; its key says all."""


MEMBERS: Final = Table[MemberId, Member]("members/member/", Member, Text())
COMMITTEES: Final = Table[CommitteeId, Committee]("members/committee/", Committee, Bytes(16))
EPOCHS: Final = Table[tuple[CommitteeId, Epoch], Committee]("members/epoch/", Committee, Bytes(16), Integer())
DEALT: Final = Table[tuple[CommitteeId, Epoch], Dealt]("members/dealt/", Dealt, Bytes(16), Integer())
PACKS: Final = Table[str, PackRoot]("members/pack/", PackRoot, Text())
CHAIN: Final = Table[str, Chain]("members/chain/", Chain, Text())
KEYS: Final = Table[Digest, KeyOwner]("members/key/", KeyOwner, Bytes(32))
RULES: Final = Table[Height, Rules]("members/rules/", Rules, Integer())
AUTHORSHIPS: Final = Table[MemberId, Authorship]("members/authorship/", Authorship, Text())
SUSPENSIONS: Final = Table[MemberId, Suspension]("members/suspension/", Suspension, Text())
EVIDENCE: Final = Table[tuple[MemberId, Height], Evidence]("members/evidence/", Evidence, Text(), Integer())
PROPOSALS: Final = Table[ProposalId, Proposal]("members/proposal/", Proposal, Bytes(16))
PENDING: Final = Table[tuple[Height, ProposalId], Pending]("members/pending/", Pending, Integer(), Bytes(16))
