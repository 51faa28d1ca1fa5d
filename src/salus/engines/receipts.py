"""Receipts: proof, for whoever knows the genesis file, that a transaction was carried out.

A receipt holds the transaction, its result, the path from both to a header's outcome root, the header, and signatures
of more than two thirds of the validators. Nothing in it needs a network, a clock or trust in who shows it.
"""

from collections.abc import Mapping

from salus.contracts.members.messages import Genesis
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import Digest, MemberId, Name, PublicKey, Signature, Unsigned
from salus.core.wire import Record, decode
from salus.crypto.merkle import root_from_path
from salus.crypto.signatures import verify
from salus.machine.block import Header, Result, header_id, outcome_leaf, validators_digest_of
from salus.machine.transaction import Body, Tx


class Vote(Record, tag="engine.vote/1", frozen=True):
    """A validator's signature over the header it computed itself."""

    validator: Name
    signature: Signature


class Receipt(Record, tag="engine.receipt/1", frozen=True):
    """What a party keeps of an accepted (or refused) transaction."""

    tx: bytes
    result: Result
    index: Unsigned
    total: Unsigned
    path: tuple[Digest, ...]
    header: Header
    votes: tuple[Vote, ...]


class ReceiptError(RefusalError):
    """The receipt does not prove what it says."""

    code = "engine.receipt"


def validators_of(genesis: Genesis) -> tuple[tuple[MemberId, PublicKey], ...]:
    """The validators at the start, by name."""
    return tuple(sorted((m.member, m.keys.validator) for m in genesis.members if m.validator))


def is_quorum(count: int, validators: int) -> bool:
    """More than two thirds."""
    return 3 * count > 2 * validators


def check_votes(header: Header, votes: tuple[Vote, ...], keys: Mapping[MemberId, PublicKey]) -> None:
    """Raise unless more than two thirds of these validators signed this header.

    Raises:
        ReceiptError: a vote is not a validator's, is doubled, or its signature is not valid; or there are too few.
    """
    names = [vote.validator for vote in votes]
    if len(set(names)) != len(names) or not set(names) <= set(keys):
        raise ReceiptError(reason="votes are not those of distinct validators", height=header.height)
    named = header_id(header)
    if not all(verify(keys[vote.validator], named, vote.signature) for vote in votes):
        raise ReceiptError(reason="a validator's signature is not valid", height=header.height)
    if not is_quorum(len(votes), len(keys)):
        raise ReceiptError(reason="not more than two thirds signed", height=header.height)


def check_receipt(receipt: Receipt, genesis: Genesis) -> Body:
    """Raise unless the receipt proves its transaction's result on this network; return what the transaction asked.

    Raises:
        ReceiptError: another chain or other validators, a path that does not lead to the header, or missing votes.
        MalformedError: the transaction inside is not one.
    """
    header = receipt.header
    validators = validators_of(genesis)
    if header.chain != genesis.chain:
        raise ReceiptError(reason="another chain", height=header.height)
    if header.validators != validators_digest_of(validators):
        raise ReceiptError(reason="other validators than the genesis names", height=header.height)
    leaf = outcome_leaf(receipt.tx, receipt.result)
    try:
        root = root_from_path(leaf, receipt.index, receipt.total, receipt.path)
    except MalformedError:
        raise ReceiptError(reason="the path is not one", height=header.height) from None
    if root != header.outcome_root:
        raise ReceiptError(reason="the path does not lead to the header", height=header.height)
    check_votes(header, receipt.votes, dict(validators))
    return decode(Body, decode(Tx, receipt.tx).body)
