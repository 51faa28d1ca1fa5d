"""Receipts: every byte counts, and nothing but the genesis is needed to know."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.core.errors import MalformedError, SalusError
from salus.core.wire import decode, encode, replace
from salus.crypto import merkle
from salus.engines import receipts
from salus.engines.receipts import Receipt, ReceiptChecker, ReceiptError, Vote, check_receipt, path_of
from salus.machine.block import ACCEPTED
from tests.engines.receipt_cases import JOINED, NET, OTHER, cases, deciding, handed_cases, handed_over, made
from tests.vectors.generate_receipts import FILE, vectors

RECEIPTS = made()
DATA = encode(RECEIPTS[0])


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was verified so far, in order."""
    messages: list[bytes] = []
    real = receipts.verify

    def counted(key: bytes, message: bytes, signature: bytes) -> bool:
        messages.append(message)
        return real(key, message, signature)

    monkeypatch.setattr(receipts, "verify", counted)
    return messages


@pytest.mark.parametrize(("why", "receipt"), cases(), ids=[why for why, _ in cases()])
def test_check_refuses(why: str, receipt: Receipt) -> None:
    with pytest.raises(ReceiptError):
        check_receipt(decode(Receipt, encode(receipt)), NET.genesis)


@pytest.mark.parametrize(("why", "receipt"), handed_cases(), ids=[why for why, _ in handed_cases()])
def test_check_refuses_after_a_handover(why: str, receipt: Receipt) -> None:
    with pytest.raises(ReceiptError):
        check_receipt(decode(Receipt, encode(receipt)), NET.genesis)


def test_check_refuses_under_the_genesis_of_another_network() -> None:
    with pytest.raises(ReceiptError, match="signature"):
        check_receipt(RECEIPTS[0], OTHER.genesis)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_no_byte_of_a_receipt_can_be_changed(place: int, mask: int) -> None:
    changed = bytearray(DATA)
    changed[place] ^= mask
    with pytest.raises((MalformedError, ReceiptError)):
        check_receipt(decode(Receipt, bytes(changed)), NET.genesis)


@pytest.mark.parametrize("mask", [1, 0x80])
def test_no_byte_of_any_receipt_can_be_changed_in_its_lowest_or_highest_bit(mask: int) -> None:
    for receipt in (*RECEIPTS, handed_over()):
        data = encode(receipt)
        for place in range(len(data)):
            changed = data[:place] + bytes((data[place] ^ mask,)) + data[place + 1 :]
            with pytest.raises((MalformedError, ReceiptError)):
                check_receipt(decode(Receipt, changed), NET.genesis)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_receipt(data: bytes) -> None:
    with pytest.raises(SalusError):
        check_receipt(decode(Receipt, data), NET.genesis)


def test_a_receipt_of_each_place_in_its_block_is_accepted() -> None:
    assert {receipt.result.code for receipt in RECEIPTS} == {ACCEPTED, "cells.exists"}
    for receipt in RECEIPTS:
        body = check_receipt(decode(Receipt, encode(receipt)), NET.genesis)
        assert body.chain == NET.chain


def test_a_receipt_is_proven_by_the_genesis_after_every_validator_set_that_followed() -> None:
    receipt = decode(Receipt, encode(handed_over()))
    assert check_receipt(receipt, NET.genesis).chain == NET.chain
    assert [handover.header.height for handover in receipt.handovers] == [3, 7]
    assert JOINED in {vote.validator for vote in receipt.votes}


def test_a_handover_costs_a_receipt_nothing_where_there_was_none() -> None:
    assert [len(receipt.handovers) for receipt in RECEIPTS] == [0] * len(RECEIPTS)
    assert len(DATA) < 1_100


def test_the_receipt_of_the_deciding_vote_is_signed_by_those_before_it() -> None:
    """The block that changes the validators is signed by the old ones; it needs no handover itself."""
    first = handed_over().handovers[0]
    check_receipt(deciding(), NET.genesis)
    assert deciding().header == first.header


def test_a_checker_follows_handovers_once(verified: list[bytes]) -> None:
    checker = ReceiptChecker(NET.genesis)
    for _ in range(3):
        checker.check(handed_over())
    assert len(verified) == 4 + 5 + 5


def test_three_of_four_votes_are_enough() -> None:
    check_receipt(replace(RECEIPTS[0], votes=RECEIPTS[0].votes[1:]), NET.genesis)


def test_a_checker_verifies_a_header_once_and_other_votes_again(verified: list[bytes]) -> None:
    checker = ReceiptChecker(NET.genesis)
    one_block = [receipt for receipt in RECEIPTS if receipt.header == RECEIPTS[0].header]
    assert len(one_block) > 1
    for receipt in one_block:
        checker.check(receipt)
    assert len(verified) == 4
    bad = replace(one_block[0], votes=(Vote(one_block[0].votes[0].validator, bytes(64)), *one_block[0].votes[1:]))
    for _ in range(2):
        with pytest.raises(ReceiptError):
            checker.check(bad)
    checker.check(one_block[0])


@given(st.integers(1, 40), st.data())
def test_paths_are_those_of_rfc_6962(total: int, data: st.DataObject) -> None:
    leaves = [bytes((number,)) for number in range(total)]
    index = data.draw(st.integers(0, total - 1))
    turns, siblings = path_of(leaves, index)
    assert turns < 1 << len(siblings)
    node = merkle.leaf_digest(leaves[index])
    for height, sibling in enumerate(siblings):
        pair = (sibling, node) if turns >> height & 1 else (node, sibling)
        node = merkle.inner_digest(*pair)
    assert node == merkle.root(leaves) == merkle.root_from_path(leaves[index], index, total, siblings)


def test_the_vectors_are_what_the_generator_writes() -> None:
    assert json.loads(Path(FILE).read_text()) == vectors()
