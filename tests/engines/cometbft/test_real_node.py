"""CometBFT itself as the judge: what a real node with its built-in kvstore signs must verify here, byte for byte."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from salus.core.ids import SECOND_MS
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.merkle import root, root_from_path
from salus.engines.cometbft.blocks import Header, LightBlock, header_hash, result_leaf, transactions_root
from salus.engines.cometbft.client import update
from salus.engines.cometbft.collect import (
    NoProofError,
    TxResult,
    light_block,
    proof_block,
    results,
    source,
    transactions,
)
from salus.engines.cometbft.headers import number, unbase64, unhex
from salus.engines.cometbft.light import (
    MS_NS,
    LightBlockError,
    Policy,
    check_votes,
    trusted,
    verify,
    verify_back_to,
    verify_backwards,
)
from salus.engines.cometbft.rpc import EngineSaidError
from salus.engines.receipts import path_of
from tests.engines.cometbft.node import make_home, running
from tests.engines.cometbft.real import needs_engine

pytestmark = needs_engine

HOUR = Policy(period_ns=3600 * SECOND_MS * MS_NS)
TXS = tuple(b"key%d=value" % number for number in range(40))


@dataclass(frozen=True)
class Seen:
    """What the node told, once: all blocks by height, with their transactions, results and CometBFT's own proofs."""

    blocks: Mapping[int, LightBlock]
    full: Mapping[int, tuple[Header, tuple[bytes, ...], tuple[TxResult, ...]]]
    proofs: tuple[dict[str, Any], ...]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(asked(tmp_path_factory.mktemp("node")))


async def asked(folder: Path) -> Seen:
    make_home(folder, indexer="kv")
    async with running(folder, "kvstore") as rpc:
        await asyncio.gather(*(rpc.call("broadcast_tx_async", tx=b64encode(tx).decode()) for tx in TXS[:-1]))
        last = await rpc.call("broadcast_tx_commit", tx=b64encode(TXS[-1]).decode())
        assert isinstance(last, dict)
        newest = await proof_block(rpc, number(last["height"]))
        with pytest.raises(NoProofError):
            await proof_block(rpc, newest.header.height + 5, wait_s=0.2)
        with pytest.raises(EngineSaidError):
            await light_block(rpc, newest.header.height + 100)
        behind = await source(rpc)(newest.header.height + 100)
        assert behind.header.height >= newest.header.height
        found = await update(
            await light_block(rpc, 1), behind.header.height, source(rpc), {"w": source(rpc)}, HOUR, time.time_ns()
        )
        assert found.is_believed
        heights = range(1, newest.header.height + 1)
        blocks = {height: await light_block(rpc, height) for height in heights}
        full = {height: (*await transactions(rpc, height), await results(rpc, height)) for height in heights}
        hashes = [b64encode(digest(tx)).decode() for tx in TXS]
        proofs = [await rpc.call("tx", hash=one, prove=True) for one in hashes]
    return Seen(blocks, full, tuple(one for one in proofs if isinstance(one, dict)))


def in_order(seen: Seen) -> list[LightBlock]:
    return [seen.blocks[height] for height in sorted(seen.blocks)]


def test_every_block_of_a_real_node_verifies_from_its_first(seen: Seen) -> None:
    first, *later = in_order(seen)
    check_votes(first)
    for block in later:
        verify(trusted(first), block, HOUR, block.header.time)
    for before, after in zip(in_order(seen), later, strict=False):
        verify(trusted(before), after, HOUR, after.header.time)
        verify_backwards(after.header, before.header)
        assert after.header.previous.header == header_hash(before.header)
    newest, *older = [block.header for block in reversed(in_order(seen))]
    verify_back_to(newest, older)


def test_a_real_nodes_transactions_and_results_are_under_its_headers(seen: Seen) -> None:
    assert sorted(tx for _, txs, _ in seen.full.values() for tx in txs) == sorted(TXS)
    for height, (header, txs, answers) in seen.full.items():
        assert header == seen.blocks[height].header
        assert transactions_root(txs) == header.data
        if height + 1 in seen.blocks:
            leaves = [leaf_of(one) for one in answers]
            assert root(leaves) == seen.blocks[height + 1].header.last_results


def test_our_paths_are_the_proofs_that_a_real_node_gives(seen: Seen) -> None:
    assert len(seen.proofs) == len(TXS)
    assert max(number(shown["proof"]["proof"]["total"]) for shown in seen.proofs) > 2
    for shown in seen.proofs:
        header, txs, _ = seen.full[number(shown["height"])]
        proof = shown["proof"]["proof"]
        index, total = number(proof["index"]), number(proof["total"])
        aunts = tuple(unbase64(aunt) for aunt in proof["aunts"] or ())
        hashes = [digest(tx) for tx in txs]
        assert unhex(shown["proof"]["root_hash"]) == header.data
        assert path_of(hashes, index)[1] == aunts
        assert root_from_path(digest(unbase64(shown["tx"])), index, total, aunts) == header.data


def leaf_of(result: TxResult) -> bytes:
    gas = {"gas_wanted": number(result.gas_wanted), "gas_used": number(result.gas_used)}
    return result_leaf(result.code, unbase64(result.data), **gas)


@pytest.mark.parametrize("name", Header.__struct_fields__)
def test_no_field_of_a_real_header_can_be_changed(seen: Seen, name: str) -> None:
    first, block = in_order(seen)[0], in_order(seen)[-1]
    changed = replace(block, header=replace(block.header, **{name: other(getattr(block.header, name))}))
    with pytest.raises(LightBlockError):
        verify(trusted(first), changed, HOUR, block.header.time)
    before = in_order(seen)[-2]
    older = replace(before.header, **{name: other(getattr(before.header, name))})
    with pytest.raises(LightBlockError):
        verify_backwards(block.header, older)


@pytest.mark.parametrize("name", ["round", "parts", "parts_root", "votes", "validators"])
def test_no_part_of_a_real_commit_can_be_changed(seen: Seen, name: str) -> None:
    block = in_order(seen)[-1]
    for changed in others(getattr(block, name)):
        with pytest.raises(LightBlockError):
            check_votes(replace(block, **{name: changed}))


def other(value: object) -> object:
    """Another value of the same type."""
    return next(iter(others(value)))


def others(value: object) -> list[object]:
    """Some other values of the same type; of a struct, one for each of its fields."""
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, str):
        return [value + "x"]
    if isinstance(value, bytes):
        return [bytes((value[0] ^ 1,)) + value[1:] if value else bytes(32)]
    if isinstance(value, tuple):
        changed = [(new, *value[1:]) for new in others(value[0])] if value else []
        return [*changed, value + value, ()]
    fields = value.__struct_fields__  # type: ignore[attr-defined]
    return [replace(value, **{name: new}) for name in fields for new in others(getattr(value, name))]
