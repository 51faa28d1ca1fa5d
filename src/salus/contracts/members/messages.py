"""What the network starts from. Proposals and votes join this file when governance does."""

from typing import Annotated

from msgspec import Meta

from salus.core.ids import ChainId, CommitteeId, Digest, Epoch, Name, PublicKey, SealingKey, TimeMs, Unsigned
from salus.core.wire import Record

Address = Annotated[str, Meta(max_length=253, pattern=r"^([\x21-\x7e]*)\Z")]  # `host:port`; empty where there is none.


class MemberKeys(Record, tag="members.keys/1", frozen=True):
    """An organisation's public keys, one per duty, so that one can be replaced without the others."""

    ledger: PublicKey  # Signs transactions as their sponsor, and envelopes as their author.
    validator: PublicKey  # Signs headers.
    keeper: PublicKey  # Signs keeper and vault receipts, answers and log roots.
    sealing: SealingKey  # Envelopes to this member's keeper are sealed to it.
    gateway: SealingKey  # Links and policies for this member as a writer are sealed to it.
    tls: PublicKey  # Its servers' certificates carry it; peers accept no other.


class Endpoints(Record, tag="members.endpoints/1", frozen=True):
    """Where a member is reached. All empty where members share one process."""

    engine: Address = ""  # The ordering engine's peer address: node id, `@`, host and port.
    keeper: Address = ""  # Its keeper and vault.
    gateway: Address = ""  # Links, directory, own log.


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
