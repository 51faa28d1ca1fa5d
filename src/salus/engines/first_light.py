"""A ledger of first light's form (store format 1), applied anew by today's rules and kept in today's form.

First light's rules lacked votes, rules by version and successors, and its tables of members other fields: its roots are
not today's. The transactions are: each has the bytes, the block and the result it had, or nothing is kept. Only headers
and votes are new; whoever holds all validators' keys, as a folder of that time does, signs them again.
"""

from collections.abc import Iterator, Mapping, Sequence

from salus.contracts.members.messages import (
    Endpoints,
    FoundingCommittee,
    FoundingMember,
    FoundingPack,
    Genesis,
    MemberKeys,
    Parameters,
)
from salus.core.errors import IntegrityError
from salus.core.ids import ChainId, Digest, LastingKey, MemberId, Name, PublicKey, SealingKey, TimeMs, Unsigned
from salus.core.wire import Record, decode, reopen
from salus.crypto.signatures import SigningKey
from salus.engines.layout import BLOCKS_PREFIX, StoredBlock
from salus.engines.receipts import Receipt, Vote
from salus.engines.replica import Replica
from salus.machine.block import Block, Header, Result, header_id
from salus.state.key_value import KeyValue

STORE_FORMAT = 1


class FirstLightError(IntegrityError):
    """A block of first light does not lead to the results it had: the folder stays as it was."""

    code = "engine.first_light"


class FirstKeys(Record, tag="members.keys/1", frozen=True):
    """`MemberKeys` before checkpoints."""

    ledger: PublicKey
    validator: PublicKey
    keeper: PublicKey
    sealing: SealingKey
    gateway: SealingKey
    tls: PublicKey


class FirstMember(Record, tag="members.founder/1", frozen=True):
    """`FoundingMember` with them."""

    member: Name
    keys: FirstKeys
    jurisdiction: str
    validator: bool
    quota_bytes: Unsigned
    endpoints: Endpoints


class FirstGenesis(Record, tag="members.genesis/1", frozen=True):
    """`Genesis` with them."""

    chain: ChainId
    time: TimeMs
    members: tuple[FirstMember, ...]
    committees: tuple[FoundingCommittee, ...]
    packs: tuple[FoundingPack, ...]
    parameters: Parameters


class FirstReceipt(Record, tag="engine.receipt/1", frozen=True):
    """`Receipt` before validators could change."""

    tx: bytes
    result: Result
    turns: Unsigned
    siblings: tuple[Digest, ...]
    header: Header
    votes: tuple[Vote, ...]


def receipt_from(first: FirstReceipt) -> Receipt:
    """The same proof today."""
    return Receipt(first.tx, first.result, first.turns, first.siblings, first.header, first.votes)


def read_first_genesis(data: bytes) -> FirstGenesis:
    """A genesis of first light. Raises MalformedError where it is none."""
    return decode(FirstGenesis, data)


def genesis_from(first: FirstGenesis, checkpoints: Mapping[MemberId, LastingKey]) -> Genesis:
    """The same network's genesis today, with a key for checkpoints for each member."""
    members = tuple(
        FoundingMember(
            member=one.member,
            keys=_keys(one.keys, checkpoints[MemberId(one.member)]),
            jurisdiction=one.jurisdiction,
            validator=one.validator,
            quota_bytes=one.quota_bytes,
            endpoints=one.endpoints,
        )
        for one in first.members
    )
    return Genesis(first.chain, first.time, members, first.committees, first.packs, first.parameters)


def blocks_of(store: KeyValue) -> Iterator[StoredBlock]:
    """Final blocks in a store of that time. Raises MalformedError where the bytes are none."""
    for _, data in store.scan(BLOCKS_PREFIX):
        yield reopen(StoredBlock, data)


def apply_anew(blocks: Iterator[StoredBlock], replicas: Sequence[Replica], keys: Mapping[MemberId, SigningKey]) -> int:
    """Make these blocks final on replicas that hold nothing yet; how many there were.

    Raises:
        FirstLightError: a transaction has another result than it had.
    """
    count = 0
    for old in blocks:
        block = Block(old.block.chain, old.block.height, old.block.time, header_id(replicas[0].header), old.block.txs)
        headers = [replica.prepare(block) for replica in replicas]
        results, _, _ = replicas[0].prepared
        if results != old.results:
            for replica in replicas:
                replica.abandon()
            raise FirstLightError(height=block.height)
        votes = tuple(replica.vote(keys[replica.member]) for replica in replicas if replica.member in keys)
        for replica in replicas:
            replica.finalise(headers[0], votes)
        count += 1
    return count


def _keys(first: FirstKeys, checkpoint: LastingKey) -> MemberKeys:
    return MemberKeys(
        ledger=first.ledger,
        validator=first.validator,
        keeper=first.keeper,
        sealing=first.sealing,
        gateway=first.gateway,
        tls=first.tls,
        checkpoint=checkpoint,
    )
