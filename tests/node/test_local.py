"""The transport in one process: bytes, time-outs and errors as between machines."""

import asyncio

import pytest

from salus.core.errors import IntegrityError, MalformedError, RefusalError, UnavailableError
from salus.core.ids import MemberId
from salus.core.transport import (
    Door,
    PeerMalformedError,
    PeerRefusalError,
    PeerUnavailableError,
    ask,
)
from salus.core.wire import Record
from salus.node.local import LocalTransport, Switchboard

ANNA, BEN = MemberId("anna"), MemberId("ben")


class Question(Record, tag="test.question/1", frozen=True):
    number: int


class Reply(Record, tag="test.reply/1", frozen=True):
    number: int


def line(answer: object) -> tuple[Switchboard, LocalTransport]:
    board = Switchboard(timeout_s=0.2)
    board.doors[BEN] = Door()
    board.doors[BEN].answer(Question, answer)  # type: ignore[arg-type]
    return board, LocalTransport(board, ANNA)


async def doubled(sender: MemberId, question: Question) -> Reply:
    assert sender == ANNA
    return Reply(number=2 * question.number)


async def test_a_question_is_answered_and_its_bytes_are_counted() -> None:
    board, transport = line(doubled)
    assert await ask(transport, BEN, Question(number=4), Reply) == Reply(number=8)
    assert board.bytes_carried > 0


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RefusalError(), PeerRefusalError),
        (MalformedError(), PeerMalformedError),
        (UnavailableError(), PeerUnavailableError),
        (IntegrityError(), PeerUnavailableError),  # A broken member is merely away to others.
    ],
    ids=lambda value: getattr(value, "code", ""),
)
async def test_an_error_crosses_in_its_family_without_its_facts(raised: Exception, expected: type[Exception]) -> None:
    async def failing(_sender: MemberId, _question: Question) -> Reply:
        raise raised

    _, transport = line(failing)
    with pytest.raises(expected):
        await ask(transport, BEN, Question(number=1), Reply)


async def test_who_is_unknown_off_the_line_or_too_slow_is_away() -> None:
    async def slow(_sender: MemberId, _question: Question) -> Reply:
        await asyncio.sleep(1)
        return Reply(number=0)

    board, transport = line(slow)
    with pytest.raises(PeerUnavailableError):
        await ask(transport, MemberId("nobody"), Question(number=1), Reply)
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=1), Reply)
    for gone in (ANNA, BEN):
        board.off_line = {gone}
        with pytest.raises(PeerUnavailableError):
            await ask(transport, BEN, Question(number=1), Reply)


async def test_what_nobody_answers_and_what_is_no_message_is_malformed() -> None:
    board, transport = line(doubled)
    with pytest.raises(PeerMalformedError):
        await ask(transport, BEN, Reply(number=1), Reply)
    assert b"transport.error/1" in await board.carry(ANNA, BEN, b"\xc1")
    with pytest.raises(MalformedError):
        await ask(transport, BEN, Question(number=1), Question)


async def test_trouble_on_the_line_comes_before_or_after_the_call_is_carried_out() -> None:
    carried: list[int] = []

    async def noted(_sender: MemberId, question: Question) -> Reply:
        carried.append(question.number)
        return Reply(number=0)

    def lost(_sender: MemberId, to: MemberId, _request: bytes) -> float:
        raise PeerUnavailableError(peer=to)

    board, transport = line(noted)
    board.before = lost
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=1), Reply)
    board.before, board.after = None, lost
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=2), Reply)
    assert carried == [2]
