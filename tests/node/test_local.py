"""What a transport promises, shown for the one in one process and for HTTP: the same bytes, time-outs and errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from salus.core.errors import IntegrityError, MalformedError, RefusalError, UnavailableError
from salus.core.ids import MemberId
from salus.core.transport import (
    Door,
    PeerMalformedError,
    PeerRefusalError,
    PeerUnavailableError,
    Transport,
    ask,
)
from salus.core.wire import Record
from salus.node.http.client import Calling
from salus.node.local import LocalTransport, Switchboard
from tests.node.http.wires import wire

ANNA, BEN = MemberId("anna"), MemberId("ben")


class Question(Record, tag="test.question/1", frozen=True):
    number: int


class Reply(Record, tag="test.reply/1", frozen=True):
    number: int


@dataclass(frozen=True, slots=True)
class Line:
    """From Anna to Ben, who answers; either can be taken off."""

    transport: Transport
    take_off: Callable[[MemberId], Awaitable[None]]


Lines = Callable[[object], Awaitable[Line]]


def board_of(answer: object) -> tuple[Switchboard, LocalTransport]:
    board = Switchboard(timeout_s=0.2)
    board.doors[BEN] = Door()
    board.doors[BEN].answer(Question, answer)  # type: ignore[arg-type]
    return board, LocalTransport(board, ANNA)


@pytest.fixture(params=["local", "http"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Lines]:
    """Makes a line of either kind."""

    async def local(answer: object) -> Line:
        board, transport = board_of(answer)

        async def take_off(member: MemberId) -> None:
            board.off_line = {member}

        return Line(transport, take_off)

    async with AsyncExitStack() as stack:

        async def http(answer: object) -> Line:
            on = await stack.enter_async_context(wire())
            door = Door()
            door.answer(Question, answer)  # type: ignore[arg-type]
            server = await on.serve(BEN, door=door)
            transport = on.transport(ANNA, calling=Calling(timeout_s=1.0))

            async def take_off(member: MemberId) -> None:
                await (server.stop(0) if member == BEN else transport.close())

            return Line(transport, take_off)

        yield local if request.param == "local" else http


async def doubled(sender: MemberId, question: Question) -> Reply:
    assert sender == ANNA
    return Reply(number=2 * question.number)


async def test_a_question_is_answered(line: Lines) -> None:
    assert await ask((await line(doubled)).transport, BEN, Question(number=4), Reply) == Reply(number=8)


async def test_bytes_in_one_process_are_counted() -> None:
    board, transport = board_of(doubled)
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
async def test_an_error_crosses_in_its_family_without_its_facts(
    line: Lines, raised: Exception, expected: type[Exception]
) -> None:
    async def failing(_sender: MemberId, _question: Question) -> Reply:
        raise raised

    transport = (await line(failing)).transport
    with pytest.raises(expected) as caught:
        await ask(transport, BEN, Question(number=1), Reply)
    assert set(caught.value.facts) <= {"peer", "said"}  # type: ignore[attr-defined]


async def test_who_is_unknown_off_the_line_or_too_slow_is_away(line: Lines) -> None:
    async def slow(_sender: MemberId, _question: Question) -> Reply:
        await asyncio.sleep(5)
        return Reply(number=0)

    transport = (await line(slow)).transport
    with pytest.raises(PeerUnavailableError):
        await ask(transport, MemberId("nobody"), Question(number=1), Reply)
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=1), Reply)
    for gone in (ANNA, BEN):
        quick = await line(doubled)
        await ask(quick.transport, BEN, Question(number=1), Reply)
        await quick.take_off(gone)
        with pytest.raises(PeerUnavailableError):
            await ask(quick.transport, BEN, Question(number=1), Reply)


async def test_what_nobody_answers_and_what_is_no_message_is_malformed(line: Lines) -> None:
    transport = (await line(doubled)).transport
    with pytest.raises(PeerMalformedError):
        await ask(transport, BEN, Reply(number=1), Reply)
    assert b"transport.error/1" in await transport.call(BEN, b"\xc1")
    assert b"transport.error/1" in await transport.call(BEN, b"")
    with pytest.raises(MalformedError):
        await ask(transport, BEN, Question(number=1), Question)


async def test_trouble_on_the_line_comes_before_or_after_the_call_is_carried_out() -> None:
    carried: list[int] = []

    async def noted(_sender: MemberId, question: Question) -> Reply:
        carried.append(question.number)
        return Reply(number=0)

    def lost(_sender: MemberId, to: MemberId, _request: bytes) -> float:
        raise PeerUnavailableError(peer=to)

    board, transport = board_of(noted)
    board.before = lost
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=1), Reply)
    board.before, board.after = None, lost
    with pytest.raises(PeerUnavailableError):
        await ask(transport, BEN, Question(number=2), Reply)
    assert carried == [2]
