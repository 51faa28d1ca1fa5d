"""A block as members pass it on, what applying it gives, and the header that validators sign.

Each member computes the header itself: `header_of` takes nothing from anybody else's. Receipts prove a transaction's
bytes and its result under `outcome_root`, and entries of the state under `app_hash`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from salus.contracts.members.messages import Misbehaviour
from salus.contracts.members.reads import validators
from salus.core.ids import ChainId, Digest, Height, MemberId, PublicKey, TimeMs
from salus.core.wire import Record, encode
from salus.crypto import merkle
from salus.crypto.digests import digest, tagged
from salus.state.state import State

ACCEPTED = "ok"  # The code of a transaction that no rule refused.


class Block(Record, tag="block/1", frozen=True):
    """Transactions in their final order."""

    chain: ChainId
    height: Height
    time: TimeMs  # Never before the previous block's; engines see to that.
    previous: Digest  # The id of the previous header; NO_DIGEST before the first.
    txs: tuple[bytes, ...]
    misbehaviour: tuple[Misbehaviour, ...] = ()  # Evidence that the engine checked; applied before the transactions.


class Header(Record, tag="block.header/1", frozen=True):
    """What validators sign: the block's place, what came out of its transactions, and the state after it."""

    chain: ChainId
    height: Height
    time: TimeMs
    previous: Digest
    outcome_root: Digest
    app_hash: Digest
    validators: Digest  # After this block.


class Result(Record, tag="block.result/1", frozen=True):
    """What became of one transaction."""

    tx_id: Digest  # NO_DIGEST where the bytes are no transaction.
    code: str  # `ACCEPTED`, or that of the rule that refused.


@dataclass(frozen=True, slots=True)
class Applied:
    """What one block did."""

    results: tuple[Result, ...]  # One per transaction, in order.
    outcome_root: Digest
    app_hash: Digest
    validators: Digest


def header_of(block: Block, applied: Applied) -> Header:
    """The header of a block that was applied."""
    return Header(
        chain=block.chain,
        height=block.height,
        time=block.time,
        previous=block.previous,
        outcome_root=applied.outcome_root,
        app_hash=applied.app_hash,
        validators=applied.validators,
    )


def header_id(header: Header) -> Digest:
    """What validators sign, and what the next block calls `previous`."""
    return tagged("block.header", encode(header))


def outcome_leaf(tx: bytes, result: Result) -> bytes:
    """The leaf that binds a transaction's bytes to its result."""
    return encode((digest(tx), result.tx_id, result.code))


def outcome_root(results: Sequence[Result], txs: Sequence[bytes]) -> Digest:
    """The Merkle root (RFC 6962) over the leaves of all transactions, in order."""
    return merkle.root([outcome_leaf(tx, result) for tx, result in zip(txs, results, strict=True)])


def validators_digest(state: State) -> Digest:
    """The digest of who validates in this state."""
    return validators_digest_of(validators(state))


def validators_digest_of(named: tuple[tuple[MemberId, PublicKey], ...]) -> Digest:
    """The digest of who validates, with their keys, by name: what a verifier works out from a genesis."""
    return tagged("block.validators", encode(named))
