"""What the network starts from, what a member may change alone, what members propose, and how they vote.

A change names the version it was made for, so that of two proposals about one thing the second fails, whole.
"""

from enum import Enum
from typing import Annotated

from msgspec import Meta

from salus.core.ids import (
    ChainId,
    CommitteeId,
    Digest,
    Epoch,
    Height,
    LastingKey,
    Name,
    ProposalId,
    PublicKey,
    SealingKey,
    Signature,
    TimeMs,
    Unsigned,
    Version,
)
from salus.core.wire import Message, Record

Address = Annotated[str, Meta(max_length=253, pattern=r"^([\x21-\x7e]*)\Z")]  # `host:port`; empty where there is none.


class MemberKeys(Record, tag="members.keys/2", frozen=True):
    """An organisation's public keys, one per duty, so that one can be replaced without the others."""

    ledger: PublicKey  # Signs transactions as their sponsor, and envelopes as their author.
    validator: PublicKey  # Signs headers.
    keeper: PublicKey  # Signs keeper and vault receipts, answers and log roots.
    sealing: SealingKey  # Envelopes to this member's keeper are sealed to it.
    gateway: SealingKey  # Links and policies for this member as a writer are sealed to it.
    tls: PublicKey  # Its servers' certificates carry it; peers accept no other.
    checkpoint: LastingKey  # Signs checkpoints, which are to convince when Ed25519 no longer does.


class Endpoints(Record, tag="members.endpoints/1", frozen=True):
    """Where a member is reached. All empty where members share one process."""

    engine: Address = ""  # The ordering engine's peer address: node id, `@`, host and port.
    keeper: Address = ""  # Its keeper and vault.
    gateway: Address = ""  # Links, directory, own log.


class KeyProof(Record, tag="members.key_proof/1", frozen=True):
    """Signatures of the keys that can sign, over the statement that names all seven: nobody enlists a foreign key."""

    ledger: Signature
    validator: Signature
    keeper: Signature
    tls: Signature


class FoundingMember(Record, tag="members.founder/1", frozen=True):
    """A member in the genesis."""

    member: Name
    keys: MemberKeys
    jurisdiction: str  # Whose pack of defaults and statute applies, such as `us`.
    validator: bool
    quota_bytes: Unsigned  # Transaction bytes per block that it may sponsor.
    endpoints: Endpoints = Endpoints()


class FoundingCommittee(Record, tag="members.founding_committee/1", frozen=True):
    """The keepers of some subjects: seat i is held by `seats[i - 1]`."""

    committee: CommitteeId
    seats: tuple[Name, ...]


class FoundingPack(Record, tag="members.founding_pack/1", frozen=True):
    """The root of a jurisdiction's defaults and statute."""

    jurisdiction: str
    root: Digest


class Parameters(Record, tag="members.parameters/1", frozen=True):
    """Limits that all members enforce. Bytes per block, bytes per transaction, messages per transaction."""

    lane_bytes: Unsigned = 65_536  # Per member and block for freeze, thaw, veto and advance, beside its quota.
    transaction_bytes_max: Unsigned = 131_072
    messages_max: Unsigned = 64
    block_bytes_max: Unsigned = 4_194_304


class Genesis(Record, tag="members.genesis/1", frozen=True):
    """All that a verifier must know beforehand: who the validators are, and how the network starts."""

    chain: ChainId
    time: TimeMs
    members: tuple[FoundingMember, ...]
    committees: tuple[FoundingCommittee, ...]
    packs: tuple[FoundingPack, ...]
    parameters: Parameters


class SeatHolder(Record, tag="members.seat/1", frozen=True):
    """Who sits on a seat, with the keys in force at this epoch."""

    member: Name
    key: PublicKey
    sealing: SealingKey


class Committee(Record, tag="members.committee/1", frozen=True):
    """A committee at its current epoch. Seats count from 1."""

    epoch: Epoch
    seats: tuple[SeatHolder, ...]


class AddMember(Record, tag="members.add_member/1", frozen=True):
    """A new organisation, under a name that nobody had before. Its seats are another change's to give."""

    member: Name
    keys: MemberKeys
    jurisdiction: str
    endpoints: Endpoints
    validator: bool
    quota_bytes: Unsigned
    proof: KeyProof  # Over `statements.joining`.


class RemoveMember(Record, tag="members.remove_member/1", frozen=True):
    """A member goes. Its seats have moved before, by `SetSeats`; all else that hangs on it passes to `successor`."""

    member: Name
    version: Version
    successor: Name


class SetValidator(Record, tag="members.set_validator/1", frozen=True):
    """Whether a member signs headers."""

    member: Name
    version: Version
    validator: bool


class Reinstate(Record, tag="members.reinstate/1", frozen=True):
    """End a suspension. Its evidence stays."""

    member: Name
    version: Version


class ReplaceKeys(Record, tag="members.replace_keys/1", frozen=True):
    """Seven keys, of which some may stay. Committees where the keeper or sealing key changes move on an epoch."""

    member: Name
    version: Version
    keys: MemberKeys
    proof: KeyProof  # Over `statements.replacing`, by the keys that are to be.


class SetQuota(Record, tag="members.set_quota/1", frozen=True):
    """Transaction bytes per block that a member may sponsor."""

    member: Name
    version: Version
    quota_bytes: Unsigned


class NewCommittee(Record, tag="members.new_committee/1", frozen=True):
    """Keepers for further subjects, at epoch 1."""

    committee: CommitteeId
    seats: tuple[Name, ...]


class SetSeats(Record, tag="members.set_seats/1", frozen=True):
    """A committee's seats anew, at its next epoch: a seat moves to another member, or there are more or fewer."""

    committee: CommitteeId
    epoch: Epoch  # The one that ends.
    seats: tuple[Name, ...]


class SetPack(Record, tag="members.set_pack/1", frozen=True):
    """The root of a jurisdiction's defaults and statute. Version 0 stands for a jurisdiction that has none yet."""

    jurisdiction: str
    version: Version
    root: Digest


class SetParameters(Record, tag="members.set_parameters/1", frozen=True):
    """The limits in force from the next block on."""

    version: Version  # The chain's.
    parameters: Parameters


class Upgrade(Record, tag="members.upgrade/1", frozen=True):
    """Other rules from a height on. While the next version waits for its height, naming it again moves that height."""

    rules: Version
    from_height: Height


class Cancel(Record, tag="members.cancel/1", frozen=True):
    """Take back a proposal that is open, or accepted and waiting for its height."""

    proposal_id: ProposalId


Change = (
    AddMember
    | RemoveMember
    | SetValidator
    | Reinstate
    | ReplaceKeys
    | SetQuota
    | NewCommittee
    | SetSeats
    | SetPack
    | SetParameters
    | Upgrade
    | Cancel
)


class Propose(Message, tag="members.propose/1", frozen=True):
    """Put changes to the vote: all of them happen, in this order, or none. The sponsor approves by proposing."""

    proposal_id: ProposalId
    changes: Annotated[tuple[Change, ...], Meta(min_length=1, max_length=16)]
    activate_at: Height  # Not before this block; 0 for as soon as enough members have approved.


class Vote(Message, tag="members.vote/1", frozen=True):
    """The sponsor's one word on a proposal."""

    proposal_id: ProposalId
    approve: bool


class Move(Message, tag="members.move/1", frozen=True):
    """Where the sponsor is reached from now on."""

    version: Version  # Its `own_version`.
    endpoints: Endpoints


class AnnounceTls(Message, tag="members.announce_tls/1", frozen=True):
    """A second TLS key that peers accept of the sponsor; it signs the transaction too. An earlier one is dropped."""

    version: Version
    key: PublicKey


class RotateTls(Message, tag="members.rotate_tls/1", frozen=True):
    """End the sponsor's old TLS key: the announced one is its only one from now on."""

    version: Version


class RotateGateway(Message, tag="members.rotate_gateway/1", frozen=True):
    """Another key to which links and policies for the sponsor are sealed."""

    version: Version
    key: SealingKey


class Offence(Enum):
    """What a validator may be shown to have done."""

    DUPLICATE_VOTE = "duplicate_vote"  # It signed two blocks at one height.
    LIGHT_CLIENT_ATTACK = "light_client_attack"  # It signed a header for strangers that its own chain does not have.


class Misbehaviour(Record, tag="members.misbehaviour/1", frozen=True):
    """Evidence that the ordering engine checked; part of the block that carries it."""

    validator: Name
    offence: Offence
    height: Height  # At which it happened.
