"""The bytes in `messages.json` are still what the code makes and takes; another implementation can use them alone."""

import json
from typing import Any

import pytest

from salus.contracts.members.messages import Change, Genesis
from salus.contracts.members.reads import proposals
from salus.core.errors import MalformedError
from salus.core.wire import decode, encode
from salus.crypto.merkle import root
from salus.machine import routes
from salus.machine.admission import read
from salus.machine.block import Block, header_id, header_of
from salus.machine.machine import Machine
from salus.state.key_value import MemoryStore
from salus.state.state import State
from tests.vectors.generate_messages import CANCELLED, FILE, LEAVING, MANY, OPEN, governing, vectors

KEPT: dict[str, Any] = json.loads(FILE.read_text())


def test_the_code_still_makes_the_bytes_that_were_kept() -> None:
    assert vectors() == KEPT


def test_every_kind_of_message_is_among_them_and_reads_back() -> None:
    shapes = {kind.__struct_config__.tag: kind for kind in routes.ROUTES}
    read_back = [decode(shapes[vector["tag"]], bytes.fromhex(vector["bytes"])) for vector in KEPT["messages"]]
    assert {type(message) for message in read_back} == set(routes.ROUTES)
    assert [encode(message).hex() for message in read_back] == [vector["bytes"] for vector in KEPT["messages"]]


@pytest.mark.parametrize("vector", KEPT["transactions"], ids=lambda vector: vector["tx_id"][:8])
def test_a_transaction_is_named_by_its_body(vector: dict[str, str]) -> None:
    submitted = read(bytes.fromhex(vector["bytes"]))
    assert submitted.tx_id.hex() == vector["tx_id"]
    assert submitted.tx.body.hex() == vector["body"]


@pytest.mark.parametrize("vector", KEPT["not_transactions"], ids=lambda vector: vector["why"])
def test_what_is_no_transaction_is_malformed(vector: dict[str, str]) -> None:
    with pytest.raises(MalformedError):
        read(bytes.fromhex(vector["bytes"]))


def test_the_history_leads_to_the_roots_that_were_kept() -> None:
    store, machine = MemoryStore(), Machine()
    genesis = decode(Genesis, bytes.fromhex(KEPT["genesis"]["bytes"]))
    assert machine.genesis(State(store), genesis).hex() == KEPT["genesis"]["app_hash"]
    for vector in KEPT["blocks"]:
        block = decode(Block, bytes.fromhex(vector["bytes"]))
        applied = machine.apply(State(store), block)
        assert [{"tx_id": r.tx_id.hex(), "code": r.code} for r in applied.results] == vector["results"]
        assert root([bytes.fromhex(leaf) for leaf in vector["outcome_leaves"]]).hex() == vector["outcome_root"]
        assert applied.app_hash.hex() == vector["app_hash"]
        assert header_id(header_of(block, applied)).hex() == vector["header_id"]


def test_the_history_shows_every_kind_of_change_executed() -> None:
    shown = {
        type(change) for block in governing() for message, *_ in block for change in getattr(message, "changes", ())
    }
    assert shown == set(Change.__args__)
    store, machine = MemoryStore(), Machine()
    machine.genesis(State(store), decode(Genesis, bytes.fromhex(KEPT["genesis"]["bytes"])))
    for vector in KEPT["blocks"]:
        machine.apply(State(store), decode(Block, bytes.fromhex(vector["bytes"])))
    found = {id: proposal.standing.value for id, proposal in proposals(State(store))}
    assert found == {MANY: "executed", LEAVING: "executed", CANCELLED: "cancelled", OPEN: "open"}


def test_the_history_shows_acceptance_refusal_and_an_empty_block() -> None:
    codes = [result["code"] for vector in KEPT["blocks"] for result in vector["results"]]
    refused = {"records.already_withdrawn", "records.batch_not_found", "cells.not_owner", "members.suspended"}
    assert {"ok", *refused} == set(codes)
    assert KEPT["blocks"][2]["results"] == []
    assert KEPT["blocks"][2]["app_hash"] == KEPT["blocks"][1]["app_hash"]
