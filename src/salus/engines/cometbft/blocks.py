"""CometBFT's headers, votes and validators, as far as a light client must know them, and what they hash to.

A `LightBlock` says each fact once: which block its votes are for follows from its header, so no field can disagree.
Only votes for the block are kept (absent ones and those for nil prove nothing), by address, so that a block with given
votes has one form. How CometBFT's JSON becomes these is in `headers.py`; what is believed of them in `light.py`.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from salus.contracts.members.messages import Genesis
from salus.core.ids import ChainId, Digest, Height, PublicKey, Signature, Unsigned
from salus.core.wire import Record
from salus.crypto.digests import digest
from salus.crypto.merkle import root
from salus.engines.cometbft.encoding import (
    bytes_field,
    delimited,
    fixed_field,
    message_field,
    number_field,
    timestamp,
)

ADDRESS_BYTES = 20
DIGEST_BYTES = 32
BLOCK_VERSION = 11  # Of CometBFT 0.38 to 0.40.
VALIDATORS_MAX = 10_000  # CometBFT's own limit on the votes of a commit.
POWER_MAX = (1 << 63) // 8  # Of a whole set, as CometBFT has it.
CHAIN_CHARS_MAX = 50

Address = Annotated[bytes, Meta(min_length=ADDRESS_BYTES, max_length=ADDRESS_BYTES)]  # SHA-256 of a key, cut.
MaybeDigest = Annotated[bytes, Meta(max_length=DIGEST_BYTES)]  # Empty, or whole: see `is_well_formed`.
AppHash = Annotated[bytes, Meta(max_length=64)]  # Whatever the application answered.
TimeNs = Unsigned  # Nanoseconds since 1970-01-01T00:00:00Z: CometBFT signs all of them.
Small = Annotated[int, Meta(ge=0, lt=1 << 31)]
Power = Annotated[int, Meta(ge=1, le=POWER_MAX)]

_PRECOMMIT = 2


class BlockId(Record, tag="comet.block_id/1", frozen=True):
    """How a header names the block before it. All empty in the first."""

    header: MaybeDigest
    parts: Small
    parts_root: MaybeDigest


class Header(Record, tag="comet.header/1", frozen=True):
    """What CometBFT's validators agree on. Results and state are those of the block before."""

    block_version: Unsigned
    app_version: Unsigned
    chain: Annotated[ChainId, Meta(max_length=CHAIN_CHARS_MAX)]
    height: Height
    time: TimeNs
    previous: BlockId
    last_commit: MaybeDigest
    data: MaybeDigest  # Over the transactions of this block.
    validators: MaybeDigest
    next_validators: MaybeDigest
    consensus: MaybeDigest
    app_hash: AppHash  # The state after the block before.
    last_results: MaybeDigest  # Over the results of the block before.
    evidence: MaybeDigest
    proposer: Address


class Validator(Record, tag="comet.validator/1", frozen=True):
    """Who votes, and with what weight."""

    key: PublicKey
    power: Power


class Vote(Record, tag="comet.vote/1", frozen=True):
    """A validator's precommit for the block it stands beside."""

    validator: Address
    time: TimeNs
    signature: Signature


Validators = Annotated[tuple[Validator, ...], Meta(max_length=VALIDATORS_MAX)]


class LightBlock(Record, tag="comet.light_block/1", frozen=True):
    """A header with the votes for it and the validators whose votes count."""

    header: Header
    round: Small
    parts: Small
    parts_root: Digest
    votes: Annotated[tuple[Vote, ...], Meta(max_length=VALIDATORS_MAX)]
    validators: Validators


@lru_cache(maxsize=16_384)
def address_of(key: PublicKey) -> bytes:
    """The address of a validator."""
    return digest(key)[:ADDRESS_BYTES]


def in_order(validators: Iterable[Validator]) -> tuple[Validator, ...]:
    """As CometBFT orders a set: the most powerful first, then by address."""
    return tuple(sorted(validators, key=lambda one: (-one.power, address_of(one.key))))


def founders(genesis: Genesis) -> tuple[Validator, ...]:
    """The validators of the first block: those that the genesis names, with equal weight."""
    return in_order(Validator(key=member.keys.validator, power=1) for member in genesis.members if member.validator)


def powers(validators: tuple[Validator, ...]) -> dict[bytes, int]:
    """Every validator's weight by its key."""
    return {validator.key: validator.power for validator in validators}


@lru_cache(maxsize=256)
def validators_hash(validators: tuple[Validator, ...]) -> Digest:
    """What a header calls its validators."""
    return root([message_field(1, bytes_field(1, one.key)) + number_field(2, one.power) for one in validators])


@lru_cache(maxsize=4_096)
def header_hash(header: Header) -> Digest:
    """What votes are for, and what the next header calls `previous`."""
    return root(
        [
            number_field(1, header.block_version) + number_field(2, header.app_version),
            bytes_field(1, header.chain.encode()),
            number_field(1, header.height),
            timestamp(header.time),
            _block_id(header.previous.header, header.previous.parts, header.previous.parts_root),
            bytes_field(1, header.last_commit),
            bytes_field(1, header.data),
            bytes_field(1, header.validators),
            bytes_field(1, header.next_validators),
            bytes_field(1, header.consensus),
            bytes_field(1, header.app_hash),
            bytes_field(1, header.last_results),
            bytes_field(1, header.evidence),
            bytes_field(1, header.proposer),
        ]
    )


def signed_bytes(block: LightBlock, vote: Vote) -> bytes:
    """What a validator signed: the canonical precommit, behind its length."""
    header = block.header
    return delimited(
        number_field(1, _PRECOMMIT)
        + fixed_field(2, header.height)
        + fixed_field(3, block.round)
        + message_field(4, _block_id(header_hash(header), block.parts, block.parts_root))
        + message_field(5, timestamp(vote.time))
        + bytes_field(6, header.chain.encode())
    )


def is_well_formed(header: Header) -> bool:
    """Whether a header is one of CometBFT 0.38 to 0.40: its version, and digests that are whole or empty."""
    digests = (
        header.previous.header,
        header.previous.parts_root,
        header.last_commit,
        header.data,
        header.validators,
        header.next_validators,
        header.consensus,
        header.last_results,
        header.evidence,
    )
    return (
        header.block_version == BLOCK_VERSION
        and header.height > 0
        and all(len(one) in (0, DIGEST_BYTES) for one in digests)
        and len(header.validators) == DIGEST_BYTES
    )


def transactions_root(txs: Iterable[bytes]) -> Digest:
    """What a header calls its data."""
    return root([digest(tx) for tx in txs])


def result_leaf(code: int, data: bytes, *, gas_wanted: int = 0, gas_used: int = 0) -> bytes:
    """The deterministic part of an `ExecTxResult`, a leaf under the next header's `last_results`."""
    gas = number_field(5, gas_wanted) + number_field(6, gas_used)
    return number_field(1, code) + bytes_field(2, data) + gas


def _block_id(header: bytes, parts: int, parts_root: bytes) -> bytes:
    return bytes_field(1, header) + message_field(2, number_field(1, parts) + bytes_field(2, parts_root))
