"""The bytes in the protocol's vectors are still what the code makes, and lead where they say they lead."""

import json
from hashlib import sha256
from typing import Any

from salus.contracts.reads.opening import RepairOpening, repair_commitment, repair_to_sign
from salus.contracts.records.header import Header, leaf
from salus.core.wire import decode
from salus.crypto.merkle import root_of_many
from salus.crypto.signatures import verify
from salus.keeper.answers import padded, unpadded
from salus.keeper.messages import (
    Answer,
    AnswerHead,
    Item,
    RepairHead,
    RepairShares,
    head_statement,
    repair_shares_statement,
    repair_statement,
)
from salus.keeper.repairs import lay_out_repair
from tests.vectors.generate_protocol import FOLDER, written


def kept(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def test_the_code_still_makes_the_bytes_that_were_kept() -> None:
    for name, text in written().items():
        assert (FOLDER / name).read_text() == text, name


def test_every_header_reads_back_and_leads_to_its_leaf() -> None:
    for case in kept("headers.json")["headers"]:
        data = bytes.fromhex(case["header"])
        header = decode(Header, data)
        assert (header.record.index, header.key_com.hex()) == (case["index"], case["key_com"])
        assert leaf(bytes.fromhex(case["salt"]), data).hex() == case["leaf"]
        assert list(header.terms) == sorted(header.terms)


def test_the_answer_leads_to_the_roots_on_the_ledger_and_its_head_is_signed() -> None:
    case = kept("answers.json")
    answer = decode(Answer, bytes.fromhex(case["answer"]))
    head = decode(AnswerHead, bytes.fromhex(case["head"]))
    assert answer.head == head
    assert verify(bytes.fromhex(case["keeper_key"]), head_statement(head), answer.signature)
    items = [decode(Item, item) for item in answer.items]
    leaves = {decode(Header, item.header).record.index: leaf(item.salt, item.header) for item in items}
    assert root_of_many(leaves, answer.proofs[0].leaf_proof).hex() == case["batch_root"]
    for item in items:
        assert sha256(item.share).digest() == item.share_hashes[32:64]
    whole = padded(bytes.fromhex(case["answer"]))
    assert (len(whole), sha256(whole).hexdigest()) == (case["padded_size"], case["padded_sha256"])
    assert unpadded(whole).hex() == case["answer"]


def test_what_a_successor_deals_leads_to_the_batchs_root_and_all_of_it_is_signed() -> None:
    case = kept("repairs.json")
    opening = decode(RepairOpening, bytes.fromhex(case["opening"]))
    assert (repair_commitment(opening).hex(), repair_to_sign(opening).hex()) == (case["commitment"], case["to_sign"])
    sent = decode(RepairShares, bytes.fromhex(case["shares"]))
    assert sent.root.hex() == kept("answers.json")["batch_root"]
    (held,) = lay_out_repair(sent, 5)
    assert held.indices == (3, 511, 1023)
    (witness,) = sent.witnesses
    assert witness.head == decode(RepairHead, bytes.fromhex(case["head"]))
    assert witness.head.indices == bytes.fromhex("000301ff03ff")
    assert verify(bytes.fromhex(case["keeper_key"]), repair_statement(witness.head), witness.signature)
    statement, signature = (
        repair_shares_statement(bytes.fromhex(case["shares"])),
        bytes.fromhex(case["shares_signature"]),
    )
    assert statement.hex() == case["shares_statement"]
    assert verify(bytes.fromhex(case["successor_key"]), statement, signature)
