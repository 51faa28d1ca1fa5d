"""Receipts collected from a running engine: from a real one, and where validators change from a chain in its JSON."""

import asyncio
import dataclasses
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from salus.contracts.cells.tables import CELLS
from salus.core.errors import SalusError, UnavailableError
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import digest
from salus.engines.cometbft import collect
from salus.engines.cometbft.checkpoints import CheckpointError
from salus.engines.cometbft.collect import NoProofError, NoSuchTransactionError, light_block, source
from salus.engines.cometbft.headers import UnreadableBlockError
from salus.engines.cometbft.light import TrustExpiredError
from salus.engines.cometbft.receipts import CometReceipt, StateEntry, check_comet_receipt, signers
from salus.engines.receipts import ReceiptError
from salus.machine.block import ACCEPTED
from tests.engines.cometbft.chain import Chain
from tests.engines.cometbft.chain_rpc import ChainRpc
from tests.engines.cometbft.real import clock, needs_engine, running
from tests.engines.cometbft.receipt_cases import NET, OTHER, chain, made, signed_checkpoint
from tests.engines.cometbft.test_checkpoints import long_after
from tests.support.network import network


@needs_engine
async def test_receipts_of_a_real_network_hold_and_no_byte_of_them_can_be_changed(tmp_path: Path) -> None:
    net = network(4)
    net = dataclasses.replace(net, genesis=replace(net.genesis, time=clock()))  # The engine's blocks bear today's date.
    async with running(tmp_path, net=net, heartbeat_s=1.0) as four:
        rpc = four["lakeside"].rpc
        twice = [four.tx("mercy", net.create(net.id16("b")), valid_ms=ms) for ms in (60_000, 90_000)]
        txs = [four.create("a"), *twice]
        final = [await four["mercy"].engine.submit(txs[0])]
        final += await asyncio.gather(*map(four["mercy"].engine.submit, twice))
        state = four["mercy"].replica.state
        keys = [CELLS.key_bytes(net.id16(name)) for name in "ab"]
        entries = tuple(StateEntry(key, state.get(key), state.prove(key)) for key in keys)
        receipts = [
            await collect.collect(rpc, net.genesis, one.height, digest(tx), entries=entries if number else ())
            for number, (one, tx) in enumerate(zip(final, txs, strict=True))
        ]
    assert sorted(receipt.code for receipt in receipts) == ["cells.exists", ACCEPTED, ACCEPTED]
    for receipt in receipts:
        data = encode(receipt)
        check_comet_receipt(decode(CometReceipt, data), net.genesis)
        assert len(signers(receipt, net.genesis)) >= 3
        with pytest.raises(SalusError):
            check_comet_receipt(receipt, OTHER.genesis)
        for place in range(len(data)):
            changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
            with pytest.raises(SalusError):
                check_comet_receipt(decode(CometReceipt, changed), net.genesis)


async def collected(rpc: ChainRpc, height: int, index: int = 0, **options: object) -> CometReceipt:
    tx = digest(rpc.chain.txs[height - 1][index])
    return await collect.collect(rpc, NET.genesis, height, tx, wait_s=0.2, **options)  # type: ignore[arg-type]


async def test_a_receipt_waits_for_the_next_block_and_no_longer_than_it_is_told() -> None:
    rpc = ChainRpc(chain(), height=2)
    with pytest.raises(NoProofError):
        await collected(rpc, 2)
    waiting = asyncio.create_task(collect.collect(rpc, NET.genesis, 2, digest(chain().txs[1][0]), wait_s=20))
    await asyncio.sleep(0.1)
    rpc.height = 3
    assert await waiting == made()[0]


async def test_a_transaction_that_is_not_in_the_block_has_no_receipt() -> None:
    with pytest.raises(NoSuchTransactionError):
        await collect.collect(ChainRpc(chain()), NET.genesis, 2, digest(b"nothing"), wait_s=0.2)


@pytest.mark.parametrize("first", [3, 4, 5])
async def test_a_block_that_the_node_has_dropped_has_no_receipt_and_nobody_waits_for_it(first: int) -> None:
    class Pruned(ChainRpc):
        async def call(self, method: str, **parameters: object) -> Any:
            if int(str(parameters.get("height", first))) < first:
                raise UnavailableError
            answer = await super().call(method, **parameters)
            if method == "status":
                answer["sync_info"]["earliest_block_height"] = str(first)
            return answer

    with pytest.raises(NoSuchTransactionError):
        await asyncio.wait_for(collect.collect(Pruned(chain()), NET.genesis, 2, digest(chain().txs[1][0])), 5.0)


async def test_each_transaction_of_a_block_has_its_receipt() -> None:
    rpc = ChainRpc(chain())
    assert tuple([await collected(rpc, 2, index) for index in range(4)]) == made()[:4]
    assert rpc.chain.txs[1][4] == rpc.chain.txs[1][2]
    assert await collected(rpc, 2, 4) == made()[2]  # Of bytes that stand there twice, the first.


async def test_where_validators_have_changed_the_receipt_carries_the_way() -> None:
    receipt = await collected(ChainRpc(chain()), 8)
    assert receipt.since
    check_comet_receipt(decode(CometReceipt, encode(receipt)), NET.genesis)
    with pytest.raises(SalusError):
        check_comet_receipt(replace(receipt, since=()), NET.genesis)


async def test_a_year_after_the_genesis_a_receipt_is_collected_from_a_checkpoint() -> None:
    rpc = ChainRpc(long_after())
    with pytest.raises(TrustExpiredError):
        await collected(rpc, 6)
    for height in (2, 4, 6, 7):
        receipt = await collected(rpc, 6, checkpoints=(signed_checkpoint(height, of=long_after()),))
        check_comet_receipt(decode(CometReceipt, encode(receipt)), NET.genesis)
    with pytest.raises(CheckpointError):
        await collected(rpc, 6, checkpoints=(signed_checkpoint(4, by=2, of=long_after()),))


async def test_validators_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "PAGE", 3)
    rpc = ChainRpc(chain())
    assert await light_block(rpc, 2) == chain().at(2)
    assert rpc.asked.count(("validators", 2)) == 2


async def test_votes_that_do_not_hold_are_left_out() -> None:
    spoilt = Chain(NET)
    spoilt.add()
    block = spoilt.add()
    one, *rest = block.votes
    spoilt.blocks[1] = replace(block, votes=(replace(one, signature=bytes(64)), *rest))
    assert (await light_block(ChainRpc(spoilt), 2)).votes == tuple(rest)


async def test_a_node_that_answers_for_another_height_is_not_believed() -> None:
    class Other(ChainRpc):
        async def call(self, method: str, **parameters: object) -> Any:
            return await super().call(method, **{**parameters, "height": "3"})

    with pytest.raises(UnreadableBlockError):
        await light_block(Other(chain()), 2)


async def test_a_node_that_shows_another_result_gives_no_receipt() -> None:
    class Lying(ChainRpc):
        async def call(self, method: str, **parameters: object) -> Any:
            answer = await super().call(method, **parameters)
            if method == "block_results":
                answer["txs_results"][2]["data"] = b64encode(b"ok").decode()
            return answer

    with pytest.raises(ReceiptError):
        await collected(Lying(chain()), 2, 2)


async def test_a_node_that_is_behind_tells_of_its_newest_block() -> None:
    fetch = source(ChainRpc(chain(), height=3))
    assert (await fetch(2)).header.height == 2
    assert (await fetch(7)).header.height == 3
    with pytest.raises(UnavailableError):
        await fetch(0)
