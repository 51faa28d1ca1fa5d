"""A network with keys that follow from a seed, the messages its parties would send, and a ledger in memory.

Everything is deterministic: the same seed gives the same bytes. `network(4)` is mercy, st-luke, lakeside and northgate;
`Ledger(network)` is the real machine over a memory store, with a block per call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from salus.contracts.cells.messages import Advance, Close, Create, Freeze, Thaw
from salus.contracts.cells.messages import SeatReceipt as CellReceipt
from salus.contracts.cells.statements import held
from salus.contracts.credentials.messages import Issue
from salus.contracts.members.founding import QUOTA_BYTES, first_committee, founding
from salus.contracts.members.messages import Genesis, MemberKeys, Misbehaviour, Parameters
from salus.contracts.reads.messages import Request
from salus.contracts.records.messages import Anchor, Attest, SeatReceipt, Supersede
from salus.contracts.records.statements import deposited
from salus.core.context import Context, Verify
from salus.core.ids import (
    HOUR_MS,
    MINUTE_MS,
    NO_DIGEST,
    BatchId,
    CellId,
    ChainId,
    CommitteeId,
    CredentialId,
    Digest,
    Height,
    MemberId,
    PublicKey,
    RequestId,
    Seat,
    TimeMs,
)
from salus.crypto import signatures
from salus.crypto.digests import derive, digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.lasting import LastingSigningKey
from salus.crypto.shares import faulty, quorum
from salus.crypto.signatures import SigningKey
from salus.machine.admission import remembering
from salus.machine.block import Applied, Block, header_id, header_of
from salus.machine.machine import Machine
from salus.machine.transaction import AnyMessage, Body, sign
from salus.state.key_value import KeyValue, MemoryStore
from salus.state.state import State

CHAIN = ChainId("test-1")
STARTED: TimeMs = 1_770_000_000_000
NAMES = ("mercy", "st-luke", "lakeside", "northgate")
BLOCK_MS = 1_000

_REMEMBERED = remembering(signatures.verify)


@dataclass(frozen=True, slots=True)
class Party:
    """A member with all its secret keys."""

    member: MemberId
    ledger: SigningKey
    validator: SigningKey
    keeper: SigningKey
    opening: OpeningKey
    gateway: OpeningKey
    tls: SigningKey
    checkpoint: LastingSigningKey

    @property
    def public(self) -> MemberKeys:
        return MemberKeys(
            ledger=self.ledger.public,
            validator=self.validator.public,
            keeper=self.keeper.public,
            sealing=self.opening.public,
            gateway=self.gateway.public,
            tls=self.tls.public,
            checkpoint=self.checkpoint.public,
        )


@dataclass(frozen=True, slots=True)
class Network:
    """Members in the order of their seats, and the genesis that founds them."""

    seed: bytes
    parties: tuple[Party, ...]
    genesis: Genesis
    committee: CommitteeId

    @property
    def chain(self) -> ChainId:
        return self.genesis.chain

    def party(self, member: str) -> Party:
        return next(party for party in self.parties if party.member == member)

    def id16(self, *path: str | int) -> bytes:
        """An id that follows from the seed."""
        return derive(self.seed, "id", *path, length=16)

    def owner(self, cell_id: CellId, version: int) -> SigningKey:
        """A cell's one-time key for a version."""
        return SigningKey(derive(self.seed, "owner", cell_id, version))

    def tx(
        self, sponsor: str, *messages: AnyMessage, valid_until: TimeMs, witnesses: Sequence[SigningKey] = ()
    ) -> bytes:
        """A signed transaction."""
        body = Body(chain=self.chain, valid_until=valid_until, messages=messages, sponsor=MemberId(sponsor))
        return sign(body, self.party(sponsor).ledger, *witnesses)

    def anchor(
        self,
        author: str,
        batch_id: BatchId,
        *,
        good_until: TimeMs,
        seats: Sequence[Seat] | None = None,
        supersedes: tuple[Supersede, ...] = (),
        epoch: int = 1,
    ) -> Anchor:
        """A batch with receipts of a quorum, or of these seats."""
        root, share_root = derive(batch_id, "root"), derive(batch_id, "share_root")
        statement = deposited(
            chain=self.chain,
            author=MemberId(author),
            batch_id=batch_id,
            root=root,
            share_root=share_root,
            committee=self.committee,
            epoch=epoch,
            good_until=good_until,
        )
        chosen = range(1, quorum(len(self.parties)) + 1) if seats is None else seats
        receipts = tuple(
            SeatReceipt(seat=seat, good_until=good_until, signature=self.parties[seat - 1].keeper.sign(statement))
            for seat in chosen
        )
        return Anchor(
            batch_id=batch_id,
            root=root,
            share_root=share_root,
            committee=self.committee,
            epoch=epoch,
            receipts=receipts,
            supersedes=supersedes,
        )

    def attest(
        self,
        author: str,
        batch_id: BatchId,
        *,
        good_until: TimeMs,
        holders: Sequence[str],
        seats: Sequence[Seat] | None = None,
        epoch: int = 2,
    ) -> Attest:
        """A batch dealt again at an epoch to these holders, with receipts of a quorum of them, or of these seats."""
        share_root = derive(batch_id, "share_root", epoch)
        statement = deposited(
            chain=self.chain,
            author=MemberId(author),
            batch_id=batch_id,
            root=derive(batch_id, "root"),
            share_root=share_root,
            committee=self.committee,
            epoch=epoch,
            good_until=good_until,
        )
        chosen = range(1, quorum(len(holders)) + 1) if seats is None else seats
        receipts = tuple(
            SeatReceipt(seat, good_until, self.party(holders[seat - 1]).keeper.sign(statement)) for seat in chosen
        )
        return Attest(batch_id=batch_id, epoch=epoch, share_root=share_root, receipts=receipts)

    def create(self, cell_id: CellId) -> Create:
        return Create(
            cell_id=cell_id,
            committee=self.committee,
            commitment=content(cell_id, 0),
            owner=digest(self.owner(cell_id, 0).public),
            recovery=NO_DIGEST,
        )

    def advance(self, cell_id: CellId, version: int, *, seats: Sequence[Seat] | None = None, epoch: int = 1) -> Advance:
        """The step from `version` to the next, with receipts of f+1 seats, or of these."""
        commitment = content(cell_id, version + 1)
        statement = held(
            chain=self.chain,
            cell_id=cell_id,
            version=version + 1,
            commitment=commitment,
            committee=self.committee,
            epoch=epoch,
        )
        chosen = range(1, faulty(len(self.parties)) + 2) if seats is None else seats
        return Advance(
            cell_id=cell_id,
            version=version,
            owner_key=self.owner(cell_id, version).public,
            next_owner=self.next_owner(cell_id, version),
            commitment=commitment,
            receipts=tuple(
                CellReceipt(seat=seat, signature=self.parties[seat - 1].keeper.sign(statement)) for seat in chosen
            ),
        )

    def freeze(self, cell_id: CellId, version: int) -> Freeze:
        owner = self.owner(cell_id, version).public
        return Freeze(cell_id=cell_id, version=version, owner_key=owner, next_owner=self.next_owner(cell_id, version))

    def thaw(self, cell_id: CellId, version: int) -> Thaw:
        owner = self.owner(cell_id, version).public
        return Thaw(cell_id=cell_id, version=version, owner_key=owner, next_owner=self.next_owner(cell_id, version))

    def close(self, cell_id: CellId, version: int) -> Close:
        return Close(cell_id=cell_id, version=version, owner_key=self.owner(cell_id, version).public)

    def issue(self, credential_id: CredentialId, *, expires: TimeMs) -> Issue:
        return Issue(credential_id=credential_id, commitment=content(credential_id, 0), expires=expires)

    def request(self, request_id: RequestId, *, expires: TimeMs) -> Request:
        return Request(
            request_id=request_id,
            commitment=content(request_id, 0),
            reply_key_digest=content(request_id, 1),
            expires=expires,
        )

    def next_owner(self, cell_id: CellId, version: int) -> Digest:
        return digest(self.owner(cell_id, version + 1).public)


@dataclass(slots=True)
class Ledger:
    """The real machine over a memory store: a block per `block`, a second apart."""

    network: Network
    store: KeyValue = field(default_factory=MemoryStore)
    machine: Machine = field(default_factory=lambda: Machine(_REMEMBERED))
    height: Height = 0
    time: TimeMs = STARTED
    previous: Digest = NO_DIGEST
    blocks: list[Block] = field(default_factory=list)
    app_hash: Digest = NO_DIGEST

    def __post_init__(self) -> None:
        self.app_hash = self.machine.genesis(self.state, self.network.genesis)

    @property
    def state(self) -> State:
        """A fresh view of what is committed."""
        return State(self.store)

    def tx(
        self,
        sponsor: str,
        *messages: AnyMessage,
        witnesses: Sequence[SigningKey] = (),
        valid_until: TimeMs | None = None,
    ) -> bytes:
        """A signed transaction, good for a minute beyond the next block."""
        until = self.time + BLOCK_MS + MINUTE_MS if valid_until is None else valid_until
        return self.network.tx(sponsor, *messages, valid_until=until, witnesses=witnesses)

    def block(self, *txs: bytes, after_ms: int = BLOCK_MS, misbehaviour: tuple[Misbehaviour, ...] = ()) -> Applied:
        """Apply the next block."""
        self.height += 1
        self.time += after_ms
        block = Block(self.network.chain, self.height, self.time, self.previous, txs, misbehaviour)
        applied = self.machine.apply(self.state, block)
        self.previous = header_id(header_of(block, applied))
        self.app_hash = applied.app_hash
        self.blocks.append(block)
        return applied

    def send(self, sponsor: str, *messages: AnyMessage, witnesses: Sequence[SigningKey] = ()) -> str:
        """One transaction in a block of its own; the code of its result."""
        return self.block(self.tx(sponsor, *messages, witnesses=witnesses)).results[0].code


@cache
def network(
    members: int = 4,
    seed: bytes = b"salus test network",
    quota_bytes: int = QUOTA_BYTES,
    parameters: Parameters | None = None,
    chain: ChainId = CHAIN,
) -> Network:
    """So many members, each validating; the first thirteen hold the seats of one committee."""
    names = [MemberId(NAMES[i] if i < len(NAMES) else f"m{i + 1}") for i in range(members)]
    parties = tuple(party(seed, name) for name in names)
    genesis = founding(
        chain=chain,
        time=STARTED,
        keys={party.member: party.public for party in parties},
        jurisdiction="us",
        packs={"us": digest(b"us"), "eu": digest(b"eu")},
        quota_bytes=quota_bytes,
        parameters=parameters,
    )
    return Network(seed=seed, parties=parties, genesis=genesis, committee=first_committee(chain))


@cache
def party(seed: bytes, member: MemberId) -> Party:
    """A member's keys."""
    return Party(
        member=member,
        ledger=SigningKey(derive(seed, member, "ledger")),
        validator=SigningKey(derive(seed, member, "validator")),
        keeper=SigningKey(derive(seed, member, "keeper")),
        opening=OpeningKey(derive(seed, member, "sealing")),
        gateway=OpeningKey(derive(seed, member, "gateway")),
        tls=SigningKey(derive(seed, member, "tls")),
        checkpoint=LastingSigningKey(derive(seed, member, "checkpoint")),
    )


def content(of: bytes, version: int) -> Digest:
    """A commitment that stands for something."""
    return derive(of, "content", version)


def context(
    net: Network,
    sponsor: str = "mercy",
    *,
    signers: Sequence[PublicKey] = (),
    time: TimeMs = STARTED,
    height: Height = 1,
    valid_until: TimeMs = STARTED + HOUR_MS,
    verify: Verify = signatures.verify,
) -> Context:
    """What a transition would be told of a transaction by this member with these signers."""
    return Context(
        chain=net.chain,
        height=height,
        time=time,
        valid_until=valid_until,
        sponsor=MemberId(sponsor),
        signers=frozenset((net.party(sponsor).ledger.public, *signers)),
        verify=verify,
    )


def founded(net: Network) -> State:
    """A state that holds the genesis and nothing else."""
    state = State(MemoryStore())
    Machine().genesis(state, net.genesis)
    return state
