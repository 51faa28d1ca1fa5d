"""Replies remembered by key: for how long, how much, and what is not remembered."""

import asyncio
from collections.abc import Callable

import pytest

from salus.core.transport import Said
from salus.core.wire import encode
from salus.node.http.errors import OtherRequestError, OverloadedError
from salus.node.http.replies import Replies
from salus.node.http.server import is_final
from tests.node.http.wires import ANNA, BEN


class Work:
    """Counts how often it was done; the reply says it."""

    def __init__(self, size_bytes: int = 1) -> None:
        self.done = 0
        self._size_bytes = size_bytes

    async def __call__(self) -> bytes:
        self.done += 1
        return bytes([self.done]) * self._size_bytes


def memory(now: Callable[[], float] = lambda: 0.0, **limits: float) -> Replies:
    return Replies(now, lambda reply: reply != b"later", **limits)  # type: ignore[arg-type]


async def test_a_key_counts_for_its_member_its_bytes_and_its_time() -> None:
    now, work = [0.0], Work()
    replies = memory(lambda: now[0], kept_s=600)
    assert await replies.once(ANNA, b"k", b"r", work) == b"\x01"
    assert await replies.once(ANNA, b"k", b"r", work) == b"\x01"
    with pytest.raises(OtherRequestError):
        await replies.once(ANNA, b"k", b"other", work)
    assert await replies.once(BEN, b"k", b"r", work) == b"\x02"
    now[0] = 599.9
    assert await replies.once(ANNA, b"k", b"r", work) == b"\x01"
    now[0] = 600.0
    assert await replies.once(ANNA, b"k", b"r", work) == b"\x03"
    assert replies.size_bytes(ANNA) == 1


async def test_memory_is_bounded_by_bytes_and_by_count_and_one_peer_costs_another_nothing() -> None:
    replies = memory(bytes_max=100, count_max=50)
    other = Work()
    await replies.once(BEN, b"k", b"r", other)
    for number in range(30):
        await replies.once(ANNA, bytes([number]), b"r", Work(10))
        assert replies.size_bytes(ANNA) <= 100
    newest, oldest = Work(10), Work(10)
    await replies.once(ANNA, bytes([29]), b"r", newest)
    await replies.once(ANNA, bytes([0]), b"r", oldest)
    await replies.once(BEN, b"k", b"r", other)
    assert (newest.done, oldest.done, other.done) == (0, 1, 1)
    many = memory(bytes_max=10_000, count_max=5)
    for number in range(30):
        await many.once(ANNA, bytes([number]), b"r", Work())
        assert many.size_bytes(ANNA) <= 6


async def test_what_is_too_large_what_failed_and_what_is_to_come_back_is_not_kept() -> None:
    replies = memory(bytes_max=100)
    large = Work(101)
    await replies.once(ANNA, b"1", b"r", large)
    await replies.once(ANNA, b"1", b"r", large)
    assert large.done == 2
    done = 0

    async def failing() -> bytes:
        nonlocal done
        done += 1
        if done < 2:
            raise ValueError
        return b"later" if done < 3 else b"now"

    with pytest.raises(ValueError):
        await replies.once(ANNA, b"2", b"r", failing)
    assert await replies.once(ANNA, b"2", b"r", failing) == b"later"
    assert await replies.once(ANNA, b"2", b"r", failing) == b"now"
    assert await replies.once(ANNA, b"2", b"r", failing) == b"now"


async def test_work_goes_on_without_its_caller_and_stops_when_all_does() -> None:
    replies, may_end, done = memory(), asyncio.Event(), []

    async def slow() -> bytes:
        await may_end.wait()
        done.append(1)
        return b"x"

    for key in (b"1", b"2"):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(replies.once(ANNA, key, b"r", slow), 0.01)
    waiting = asyncio.create_task(replies.once(ANNA, b"1", b"r", slow))
    may_end.set()
    assert await waiting == b"x"
    assert done == [1, 1]
    may_end.clear()
    hearing = asyncio.create_task(replies.once(ANNA, b"3", b"r", slow))
    await asyncio.sleep(0.01)
    await replies.close()
    with pytest.raises(OverloadedError):
        await hearing
    assert done == [1, 1]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (encode(Said(family="unavailable", code="a")), False),
        (encode(Said(family="refused", code="a")), True),
        (b"\x92\xa7other/1\x00", True),
        (b"", True),
    ],
)
def test_only_who_is_away_is_asked_again(reply: bytes, expected: bool) -> None:
    assert is_final(reply) is expected
