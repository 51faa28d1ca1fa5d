"""What looks on: it counts by tag and code, and has the promise of what it watches."""

import pytest

from salus.core.ids import Digest, MemberId
from salus.core.transport import Door, Said
from salus.core.wire import Record, decode, encode
from salus.engines.engine import Inclusion
from salus.keeper.errors import PersonError
from salus.machine.block import ACCEPTED
from salus.node.http.places import Part
from salus.node.observing.fields import OTHER
from salus.node.observing.watching import BUCKETS_S, Durations, SplitDoor, WatchedDoor, WatchedEngine, WatchedTransport

MERCY, LUKE = MemberId("mercy"), MemberId("st-luke")


class Question(Record, tag="keeper.test_question/1", frozen=True):
    """Asked in these tests."""

    text: str


class Answer(Record, tag="keeper.test_answer/1", frozen=True):
    """Its answer."""


class Scripted:
    """An engine and a transport that do as they are told."""

    async def submit(self, tx: bytes) -> Inclusion:
        if tx == b"fail":
            raise PersonError
        return Inclusion(tx_id=Digest(bytes(32)), height=1, code=tx.decode())

    async def receipt(self, tx_id: Digest) -> Record:
        return Answer()

    async def call(self, to: MemberId, request: bytes) -> bytes:
        return request + to.encode()


async def answered(_sender: MemberId, question: Question) -> Answer:
    if question.text == "refuse":
        raise PersonError(reason="Jane Doe")
    if question.text == "break":
        raise ValueError("Jane Doe")
    return Answer()


def door() -> Door:
    inner = Door()
    inner.answer(Question, answered)
    return inner


async def test_a_door_counts_by_tag_and_code() -> None:
    watched = WatchedDoor(door(), MERCY, "keeper")
    assert await watched.handle(LUKE, encode(Question(text="fine"))) == encode(Answer())
    assert decode(Said, await watched.handle(LUKE, encode(Question(text="refuse")))).code == "keeper.person"
    with pytest.raises(ValueError, match="Jane"):
        await watched.handle(LUKE, encode(Question(text="break")))
    tag = "keeper.test_question/1"
    assert watched.seen == {(tag, "ok"): 1, (tag, "keeper.person"): 1, (tag, "fault"): 1}
    assert watched.refused_lately == 1
    assert sum(watched.durations.counts) == 3


async def test_what_is_no_message_gets_no_label_of_its_own() -> None:
    watched = WatchedDoor(door(), MERCY, "keeper")
    for data in (b"", b"\x92\xa8jane.doe\x01", b"jane doe", encode(Question(text="x"))[:-1]):
        await watched.handle(LUKE, data)
    assert {request for request, _ in watched.seen} <= {OTHER, "keeper.test_question/1"}


async def test_a_door_goes_on_to_let_handlers_in() -> None:
    watched = WatchedDoor(Door(), MERCY, "keeper")
    watched.answer(Question, answered)
    assert await watched.handle(LUKE, encode(Question(text="fine"))) == encode(Answer())


async def test_a_split_door_counts_for_the_part_that_would_answer_between_machines() -> None:
    split = SplitDoor(door(), MERCY)
    await split.handle(LUKE, encode(Question(text="fine")))
    assert sum(split.parts[Part.KEEPER].seen.values()) == 1
    assert sum(split.parts[Part.GATEWAY].seen.values()) == 0


async def test_a_transport_passes_bytes_on_as_they_are() -> None:
    assert await WatchedTransport(Scripted(), MERCY, "gateway").call(LUKE, b"jane doe ") == b"jane doe st-luke"


async def test_an_engine_counts_final_refused_and_failed_transactions() -> None:
    watched = WatchedEngine(Scripted(), MERCY, "gateway")
    for code in (ACCEPTED, "cells.frozen", "jane.doe"):
        await watched.submit(code.encode())
    with pytest.raises(PersonError):
        await watched.submit(b"fail")
    assert watched.seen == {"ok": 1, "cells.frozen": 1, "other": 1, "keeper.person": 1}
    assert sum(watched.durations.counts) == 1
    assert await watched.receipt(Digest(bytes(32))) == Answer()


def test_durations_fall_into_buckets() -> None:
    durations = Durations()
    for seconds in (0.0, BUCKETS_S[0], BUCKETS_S[0] * 1.01, 1e9):
        durations.add(seconds)
    assert durations.counts[0] == 2
    assert durations.counts[1] == 1
    assert durations.counts[-1] == 1
