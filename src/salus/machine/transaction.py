"""A transaction: messages that happen together or not at all, sponsored by a member.

The body is carried as bytes, so that what is signed is what was sent. There are no nonces: each message makes an id
that must be new or consumes a version that must be current, so that a replay is refused by the contract itself.
"""

from typing import Annotated

from msgspec import Meta

from salus.contracts.cells.messages import Advance, Close, Create, Freeze, Thaw
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.members.messages import AnnounceTls, Move, Propose, RotateGateway, RotateTls, Vote
from salus.contracts.reads.messages import LogRoot, Request
from salus.contracts.records.messages import Anchor, Attest, FirstWithdraw, Withdraw
from salus.core.ids import HOUR_MS, ChainId, Digest, Name, PublicKey, Signature, TimeMs
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged
from salus.crypto.signatures import SigningKey

AnyMessage = (
    Propose
    | Vote
    | Move
    | AnnounceTls
    | RotateTls
    | RotateGateway
    | Issue
    | Revoke
    | Anchor
    | Attest
    | FirstWithdraw
    | Withdraw
    | Create
    | Advance
    | Freeze
    | Thaw
    | Close
    | Request
    | LogRoot
)

VALID_MS_MAX = HOUR_MS  # How far ahead of block time `valid_until` may lie.


class Body(Record, tag="tx.body/1", frozen=True):
    """What is signed."""

    chain: ChainId
    valid_until: TimeMs
    messages: Annotated[tuple[AnyMessage, ...], Meta(min_length=1)]
    sponsor: Name


class Witness(Record, tag="tx.witness/1", frozen=True):
    """A further signature, such as that of a cell's one-time owner key."""

    key: PublicKey
    signature: Signature


class Tx(Record, tag="tx/1", frozen=True):
    """A signed transaction."""

    body: bytes  # An encoded `Body`.
    signature: Signature  # The sponsor's, by its ledger key.
    witnesses: tuple[Witness, ...]


def transaction_id(body: bytes) -> Digest:
    """The digest of the unsigned body: what all signatures sign, and what receipts name."""
    return tagged("tx", body)


def sign(body: Body, sponsor: SigningKey, *witnesses: SigningKey) -> bytes:
    """An encoded transaction, signed by its sponsor and by further keys."""
    data = encode(body)
    named = transaction_id(data)
    extra = tuple(Witness(key=key.public, signature=key.sign(named)) for key in witnesses)
    return encode(Tx(body=data, signature=sponsor.sign(named), witnesses=extra))
