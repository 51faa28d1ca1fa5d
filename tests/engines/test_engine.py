"""What every engine promises, asked of both: `embedded` in one process, `cometbft` with a real CometBFT.

What one of them alone does is told elsewhere: `test_embedded.py`, `cometbft/test_chain.py`. Whether a refusal enters a
block is one such thing: beside CometBFT a member refuses at its door what its state does not allow.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from salus.core.errors import MalformedError, UnavailableError
from salus.core.ids import HOUR_MS, MINUTE_MS
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import digest
from salus.engines.engine import Engine
from salus.machine.block import ACCEPTED
from salus.machine.errors import TooLargeError
from salus.machine.transaction import Tx
from tests.engines.cometbft.real import needs_engine
from tests.engines.standing import COMETBFT, EMBEDDED, Standing, checked, create, standing

KINDS = [EMBEDDED, pytest.param(COMETBFT, marks=needs_engine)]
pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
async def on(kind: str, tmp_path: Path) -> AsyncIterator[Standing]:
    async with standing(kind, tmp_path) as made:
        yield made


async def ordered(on: Standing, *names: str) -> list[int]:
    """Heights of transactions, each submitted once the one before was final."""
    said = [await on.engine.submit(create(on, name)) for name in names]
    assert {one.code for one in said} == {ACCEPTED}
    return [one.height for one in said]


def all_txs(on: Standing) -> list[bytes]:
    return [tx for stored in on.ledger.blocks() for tx in stored.block.txs]


# What is refused.


async def test_bytes_that_are_no_transaction_or_too_many_never_enter_a_block(on: Standing) -> None:
    with pytest.raises(MalformedError):
        await on.engine.submit(b"")
    with pytest.raises(MalformedError):
        await on.engine.submit(create(on, "a") + b"\0")
    cells = [on.network.create(on.network.id16(number)) for number in range(1_200)]
    with pytest.raises(TooLargeError):
        await on.engine.submit(on.network.tx("mercy", *cells, valid_until=on.clock() + MINUTE_MS))
    await ordered(on, "b")
    assert len(all_txs(on)) == 1


async def test_what_a_rule_refuses_is_answered_with_its_code_and_changes_nothing(on: Standing) -> None:
    await ordered(on, "a")
    root = on.ledger.state.root()
    for tx, code in (
        (encode(replace(decode(Tx, create(on, "b")), signature=bytes(64))), "machine.bad_signature"),
        (create(on, "c", valid_ms=-MINUTE_MS), "machine.expired"),
        (create(on, "d", valid_ms=2 * HOUR_MS), "machine.too_far_ahead"),
        (create(on, "a", valid_ms=MINUTE_MS), "cells.exists"),  # Other bytes for the same cell.
    ):
        assert (await on.engine.submit(tx)).code == code
        assert on.ledger.state.root() == root


async def test_a_forged_copy_does_not_stand_in_the_way_of_the_true_one(on: Standing) -> None:
    tx = create(on, "a")
    forged = encode(replace(decode(Tx, tx), signature=bytes(64)))
    said = await asyncio.gather(*map(on.engine.submit, (forged, tx, forged)))
    assert said[1].code == ACCEPTED
    assert (await on.engine.submit(tx)) == said[1]
    assert all_txs(on).count(tx) == 1


async def test_what_never_became_final_has_no_receipt(on: Standing) -> None:
    with pytest.raises(UnavailableError):
        await on.engine.receipt(digest(create(on, "a")))


async def test_after_the_end_nothing_is_taken(kind: str, tmp_path: Path) -> None:
    async with standing(kind, tmp_path) as on:
        engine: Engine = on.engine
        await ordered(on, "a")
        waiting = asyncio.create_task(engine.submit(create(on, "b")))
        await asyncio.sleep(0)
        await on.stop()
        late = create(on, "c")
        with pytest.raises(UnavailableError):
            await engine.submit(late)
        said = (await asyncio.gather(waiting, return_exceptions=True))[0]
        assert isinstance(said, UnavailableError) or said.code == ACCEPTED  # type: ignore[union-attr]
        await on.start()
        assert late not in all_txs(on)


# What happens.


async def test_what_is_accepted_is_final_here_with_a_receipt_that_proves_it(on: Standing) -> None:
    tx = create(on, "a")
    done = await on.engine.submit(tx)
    assert done.code == ACCEPTED
    assert on.ledger.height >= done.height
    assert on.ledger.inclusion(done.tx_id) == done
    assert tx in on.ledger.block(done.height).block.txs
    assert encode(checked(await on.engine.receipt(done.tx_id), on)) == decode(Tx, tx).body


async def test_one_transaction_submitted_often_is_in_one_block_once(on: Standing) -> None:
    tx = create(on, "a")
    said = await asyncio.gather(*(on.engine.submit(tx) for _ in range(5)))
    assert len(set(said)) == 1
    assert await on.engine.submit(tx) == said[0]
    assert all_txs(on) == [tx]


async def test_whoever_stops_waiting_may_ask_again(on: Standing) -> None:
    tx = create(on, "a")
    waiting = asyncio.create_task(on.engine.submit(tx))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await on.engine.submit(tx)).code == ACCEPTED
    assert all_txs(on) == [tx]


async def test_what_follows_an_answer_comes_after_it(on: Standing) -> None:
    heights = await ordered(on, "a", "b", "c")
    assert heights == sorted(heights)
    times = [stored.header.time for stored in on.ledger.blocks()]
    assert all(before < after for before, after in pairwise(times))


async def test_whoever_follows_is_told_each_block_once_in_order_and_sees_its_state(on: Standing) -> None:
    heights: list[int] = []
    halves: list[int] = []

    def heard(stored: object) -> None:
        heights.append(stored.header.height)  # type: ignore[attr-defined]
        if on.ledger.state.root() != on.ledger.header.app_hash:
            halves.append(heights[-1])

    on.ledger.listen(heard)
    last = (await ordered(on, "a", "b", "c"))[-1]
    assert await on.ledger.reached(last, 5.0)
    await asyncio.sleep(0.05)
    assert heights == list(range(heights[0], heights[-1] + 1))
    assert heights[-1] >= last
    assert halves == []


async def test_many_at_once_are_all_final_and_share_blocks(on: Standing) -> None:
    txs = [create(on, f"cell {number}") for number in range(200)]
    said = await asyncio.gather(*map(on.engine.submit, txs))
    assert {one.code for one in said} == {ACCEPTED}
    assert len({one.height for one in said}) < 20
    assert sorted(all_txs(on)) == sorted(txs)


async def test_a_burst_beyond_a_quota_takes_several_blocks_and_is_not_refused(kind: str, tmp_path: Path) -> None:
    async with standing(kind, tmp_path, quota_bytes=1_000) as on:
        said = await asyncio.gather(*(on.engine.submit(create(on, f"{number}")) for number in range(12)))
        assert {one.code for one in said} == {ACCEPTED}
        assert len({one.height for one in said}) > 3


async def test_a_restart_keeps_everything(on: Standing) -> None:
    tx = create(on, "a")
    done = await on.engine.submit(tx)
    await ordered(on, "b")
    before = [stored.header for stored in on.ledger.blocks()]
    root = on.ledger.state.root()
    await on.stop()
    await on.start()
    assert [stored.header for stored in on.ledger.blocks()][: len(before)] == before
    assert on.ledger.state.root() == root
    assert on.ledger.inclusion(done.tx_id) == done
    assert await on.engine.submit(tx) == done
    checked(await on.engine.receipt(done.tx_id), on)
    assert (await ordered(on, "c"))[0] > before[-1].height
