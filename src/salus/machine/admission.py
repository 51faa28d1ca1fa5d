"""Whether a transaction may be looked at: its bytes, its chain, its time, its size, its signatures.

What its messages may do is for the contracts. Quotas need a whole block and are in `machine.py`.
"""

from functools import lru_cache

import msgspec

from salus.contracts.cells.messages import Advance, Freeze, Thaw
from salus.contracts.members.messages import Parameters
from salus.contracts.members.reads import member_of
from salus.contracts.members.tables import Chain, Member
from salus.core.context import Verify
from salus.core.ids import Digest, PublicKey, TimeMs
from salus.core.wire import decode
from salus.machine.errors import (
    BadSignatureError,
    BadWitnessError,
    ExpiredError,
    KeyTwiceError,
    OtherChainError,
    TooFarAheadError,
    TooLargeError,
    TooManyMessagesError,
    TooManyWitnessesError,
    UnknownSponsorError,
)
from salus.machine.transaction import VALID_MS_MAX, Body, Tx, transaction_id
from salus.state.state import State

_LANE = frozenset((Freeze, Thaw, Advance))


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A transaction that was read, and not yet believed."""

    tx_id: Digest
    tx: Tx
    body: Body
    size_bytes: int
    is_lane: bool  # Whether it only freezes, thaws or advances, and so uses the reserved lane.


def read(data: bytes) -> Submitted:
    """Read a transaction's bytes.

    Raises:
        MalformedError: they, or the body inside, are not the one encoding of a transaction.
    """
    return _remembered(data) if len(data) <= _REMEMBERED_BYTES_MAX else _read(data)


def _read(data: bytes) -> Submitted:
    tx = decode(Tx, data)
    body = decode(Body, tx.body)
    is_lane = all(type(message) in _LANE for message in body.messages)
    return Submitted(tx_id=transaction_id(tx.body), tx=tx, body=body, size_bytes=len(data), is_lane=is_lane)


# Read once for admission, again in the block, and by every member that one process simulates. Bounded in both ways.
_REMEMBERED_BYTES_MAX = 4_096
_remembered = lru_cache(4_096)(_read)


def authenticate(
    state: State, chain: Chain, submitted: Submitted, time: TimeMs, verify: Verify
) -> tuple[Member, frozenset[PublicKey]]:
    """The sponsor's entry, and all keys that signed.

    Raises, in this order:
        OtherChainError: the body names another chain.
        ExpiredError: `valid_until` is before block time.
        TooFarAheadError: `valid_until` is more than an hour after block time.
        UnknownSponsorError: the sponsor is not a member.
        TooLargeError, TooManyMessagesError: beyond the limits in force.
        BadSignatureError: the sponsor's ledger key did not sign this body.
        TooManyWitnessesError: more witnesses than messages are allowed.
        KeyTwiceError: a key signs twice, the sponsor's included.
        BadWitnessError: a witness's key did not sign this body.
    """
    body = submitted.body
    if body.chain != chain.chain:
        raise OtherChainError(chain=chain.chain)
    if body.valid_until < time:
        raise ExpiredError(valid_until=body.valid_until, time=time)
    if body.valid_until > time + VALID_MS_MAX:
        raise TooFarAheadError(valid_until=body.valid_until, time=time)
    sponsor = member_of(state, body.sponsor)
    if sponsor is None:
        raise UnknownSponsorError(sponsor=body.sponsor)
    _check_size(submitted, chain.parameters)
    if not verify(sponsor.keys.ledger, submitted.tx_id, submitted.tx.signature):
        raise BadSignatureError(sponsor=body.sponsor)
    return sponsor, _signers(submitted, sponsor.keys.ledger, chain.parameters, verify)


def remembering(verify: Verify, size: int = 65_536) -> Verify:
    """The same verdicts, remembered for the last `size` signatures.

    A transaction is verified when it is admitted and again in its block, and keepers' receipts come more than once.
    """
    return lru_cache(size)(verify)


def _check_size(submitted: Submitted, limits: Parameters) -> None:
    if submitted.size_bytes > limits.transaction_bytes_max:
        raise TooLargeError(size_bytes=submitted.size_bytes, size_bytes_max=limits.transaction_bytes_max)
    if len(submitted.body.messages) > limits.messages_max:
        raise TooManyMessagesError(messages=len(submitted.body.messages), messages_max=limits.messages_max)


def _signers(submitted: Submitted, sponsor: PublicKey, limits: Parameters, verify: Verify) -> frozenset[PublicKey]:
    witnesses = submitted.tx.witnesses
    if not witnesses:
        return frozenset((sponsor,))
    if len(witnesses) > limits.messages_max:
        raise TooManyWitnessesError(witnesses=len(witnesses), witnesses_max=limits.messages_max)
    keys = frozenset((sponsor, *(witness.key for witness in witnesses)))
    if len(keys) <= len(witnesses):
        raise KeyTwiceError(sponsor=submitted.body.sponsor)
    for witness in witnesses:
        if not verify(witness.key, submitted.tx_id, witness.signature):
            raise BadWitnessError(key=witness.key)
    return keys
