"""Transactions on their way into a mempool that is away, full, forgetful or merely busy."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from salus.engines.cometbft.handing import BATCH_TXS_MAX, Handing
from salus.engines.cometbft.rpc import EngineAwayError, EngineSaidError

Answer = Callable[[bytes], object]


class Mempool:
    """Says what a test wants of each transaction, and remembers what it was asked."""

    def __init__(self, answer: Answer = lambda _: {"code": 0}) -> None:
        self.answer = answer
        self.calls: list[list[bytes]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def call_many(self, method: str, parameters: list[dict[str, object]]) -> list[object]:
        assert method == "broadcast_tx_async"
        self.calls.append([b64decode(str(one["tx"])) for one in parameters])
        await self.open.wait()
        return [self.answer(tx) for tx in self.calls[-1]]

    @property
    def asked(self) -> list[bytes]:
        return [tx for call in self.calls for tx in call]

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(5.0):
            while len(self.asked) < count:  # noqa: ASYNC110 - An event for each count would be another test.
                await asyncio.sleep(0.001)


@asynccontextmanager
async def handed_to(pool: Mempool) -> AsyncIterator[Handing]:
    hands = Handing(pool, pause_s=0.01, again_s=0.3)
    yield hands
    await hands.stop()


@pytest.mark.parametrize("error", [EngineAwayError(method="m"), EngineSaidError("batch too large", method="m")])
async def test_an_engine_that_is_away_is_tried_until_it_is_back(error: Exception) -> None:
    class Away(Mempool):
        async def call_many(self, method: str, parameters: list[dict[str, object]]) -> list[object]:
            said = await super().call_many(method, parameters)
            if len(self.calls) < 3:
                raise error
            return said

    pool = Away()
    async with handed_to(pool) as hands:
        hands.offer(b"tx")
        await pool.holds(3)
        await asyncio.sleep(0.05)
        assert len(pool.calls) == 3  # From then on it is there.


async def test_a_full_mempool_is_tried_again_and_one_that_holds_it_already_is_not() -> None:
    full = EngineSaidError("mempool is full", method="m")
    cached = EngineSaidError("Internal error: tx already exists in cache", method="m")
    pool = Mempool(lambda tx: full if tx == b"full" else cached)
    async with handed_to(pool) as hands:
        hands.offer(b"full")
        hands.offer(b"cached")
        await pool.holds(4)
        assert pool.asked.count(b"cached") == 1


async def test_what_is_in_no_block_after_a_while_is_handed_over_again_until_it_is_withdrawn() -> None:
    pool = Mempool()
    async with handed_to(pool) as hands:
        hands.offer(b"tx")
        await pool.holds(2)
        hands.withdraw(b"tx")
        hands.withdraw(b"tx")
        await asyncio.sleep(0.5)
        assert pool.asked == [b"tx"] * 2


async def test_a_transaction_that_the_check_puts_off_comes_again_though_the_engine_took_it() -> None:
    pool = Mempool()
    async with handed_to(pool) as hands:
        pool.open.clear()
        hands.offer(b"tx")
        await pool.holds(1)
        hands.put_off(b"tx")  # The check is answered before the call that led to it.
        pool.open.set()
        async with asyncio.timeout(0.2):  # Sooner than what was merely handed over.
            await pool.holds(2)
        hands.put_off(b"never offered")


async def test_what_comes_while_calls_are_under_way_goes_together_within_the_limits() -> None:
    pool = Mempool()
    async with handed_to(pool) as hands:
        pool.open.clear()
        for number in range(2):
            hands.offer(b"%d" % number)
            await pool.holds(number + 1)
        waiting = [b"tx %d" % number for number in range(BATCH_TXS_MAX + 3)]
        for tx in waiting:
            hands.offer(tx)
        hands.withdraw(waiting[0])
        large = [bytes([number]) * (600 << 10) for number in range(2)]
        for tx in large:
            hands.offer(tx)
        pool.open.set()
        await pool.holds(2 + BATCH_TXS_MAX + 2 + 2)
        assert pool.calls[2:] == [waiting[1 : BATCH_TXS_MAX + 1], [*waiting[BATCH_TXS_MAX + 1 :], large[0]], large[1:]]


async def test_nothing_is_handed_over_after_the_end() -> None:
    pool = Mempool()
    async with handed_to(pool) as hands:
        hands.offer(b"tx")
        await pool.holds(1)
    await asyncio.sleep(0.5)
    assert pool.asked == [b"tx"]


async def test_nothing_is_handed_over_before_the_chain_has_begun() -> None:
    pool, begun = Mempool(), asyncio.Event()
    hands = Handing(pool, pause_s=0.01, again_s=0.3, has_begun=begun.is_set)
    hands.offer(b"tx")
    await asyncio.sleep(0.1)
    assert pool.calls == []
    begun.set()
    await pool.holds(1)
    assert pool.asked == [b"tx"]
    await hands.stop()
