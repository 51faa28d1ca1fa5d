"""Checkpoints: co-signed with ML-DSA-65, and a place from which receipts are verified long after the genesis."""

from functools import cache

import pytest

from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import DAY_MS
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import digest
from salus.crypto.errors import BadKeyError
from salus.crypto.lasting import LastingSigningKey
from salus.engines.cometbft.checkpoints import (
    CheckpointError,
    CheckpointFile,
    CheckpointSignature,
    SignedCheckpoint,
    Signer,
    check_chain,
    check_checkpoint,
    check_checkpoints,
    gather,
    is_due,
    sign_checkpoint,
)
from salus.engines.cometbft.light import TooFewTrustedError, TrustExpiredError
from salus.engines.cometbft.receipts import CometReceipt, check_comet_receipt
from salus.engines.receipts import ReceiptError
from tests.engines.cometbft.chain import Chain, forged, stranger
from tests.engines.cometbft.receipt_cases import (
    NET,
    OTHER,
    chain,
    checkpoint_keys,
    made,
    public_keys,
    signed_checkpoint,
    validators,
)

YEAR_NS = 366 * DAY_MS * 10**6


@cache
def long_after() -> Chain:
    """A block at the start; one a year later, in which validators change; and transactions from then on."""
    made = Chain(NET)
    _, second, third, fourth = validators()
    made.add()
    made.add(after_ns=YEAR_NS)
    made.add(then=(second, third, fourth, stranger("new")))
    made.add(then=(third, fourth, stranger("new"), stranger("newer")))
    made.add(then=(fourth, stranger("new"), stranger("newer"), stranger("newest")))
    made.add(made.ledger.tx("mercy", NET.create(NET.id16("late"))))
    made.add()
    return made


def resigned(signed: SignedCheckpoint, **changes: object) -> SignedCheckpoint:
    checkpoint = replace(signed.checkpoint, **changes)
    by = [
        CheckpointSignature(member, sign_checkpoint(key, checkpoint))
        for member, key in sorted(checkpoint_keys().items())
    ]
    return SignedCheckpoint(checkpoint, tuple(by))


def refused() -> list[tuple[str, SignedCheckpoint]]:
    whole = signed_checkpoint(3)
    one, two, three, four = whole.signatures
    by_stranger = sign_checkpoint(LastingSigningKey(digest(b"stranger")), whole.checkpoint)
    ordered = whole.checkpoint.members
    return [
        ("another chain", resigned(whole, chain="other")),
        ("members in another order", resigned(whole, members=ordered[::-1])),
        ("a member twice", resigned(whole, members=(*ordered, ordered[-1]))),
        ("no signature", replace(whole, signatures=())),
        ("two of four", replace(whole, signatures=(one, two))),
        ("one four times", replace(whole, signatures=(one,) * 4)),
        ("signatures in another order", replace(whole, signatures=(two, one, three, four))),
        ("a stranger's signature", replace(whole, signatures=(replace(one, signature=by_stranger), two, three, four))),
        ("a stranger", replace(whole, signatures=(one, two, three, four, replace(four, member="stranger")))),
        ("another height", replace(whole, checkpoint=replace(whole.checkpoint, height=4))),
        ("another header", replace(whole, checkpoint=replace(whole.checkpoint, header=digest(b"x")))),
    ]


@pytest.mark.parametrize(("why", "signed"), refused(), ids=[why for why, _ in refused()])
def test_check_refuses(why: str, signed: SignedCheckpoint) -> None:
    with pytest.raises(CheckpointError):
        check_checkpoint(signed, NET.chain, public_keys(), 4)


def test_a_key_needs_a_seed_of_32_bytes() -> None:
    with pytest.raises(BadKeyError):
        LastingSigningKey(bytes(31))


def test_no_byte_of_a_checkpoint_can_be_changed() -> None:
    data = encode(CheckpointFile((signed_checkpoint(3, by=3),)))
    for place in [*range(200), *range(200, len(data), 61)]:
        changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises((MalformedError, CheckpointError)):
            check_chain(decode(CheckpointFile, changed).checkpoints, NET.chain, public_keys(), 4)


def test_a_member_without_a_key_counts_among_those_who_did_not_sign() -> None:
    two = replace(signed_checkpoint(3), signatures=signed_checkpoint(3).signatures[:2])
    keys = {one.member: public_keys()[one.member] for one in two.signatures}
    with pytest.raises(CheckpointError, match="two thirds"):
        check_checkpoint(two, NET.chain, keys, 4)


def test_another_networks_genesis_trusts_none() -> None:
    with pytest.raises(CheckpointError):
        check_checkpoints((signed_checkpoint(3),), replace(OTHER.genesis, chain=NET.chain))


def test_three_of_four_are_enough() -> None:
    check_checkpoint(signed_checkpoint(3, by=3), NET.chain, public_keys(), 4)


def test_gather_keeps_one_signature_of_each_member_and_only_those_that_hold() -> None:
    checkpoint = signed_checkpoint(3).checkpoint
    keys = checkpoint_keys()
    offered = [
        CheckpointSignature("northgate", sign_checkpoint(keys["northgate"], checkpoint)),
        CheckpointSignature("mercy", sign_checkpoint(keys["mercy"], replace(checkpoint, height=4))),
        CheckpointSignature("mercy", sign_checkpoint(keys["mercy"], checkpoint)),
        CheckpointSignature("mercy", sign_checkpoint(keys["mercy"], checkpoint)),
        CheckpointSignature("stranger", sign_checkpoint(keys["mercy"], checkpoint)),
        CheckpointSignature("lakeside", sign_checkpoint(keys["mercy"], checkpoint)),
    ]
    assert [one.member for one in gather(checkpoint, offered).signatures] == ["mercy", "northgate"]
    with pytest.raises(CheckpointError, match="two thirds"):
        check_checkpoint(gather(checkpoint, offered), NET.chain, public_keys(), 4)


def test_each_checkpoint_of_a_chain_is_signed_by_the_members_that_the_one_before_names() -> None:
    later = LastingSigningKey(digest(b"later"))
    first = resigned(signed_checkpoint(3), members=(Signer("later", later.public),))
    second = replace(signed_checkpoint(5).checkpoint, members=(Signer("later", later.public),))
    by_later = SignedCheckpoint(second, (CheckpointSignature("later", sign_checkpoint(later, second)),))
    check_chain((first, by_later), NET.chain, public_keys(), 4)
    with pytest.raises(CheckpointError):
        check_chain((first, signed_checkpoint(5)), NET.chain, public_keys(), 4)
    with pytest.raises(CheckpointError):
        check_chain((by_later,), NET.chain, public_keys(), 4)
    with pytest.raises(CheckpointError, match="in order"):
        check_chain((first, first), NET.chain, public_keys(), 4)


def test_a_checkpoint_is_due_with_the_first_block_of_a_day() -> None:
    assert not is_due(DAY_MS, 2 * DAY_MS - 1)
    assert is_due(2 * DAY_MS - 1, 2 * DAY_MS)


def test_a_year_after_the_genesis_a_receipt_needs_a_checkpoint() -> None:
    of = long_after()
    receipt = replace(of.receipt(6), since=(of.at(4), of.at(5)))
    with pytest.raises(TrustExpiredError):
        check_comet_receipt(receipt, NET.genesis)
    with pytest.raises(TrustExpiredError):  # Blocks between do not lengthen it.
        check_comet_receipt(replace(receipt, since=(of.at(1), of.at(2), of.at(4), of.at(5))), NET.genesis)
    check_comet_receipt(receipt, NET.genesis, (signed_checkpoint(4, of=of),))


def test_a_receipt_may_carry_its_checkpoint() -> None:
    of = long_after()
    for height, since in ((2, (of.at(2), of.at(4), of.at(5))), (4, (of.at(4), of.at(5))), (6, ())):
        receipt = replace(of.receipt(6), since=since, checkpoints=(signed_checkpoint(height, of=of),))
        check_comet_receipt(decode(CometReceipt, encode(receipt)), NET.genesis)
    bare = replace(of.receipt(6), since=(), checkpoints=(signed_checkpoint(2, of=of),))
    with pytest.raises(TooFewTrustedError):
        check_comet_receipt(bare, NET.genesis)
    too_few = replace(bare, since=(of.at(4), of.at(5)), checkpoints=(signed_checkpoint(4, by=2, of=of),))
    with pytest.raises(CheckpointError):
        check_comet_receipt(too_few, NET.genesis)


def test_a_checkpoint_that_is_given_decides() -> None:
    receipt = made()[0]
    check_comet_receipt(receipt, NET.genesis, (signed_checkpoint(3),))
    with pytest.raises(ReceiptError, match="older"):
        check_comet_receipt(receipt, NET.genesis, (signed_checkpoint(4),))
    other = forged(chain().at(3), validators(), time=chain().at(3).header.time + 1)
    fork = resigned(signed_checkpoint(3), header=digest(b"another block"))
    with pytest.raises(ReceiptError, match="another block"):
        check_comet_receipt(receipt, NET.genesis, (fork,))
    with pytest.raises(RefusalError):
        check_comet_receipt(replace(receipt, proof=other), NET.genesis, (signed_checkpoint(3),))


def test_blocks_before_a_given_checkpoint_must_still_be_signed() -> None:
    receipt, given = made()[-1], (signed_checkpoint(8),)
    check_comet_receipt(receipt, NET.genesis, given)
    changed = replace(receipt, since=(replace(receipt.since[0], round=1), receipt.since[1]))
    with pytest.raises(RefusalError):
        check_comet_receipt(changed, NET.genesis, given)
