"""Which transactions a block takes: within quotas, the lane first, in the order in which they came."""

import pytest

from salus.contracts.members.messages import Parameters
from salus.core.ids import MINUTE_MS
from salus.engines import queue
from salus.engines.queue import BusyError, Queue
from salus.machine.admission import read
from salus.machine.transaction import AnyMessage
from tests.support.network import STARTED, network

NET = network(4)
LIMITS = Parameters()


def tx(sponsor: str, *messages: AnyMessage) -> bytes:
    return NET.tx(sponsor, *messages, valid_until=STARTED + MINUTE_MS)


def create(sponsor: str, number: int) -> bytes:
    return tx(sponsor, NET.create(NET.id16("cell", number)))


def freeze(sponsor: str, number: int) -> bytes:
    return tx(sponsor, NET.freeze(NET.id16("cell", number), 0))


def filled(*txs: bytes) -> Queue:
    waiting = Queue()
    for each in txs:
        waiting.put(each, read(each))
    return waiting


def taken(waiting: Queue, limits: Parameters = LIMITS, quota_bytes: int = 1 << 20) -> list[bytes]:
    return [each.data for each in waiting.take(limits, lambda _: quota_bytes)]


def test_put_refuses_more_than_the_queue_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = create("mercy", 1), create("mercy", 2)
    monkeypatch.setattr(queue, "LINE_BYTES_MAX", len(first))
    waiting = filled(first)
    with pytest.raises(BusyError):
        waiting.put(second, read(second))
    assert taken(waiting) == [first]
    waiting.put(second, read(second))
    assert taken(waiting) == [second]
    assert not waiting


def test_an_empty_queue_gives_nothing() -> None:
    assert taken(Queue()) == []


def test_transactions_stand_in_the_order_in_which_they_came() -> None:
    txs = [create("mercy", 1), freeze("st-luke", 1), create("st-luke", 2), freeze("mercy", 2), create("mercy", 3)]
    assert taken(filled(*txs)) == txs


def test_what_exceeds_a_quota_waits_and_keeps_nobody_else_waiting() -> None:
    mercy = [create("mercy", number) for number in range(3)]
    other = create("st-luke", 9)
    waiting = filled(*mercy, other)
    quota_bytes = 2 * len(mercy[0])
    assert taken(waiting, quota_bytes=quota_bytes) == [*mercy[:2], other]
    assert taken(waiting, quota_bytes=quota_bytes) == [mercy[2]]


def test_one_transaction_beyond_a_quota_is_taken_so_that_the_machine_says_why() -> None:
    first, second = create("mercy", 1), create("mercy", 2)
    waiting = filled(first, second)
    assert [taken(waiting, quota_bytes=1), taken(waiting, quota_bytes=1)] == [[first], [second]]


def test_a_full_block_takes_the_lane_first() -> None:
    imports = [create("mercy", number) for number in range(4)]
    revocation = freeze("st-luke", 1)
    waiting = filled(*imports, revocation)
    limits = Parameters(block_bytes_max=len(revocation) + len(imports[0]))
    assert taken(waiting, limits) == [imports[0], revocation]
    assert taken(waiting, limits) == imports[1:2]


def test_the_lane_has_its_own_limit_beside_the_quota() -> None:
    freezes = [freeze("mercy", number) for number in range(3)]
    other = create("mercy", 9)
    limits = Parameters(lane_bytes=len(freezes[0]))
    assert taken(filled(*freezes, other), limits, quota_bytes=len(other)) == [freezes[0], other]


def test_a_block_takes_a_number_of_transactions_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "TXS_PER_BLOCK_MAX", 2)
    txs = [create(name, number) for number, name in enumerate(("mercy", "st-luke", "mercy"))]
    waiting = filled(*txs)
    assert [taken(waiting), taken(waiting)] == [txs[:2], txs[2:]]


def test_a_cleared_queue_is_empty() -> None:
    waiting = filled(create("mercy", 1))
    waiting.clear()
    assert not waiting
    assert taken(waiting) == []


def test_a_full_line_of_one_sponsor_keeps_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first, theirs = create("lakeside", 1), freeze("mercy", 1)
    monkeypatch.setattr(queue, "LINE_BYTES_MAX", max(len(first), len(theirs)))
    waiting = filled(first)
    with pytest.raises(BusyError):
        waiting.put(create("lakeside", 2), read(create("lakeside", 2)))
    waiting.put(theirs, read(theirs))
    assert taken(waiting) == [first, theirs]


def test_a_long_lane_wants_a_signature_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "UNVERIFIED_LANE_MAX", 2)
    waiting = filled(freeze("mercy", 1))
    assert not waiting.needs_proof(read(freeze("mercy", 2)))
    waiting.put(freeze("mercy", 2), read(freeze("mercy", 2)))
    assert waiting.needs_proof(read(freeze("mercy", 3)))
    assert not waiting.needs_proof(read(freeze("lakeside", 3)))
