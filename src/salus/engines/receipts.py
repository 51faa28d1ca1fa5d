"""Receipts: the proof of a final transaction, checked offline by whoever has the genesis file.

A receipt holds the transaction as it was sent, its result, the way from both to the header's outcome root, and the
header with signatures of more than two thirds of the validators. Where those are not the genesis's any more, it holds a
handover for each time they changed: a header that the validators before signed, and those whom it names. Nothing in it
needs a network, a clock or trust in who shows it, and no byte of it can be changed: what it says has one form.

Offline, nobody can know that validators of long ago are none any more: more than two thirds of them, or a thief of
their old keys, could sign another history from their time on. Keys that were replaced are to be destroyed.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from salus.contracts.members.messages import Genesis
from salus.core.errors import RefusalError
from salus.core.ids import Digest, MemberId, Name, PublicKey, Signature, Unsigned
from salus.core.wire import Record, decode
from salus.crypto.merkle import inner_digest, leaf_digest, path
from salus.crypto.signatures import verify
from salus.machine.block import Header, Result, header_id, outcome_leaf, validators_digest_of
from salus.machine.transaction import Body, Tx

HEADERS_REMEMBERED = 4_096  # By a `ReceiptChecker`; about a kilobyte each.


class Vote(Record, tag="engine.vote/1", frozen=True):
    """A validator's signature over the header it computed itself."""

    validator: Name
    signature: Signature


class Validator(Record, tag="engine.validator/1", frozen=True):
    """Who signs headers, and with which key."""

    validator: Name
    key: PublicKey


class Handover(Record, tag="engine.handover/1", frozen=True):
    """A header after which others validate: signed by the validators before, it binds those after it."""

    header: Header
    votes: tuple[Vote, ...]
    validators: tuple[Validator, ...]  # As the state lists them; their digest is the header's.


class Receipt(Record, tag="engine.receipt/2", frozen=True):
    """What a party keeps of an accepted (or refused) transaction.

    `turns` says of each sibling, the lowest bit for the first, whether it stands to the left. A place and a total
    would say so too, but several totals give one path, and a receipt shall have one form.
    """

    tx: bytes
    result: Result
    turns: Unsigned
    siblings: tuple[Digest, ...]
    header: Header
    votes: tuple[Vote, ...]
    handovers: tuple[Handover, ...] = ()  # Every one before the header, the first one first; mostly none.


class ReceiptError(RefusalError):
    """The receipt does not prove what it says."""

    code = "engine.receipt"


def validators_of(genesis: Genesis) -> tuple[tuple[MemberId, PublicKey], ...]:
    """The validators at the start, in the order in which the state lists them: shorter names first, then by name."""
    named = [(member.member, member.keys.validator) for member in genesis.members if member.validator]
    return tuple(sorted(named, key=lambda validator: (len(validator[0]), validator[0])))


def named(validators: tuple[tuple[MemberId, PublicKey], ...]) -> tuple[Validator, ...]:
    """Validators as a handover lists them."""
    return tuple(Validator(validator=member, key=key) for member, key in validators)


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
    signed = header_id(header)
    if not all(verify(keys[vote.validator], signed, vote.signature) for vote in votes):
        raise ReceiptError(reason="a validator's signature is not valid", height=header.height)
    if not is_quorum(len(votes), len(keys)):
        raise ReceiptError(reason="not more than two thirds signed", height=header.height)


def check_receipt(receipt: Receipt, genesis: Genesis) -> Body:
    """Raise unless the receipt proves its transaction's result on this network; return what the transaction asked.

    Raises, in this order:
        ReceiptError: another chain.
        ReceiptError: a path that does not lead to the header.
        ReceiptError: a handover out of order, without effect, to others than its header binds, or badly signed.
        ReceiptError: a vote that is not a validator's, is doubled or not valid; or too few.
        MalformedError: the transaction inside is not one.
    """
    return ReceiptChecker(genesis).check(receipt)


class ReceiptChecker:
    """Checks many receipts of one network: headers and handovers seen with the same votes are not verified again."""

    def __init__(self, genesis: Genesis) -> None:
        validators = validators_of(genesis)
        self._chain = genesis.chain
        self._validators = named(validators)
        # Only what was proven is remembered: an error passes through the cache and leaves nothing.
        self._check_final = lru_cache(HEADERS_REMEMBERED)(self._final)
        self._handed_over = lru_cache(HEADERS_REMEMBERED)(self._after)

    def check(self, receipt: Receipt) -> Body:
        """As `check_receipt`, against the genesis given at the start."""
        header = receipt.header
        if header.chain != self._chain:
            raise ReceiptError(reason="another chain", height=header.height)
        if _root_above(receipt) != header.outcome_root:
            raise ReceiptError(reason="the path does not lead to the header", height=header.height)
        validators = self._handed_over(receipt.handovers)
        if receipt.handovers and receipt.handovers[-1].header.height >= header.height:
            raise ReceiptError(reason="a handover that does not come before the header", height=header.height)
        self._check_final(header, receipt.votes, validators)
        return decode(Body, decode(Tx, receipt.tx).body)

    def validators_after(self, handovers: tuple[Handover, ...]) -> tuple[Validator, ...]:
        """Who validates after these handovers, from the genesis on. Raises ReceiptError where one does not hold."""
        return self._handed_over(handovers)

    def _after(self, handovers: tuple[Handover, ...]) -> tuple[Validator, ...]:
        validators, height = self._validators, 0
        for handover in handovers:
            if handover.header.chain != self._chain or handover.header.height <= height:
                raise ReceiptError(reason="handovers do not follow each other", height=handover.header.height)
            validators, height = check_handover(handover, validators), handover.header.height
        return validators

    def _final(self, header: Header, votes: tuple[Vote, ...], validators: tuple[Validator, ...]) -> None:
        check_votes(header, votes, keys_of(validators))


def keys_of(validators: tuple[Validator, ...]) -> dict[MemberId, PublicKey]:
    """Keys by validator."""
    return {one.validator: one.key for one in validators}


def digest_of(validators: tuple[Validator, ...]) -> Digest:
    """The digest that a header binds."""
    return validators_digest_of(tuple((one.validator, one.key) for one in validators))


def check_handover(handover: Handover, before: tuple[Validator, ...]) -> tuple[Validator, ...]:
    """Raise unless more than two thirds of those before handed over to others; return those.

    Raises, in this order:
        ReceiptError: its header binds others than it names, or the same as before: such a handover says nothing.
        ReceiptError: as in `check_votes`.
    """
    height = handover.header.height
    if digest_of(handover.validators) != handover.header.validators:
        raise ReceiptError(reason="a handover to others than its header binds", height=height)
    if handover.validators == before:
        raise ReceiptError(reason="a handover to the same validators", height=height)
    check_votes(handover.header, handover.votes, keys_of(before))
    return handover.validators


def path_of(leaves: Sequence[bytes], index: int) -> tuple[int, tuple[Digest, ...]]:
    """The turns and siblings from a leaf of a block to its outcome root (RFC 6962, section 2.1.1)."""
    turns, total, at, depth = 0, len(leaves), index, []
    while total > 1:
        split = 1 << ((total - 1).bit_length() - 1)
        depth.append(at >= split)
        at, total = (at - split, total - split) if at >= split else (at, split)
    for is_left in depth:
        turns = turns << 1 | is_left
    return turns, path(leaves, index)


def _root_above(receipt: Receipt) -> Digest | None:
    """The root that transaction and result have under these siblings; None where turns name more than there are."""
    if receipt.turns >> len(receipt.siblings):
        return None
    node = leaf_digest(outcome_leaf(receipt.tx, receipt.result))
    for height, sibling in enumerate(receipt.siblings):
        node = inner_digest(sibling, node) if receipt.turns >> height & 1 else inner_digest(node, sibling)
    return node
