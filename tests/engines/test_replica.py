"""One member's copy: it adopts only what is signed and comes next, keeps all of a block or nothing, finds it again."""

from pathlib import Path

import pytest

from salus.core.errors import IntegrityError
from salus.core.ids import HOUR_MS, NO_DIGEST, MemberId
from salus.core.wire import decode, replace
from salus.crypto.digests import digest
from salus.engines.layout import NEWEST_KEY, StoredBlock, block_key
from salus.engines.ledger_copy import BrokenBlockError, NotFoundError
from salus.engines.lmdb_store import LmdbStore
from salus.engines.receipts import ReceiptError, check_receipt
from salus.engines.replica import DivergedError, Replica
from salus.machine.block import ACCEPTED, Block, header_id
from salus.machine.machine import Machine
from salus.machine.transaction import Tx, transaction_id
from tests.engines.cluster import CrashError, Trap, running
from tests.support.network import STARTED, network

NET = network(4)
MERCY = MemberId("mercy")


def replica(folder: Path, trap: Trap | None = None) -> Replica:
    return Replica(MERCY, NET.genesis, LmdbStore(folder / "own"), Machine(), faults=trap or Trap())


def create(name: str, sponsor: str = "mercy") -> bytes:
    return NET.tx(sponsor, NET.create(NET.id16(name)), valid_until=STARTED + HOUR_MS)


def following(own: Replica, *txs: bytes) -> Block:
    height, previous = own.height + 1, header_id(own.header)
    return Block(chain=NET.chain, height=height, time=own.time + 1, previous=previous, txs=txs)


def put(own: Replica, *txs: bytes) -> StoredBlock:
    """Make a block final with mercy's vote alone: what a member keeps is not asked for votes again."""
    header = own.prepare(following(own, *txs))
    return own.finalise(header, (own.vote(NET.party("mercy").validator),))


async def final_blocks(folder: Path) -> list[StoredBlock]:
    async with running(folder / "others", NET) as cluster:
        for name in "ab":
            await cluster.engine.submit(cluster.create(name))
        return list(cluster.engine.newest().blocks())


async def test_adopt_refuses_what_too_few_signed(tmp_path: Path) -> None:
    first, *_ = await final_blocks(tmp_path)
    own = replica(tmp_path)
    with pytest.raises(ReceiptError):
        own.adopt(replace(first, votes=first.votes[:2]))
    assert own.height == 0
    own.close()


async def test_adopt_refuses_a_block_out_of_turn(tmp_path: Path) -> None:
    first, second, _ = await final_blocks(tmp_path)
    own = replica(tmp_path)
    with pytest.raises(IntegrityError):
        own.adopt(second)
    own.adopt(first)
    with pytest.raises(IntegrityError):
        own.adopt(first)
    assert own.height == 1
    own.close()


async def test_adopt_refuses_a_block_that_does_not_lead_to_its_header(tmp_path: Path) -> None:
    first, second, _ = await final_blocks(tmp_path)
    own = replica(tmp_path)
    own.adopt(first)
    with pytest.raises(DivergedError):
        own.adopt(replace(second, block=replace(second.block, txs=())))
    assert own.height == 1
    own.adopt(second)
    assert own.header == second.header
    own.close()


def test_an_abandoned_block_leaves_nothing(tmp_path: Path) -> None:
    own = replica(tmp_path)
    before, root = list(own.values_and_tree.scan(b"")), own.state.root()
    own.prepare(following(own, create("a")))
    own.abandon()
    own.abandon()
    assert list(own.values_and_tree.scan(b"")) == before
    put(own, create("a"))
    assert own.state.root() != root
    own.close()


def test_a_replica_closed_within_a_block_keeps_nothing_of_it(tmp_path: Path) -> None:
    own = replica(tmp_path)
    own.prepare(following(own, create("a")))
    own.close()
    again = replica(tmp_path)
    assert again.height == 0
    again.close()


@pytest.mark.parametrize(("side", "height"), [("before", 1), ("after", 2)])
def test_a_crash_keeps_all_of_a_block_or_nothing(tmp_path: Path, side: str, height: int) -> None:
    trap = Trap()
    own = replica(tmp_path, trap)
    first = put(own, create("a"))
    trap.point = f"ledger.mercy.block:{side}"
    with pytest.raises(CrashError):
        put(own, create("b"))
    own.close()
    again = replica(tmp_path)
    assert again.height == height
    assert again.state.root() == again.header.app_hash
    assert (again.header.app_hash == first.header.app_hash) is (height == 1)
    again.close()


def test_a_damaged_or_missing_block_is_named(tmp_path: Path) -> None:
    own = replica(tmp_path)
    stored = put(own, create("a"))
    put(own, create("b"))
    with own.values_and_tree.write():
        own.values_and_tree.put(block_key(1), b"x")
        own.values_and_tree.delete(block_key(2))
    for height in (1, 2):
        with pytest.raises(BrokenBlockError):
            own.block(height)
    with pytest.raises(BrokenBlockError):
        own.receipt(stored.results[0].tx_id)
    for height in (0, 3):
        with pytest.raises(NotFoundError):
            own.block(height)
    own.close()


def test_a_folder_without_its_newest_header_is_refused(tmp_path: Path) -> None:
    own = replica(tmp_path)
    with own.values_and_tree.write():
        own.values_and_tree.delete(NEWEST_KEY)
    own.close()
    with pytest.raises(BrokenBlockError):
        replica(tmp_path)


def test_a_transaction_that_is_in_no_block_has_no_receipt(tmp_path: Path) -> None:
    own = replica(tmp_path)
    put(own, b"not a transaction")
    for tx_id in (digest(b"x"), NO_DIGEST):
        assert own.inclusion(tx_id) is None
        with pytest.raises(NotFoundError):
            own.receipt(tx_id)
    own.close()


def test_a_replay_does_not_hide_the_acceptance_and_an_acceptance_hides_a_refusal(tmp_path: Path) -> None:
    own = replica(tmp_path)
    tx = create("a")
    stored = put(own, tx, tx)
    put(own, tx)
    assert [result.code for result in stored.results] == [ACCEPTED, "cells.exists"]
    receipt = own.receipt(stored.results[0].tx_id)
    assert (receipt.result.code, receipt.header.height) == (ACCEPTED, 1)
    late = NET.tx("mercy", NET.create(NET.id16("z")), valid_until=own.time + HOUR_MS + 2)
    tx_id = put(own, late).results[0].tx_id
    assert own.inclusion(tx_id).code == "machine.too_far_ahead"  # type: ignore[union-attr]
    put(own)
    put(own, late)
    assert own.inclusion(tx_id).code == ACCEPTED  # type: ignore[union-attr]
    own.close()


async def test_the_receipt_of_an_adopted_block_is_the_others(tmp_path: Path) -> None:
    blocks = await final_blocks(tmp_path)
    own = replica(tmp_path)
    for stored in blocks:
        own.adopt(stored)
    tx = blocks[1].block.txs[0]
    receipt = own.receipt(blocks[1].results[0].tx_id)
    assert receipt.result.tx_id == transaction_id(decode(Tx, receipt.tx).body)
    assert receipt.tx == tx
    check_receipt(receipt, NET.genesis)
    own.close()
