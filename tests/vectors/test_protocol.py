"""The bytes in `headers.json` and `answers.json` are still what the code makes, and lead where they say they lead."""

import json
from hashlib import sha256
from typing import Any

from salus.contracts.records.header import Header, leaf
from salus.core.wire import decode
from salus.crypto.merkle import root_of_many
from salus.crypto.signatures import verify
from salus.keeper.answers import padded, unpadded
from salus.keeper.messages import Answer, AnswerHead, Item, head_statement
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
