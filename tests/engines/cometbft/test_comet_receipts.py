"""Receipts of the CometBFT engine: every byte counts, and nothing but the genesis is needed to know."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.contracts.members.messages import Genesis
from salus.core.errors import MalformedError, RefusalError, SalusError
from salus.core.wire import decode, encode, replace
from salus.engines.cometbft import light
from salus.engines.cometbft.receipts import CometReceipt, CometReceiptChecker, check_comet_receipt, signers
from salus.machine.block import ACCEPTED
from tests.engines.cometbft.chain import signed
from tests.engines.cometbft.receipt_cases import NET, OTHER, cases, made, validators, with_entries
from tests.vectors.generate_comet_receipts import FILE, vectors

RECEIPTS = made()
DATA = encode(RECEIPTS[0])


@pytest.mark.parametrize(("why", "receipt"), cases(), ids=[why for why, _ in cases()])
def test_check_refuses(why: str, receipt: CometReceipt) -> None:
    with pytest.raises(RefusalError):
        check_comet_receipt(receipt, NET.genesis)


def test_check_refuses_under_the_genesis_of_another_network() -> None:
    with pytest.raises(RefusalError):
        check_comet_receipt(RECEIPTS[0], OTHER.genesis)


@given(st.data(), st.integers(1, 255))
def test_no_byte_of_a_receipt_can_be_changed(data: st.DataObject, mask: int) -> None:
    whole = encode(data.draw(st.sampled_from(RECEIPTS)))
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= mask
    with pytest.raises((MalformedError, RefusalError)):
        check_comet_receipt(decode(CometReceipt, bytes(changed)), NET.genesis)


@pytest.mark.parametrize("mask", [1, 0x80])
@pytest.mark.parametrize("number", [0, 4, 5, 6])
def test_no_byte_of_any_receipt_can_be_changed_in_its_lowest_or_highest_bit(number: int, mask: int) -> None:
    data = encode(RECEIPTS[number])
    for place in range(len(data)):
        changed = data[:place] + bytes((data[place] ^ mask,)) + data[place + 1 :]
        with pytest.raises((MalformedError, RefusalError)):
            check_comet_receipt(decode(CometReceipt, changed), NET.genesis)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_receipt(data: bytes) -> None:
    with pytest.raises(SalusError):
        check_comet_receipt(decode(CometReceipt, data), NET.genesis)


def test_a_receipt_of_each_place_in_its_block_is_accepted() -> None:
    assert {receipt.code for receipt in RECEIPTS} == {ACCEPTED, "cells.exists"}
    for receipt in RECEIPTS:
        body = check_comet_receipt(decode(CometReceipt, encode(receipt)), NET.genesis)
        assert body.chain == NET.chain


def test_a_receipt_proves_what_the_state_holds_and_what_it_does_not() -> None:
    receipt = with_entries("d", "nowhere")
    assert [entry.value is None for entry in receipt.entries] == [False, True]
    check_comet_receipt(decode(CometReceipt, encode(receipt)), NET.genesis)


def test_three_of_four_votes_are_enough() -> None:
    proof = signed(RECEIPTS[0].proof, validators()[1:])
    check_comet_receipt(replace(RECEIPTS[0], proof=proof), NET.genesis)


def test_signers_are_named_and_later_validators_shown_by_address() -> None:
    assert set(signers(RECEIPTS[0], NET.genesis)) == {party.member for party in NET.parties}
    later = signers(RECEIPTS[-1], NET.genesis)
    assert "northgate" in later
    assert sum(len(name) == 40 for name in later) == 3


def test_a_checker_verifies_a_proof_once_and_other_votes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[bytes] = []
    real = light.is_signed

    def counted(key: bytes, message: bytes, signature: bytes) -> bool:
        verified.append(message)
        return real(key, message, signature)

    monkeypatch.setattr(light, "is_signed", counted)
    checker = CometReceiptChecker(NET.genesis)
    for receipt in RECEIPTS[:5]:
        checker.check(receipt)
    assert len(verified) == 4
    bad = replace(RECEIPTS[0].proof.votes[0], signature=bytes(64))
    proof = replace(RECEIPTS[0].proof, votes=(bad, *RECEIPTS[0].proof.votes[1:]))
    for _ in range(2):
        with pytest.raises(RefusalError):
            checker.check(replace(RECEIPTS[0], proof=proof))
    checker.check(RECEIPTS[0])


def test_the_vectors_are_what_the_generator_writes() -> None:
    assert json.loads(FILE.read_text()) == vectors()


def test_the_vectors_give_their_verdicts_from_their_bytes_alone() -> None:
    shown = json.loads(FILE.read_text())
    genesis, other = (decode(Genesis, bytes.fromhex(shown[name])) for name in ("genesis", "other_genesis"))
    for one in shown["valid"]:
        receipt = decode(CometReceipt, bytes.fromhex(one["bytes"]))
        check_comet_receipt(receipt, genesis)
        with pytest.raises(RefusalError):
            check_comet_receipt(receipt, other)
    for one in shown["refused"]:
        with pytest.raises(RefusalError, match=one["code"]):
            check_comet_receipt(decode(CometReceipt, bytes.fromhex(one["bytes"])), genesis)
    for one in shown["malformed"]:
        with pytest.raises(MalformedError):
            decode(CometReceipt, bytes.fromhex(one["bytes"]))
