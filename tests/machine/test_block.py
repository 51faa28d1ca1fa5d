"""Blocks: what a header binds, and that an outcome proves both bytes and result."""

import pytest

from salus.core.wire import replace
from salus.crypto import merkle
from salus.crypto.digests import digest
from salus.machine.block import Result, header_id, header_of, outcome_leaf, outcome_root, validators_digest
from tests.support.network import Ledger, founded, network

NET = network(4)


def test_an_outcome_proves_a_transactions_bytes_and_its_result() -> None:
    ledger = Ledger(NET)
    txs = [ledger.tx("mercy", NET.create(NET.id16("cell", i % 2))) for i in range(3)]
    applied = ledger.block(*txs)
    leaves = [outcome_leaf(tx, result) for tx, result in zip(txs, applied.results, strict=True)]
    for index, leaf in enumerate(leaves):
        path = merkle.path(leaves, index)
        assert merkle.root_from_path(leaf, index, 3, path) == applied.outcome_root
    lied = outcome_leaf(txs[2], replace(applied.results[2], code="ok"))
    assert applied.results[2].code == "cells.exists"
    assert merkle.root_from_path(lied, 2, 3, merkle.path(leaves, 2)) != applied.outcome_root


def test_results_and_transactions_are_as_many() -> None:
    with pytest.raises(ValueError):
        outcome_root([Result(tx_id=digest(b"x"), code="ok")], [])


def test_a_header_is_named_by_every_one_of_its_fields() -> None:
    ledger = Ledger(NET)
    applied = ledger.block(ledger.tx("mercy", NET.create(NET.id16("cell"))))
    header = header_of(ledger.blocks[0], applied)
    others = [
        replace(header, chain="other"),
        replace(header, height=9),
        replace(header, time=9),
        replace(header, previous=digest(b"x")),
        replace(header, outcome_root=digest(b"x")),
        replace(header, app_hash=digest(b"x")),
        replace(header, validators=digest(b"x")),
    ]
    assert len({header_id(header), *map(header_id, others)}) == 8


def test_the_validators_digest_follows_who_validates() -> None:
    assert validators_digest(founded(NET)) == validators_digest(founded(network(4)))
    assert validators_digest(founded(NET)) != validators_digest(founded(network(3)))
    assert validators_digest(founded(NET)) != validators_digest(founded(network(4, seed=b"other")))
