"""The receiving end: headers, requests that are sent again, sizes, slowness, floods."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from salus.core.errors import UnavailableError
from salus.core.ids import MemberId
from salus.core.transport import Said, ask
from salus.core.wire import decode, encode
from salus.node.http.admission import Limits
from salus.node.http.certificates import make_own
from tests.node.http.wires import ANNA, BEN, CLEO, Question, Raw, Reply, Wire, clock, context_of, head, raw, wire

BODY = encode(Question(number=4))
DOUBLE = encode(Reply(number=8))


@asynccontextmanager
async def line_of(on: Wire, port: int, member: MemberId = ANNA) -> AsyncIterator[Raw]:
    """A member's connection that says what a test writes."""
    context = context_of(make_own(member, on.secrets[member], (), clock()), (BEN, on.secrets[BEN].public))
    async with raw(port, context) as line:
        yield line


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"content_type": "application/json"}, 400, "wire.bad_head"),
        ({"content_type": None}, 400, "wire.bad_head"),
        ({"salus_request": None}, 400, "wire.bad_head"),
        ({"salus_request": "AB" * 16}, 400, "wire.bad_head"),
        ({"salus_request": "ab" * 17}, 400, "wire.bad_head"),
        ({"salus_chain": None}, 421, "wire.other_chain"),
        ({"salus_chain": "other"}, 421, "wire.other_chain"),
        ({"salus_chain": "other", "salus_member": "ben"}, 421, "wire.other_chain"),
        ({"salus_member": None}, 403, "wire.not_your_name"),
        ({"salus_member": "cleo"}, 403, "wire.not_your_name"),
    ],
)
async def test_a_head_that_is_not_in_order_is_refused(changes: dict[str, str | None], status: int, code: str) -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY), **changes) + BODY)
            found, _, body = await line.reply()
            assert (found, decode(Said, body).code) == (status, code)
            await line.send(head(ANNA, len(BODY)) + BODY)  # The connection goes on.
            assert await line.reply() == (200, {**_usual(DOUBLE)}, DOUBLE)
        assert on.asked == [(ANNA, 4)]


async def test_other_paths_methods_and_queries_are_refused() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        for first in ("GET /v1/message", "POST /v1/messages", "POST /v1/message?a=b", "DELETE /v1/message"):
            async with line_of(on, server.port) as line:
                await line.send(head(ANNA, len(BODY)).replace(b"POST /v1/message", first.encode(), 1) + BODY)
                assert await line.status() in (400, 404, 405)
        assert on.asked == []


async def test_a_request_that_is_sent_again_is_carried_out_once() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        key = os.urandom(16).hex()
        async with line_of(on, server.port) as line, line_of(on, server.port) as other:
            for one in (line, line, other):
                await one.send(head(ANNA, len(BODY), key) + BODY)
                assert (await one.reply())[2] == DOUBLE
            assert on.asked == [(ANNA, 4)]
            changed = encode(Question(number=5))
            await line.send(head(ANNA, len(changed), key) + changed)
            assert await line.status() == 422
        async with line_of(on, server.port, CLEO) as line:  # Another member's key is another key.
            await line.send(head(CLEO, len(BODY), key) + BODY)
            assert (await line.reply())[2] == DOUBLE
        assert on.asked == [(ANNA, 4), (CLEO, 4)]


async def test_a_request_that_comes_twice_at_once_is_carried_out_once() -> None:
    async with wire() as on:
        may_end = asyncio.Event()

        async def waiting(sender: MemberId, question: Question) -> Reply:
            await may_end.wait()
            return await on.doubled(sender, question)

        server = await on.serve(BEN, waiting)
        key = os.urandom(16).hex()
        async with line_of(on, server.port) as line, line_of(on, server.port) as other:
            await line.send(head(ANNA, len(BODY), key) + BODY)
            await other.send(head(ANNA, len(BODY), key) + BODY)
            await asyncio.sleep(0.1)
            may_end.set()
            assert (await line.reply())[2] == (await other.reply())[2] == DOUBLE
        assert on.asked == [(ANNA, 4)]


async def test_a_caller_that_hung_up_gets_the_reply_when_it_comes_back() -> None:
    async with wire() as on:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def waiting(sender: MemberId, question: Question) -> Reply:
            begun.set()
            await may_end.wait()
            return await on.doubled(sender, question)

        server = await on.serve(BEN, waiting)
        key = os.urandom(16).hex()
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY), key) + BODY)
            await begun.wait()
        may_end.set()
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY), key) + BODY)
            assert (await line.reply())[2] == DOUBLE
        assert on.asked == [(ANNA, 4)]


async def test_who_was_told_to_come_back_is_heard_again_under_the_same_key() -> None:
    async with wire() as on:
        away = [True]

        async def sometimes(sender: MemberId, question: Question) -> Reply:
            if away.pop() if away else False:
                raise UnavailableError
            return await on.doubled(sender, question)

        server = await on.serve(BEN, sometimes)
        key = os.urandom(16).hex()
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY), key) + BODY)
            assert decode(Said, (await line.reply())[2]).family == "unavailable"
            await line.send(head(ANNA, len(BODY), key) + BODY)
            assert (await line.reply())[2] == DOUBLE


async def test_a_fault_of_ours_is_no_fact_for_others() -> None:
    async with wire() as on:

        async def broken(_sender: MemberId, _question: Question) -> Reply:
            raise ValueError("a patient's name")

        server = await on.serve(BEN, broken)
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            status, _, body = await line.reply()
        assert (status, decode(Said, body)) == (500, Said(family="unavailable", code="wire.broken"))
        assert server.seen == {"wire.broken": 1, "fault.ValueError": 1}


async def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(request_bytes_max=1000))
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, 1001))  # Not a byte of it.
            status, headers, body = await line.reply()
            assert (status, decode(Said, body)) == (413, Said(family="malformed", code="wire.too_long"))
            assert "connection" not in headers  # So short that it is cheaper to read it away.
        for length in (1 << 20, 10**12, 10**15):
            async with line_of(on, server.port) as line:
                await line.send(head(ANNA, length))
                status, headers, _ = await line.reply()
                assert (status, headers["connection"]) == (413, "close")
                assert await line.is_closed()
        assert on.asked == []


async def test_what_turns_out_too_long_is_cut_off_on_the_way() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(request_bytes_max=100_000))
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, None, transfer_encoding="chunked"))
            sent = 0
            try:
                for _ in range(1000):
                    await line.send(b"4000\r\n", bytes(0x4000), b"\r\n")
                    sent += 0x4000
            except OSError:
                pass
            assert sent < 1000 * 0x4000
            assert await line.is_closed() or await line.status() == 413
        assert server.seen["wire.too_long"] == 1
        assert on.asked == []


async def test_a_body_of_undeclared_length_is_heard_as_well() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, None, transfer_encoding="chunked"), b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
            assert (await line.reply())[2] == DOUBLE


async def test_who_drips_headers_or_says_nothing_is_cut_off() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(head_s=1.0))
        async with (
            line_of(on, server.port) as silent,
            line_of(on, server.port) as slow,
            line_of(on, server.port) as later,
        ):
            await later.send(head(ANNA, len(BODY)) + BODY)
            assert await later.status() == 200
            for line in (slow, later):
                dripping = asyncio.create_task(_drip(line, head(ANNA, len(BODY))))
                assert await line.is_closed(5)
                dripping.cancel()
            assert await silent.is_closed(5)
        assert on.asked == [(ANNA, 4)]


async def test_who_drips_a_body_is_cut_off() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(request_s=0.3))
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, 100_000))
            dripping = asyncio.create_task(_drip(line, bytes(100_000)))
            assert await line.status() == 408
            assert await line.is_closed(2)
            dripping.cancel()
        assert (on.asked, server.seen["wire.too_slow"]) == ([], 1)


async def test_who_does_not_read_the_reply_is_cut_off() -> None:
    async with wire() as on:

        async def long(_sender: MemberId, _question: Question) -> Reply:
            return Reply(number=0, data=bytes(64 << 20))

        server = await on.serve(BEN, long, Limits(request_s=0.5))
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            line.writer.transport.pause_reading()
            await asyncio.sleep(4.0)  # The request's time, and that for the connection's end.
            line.writer.transport.resume_reading()
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await line.reader.readexactly(64 << 20)


async def test_replies_that_a_peer_does_not_read_count_as_its_own() -> None:
    async with wire() as on:

        async def long(_sender: MemberId, _question: Question) -> Reply:
            return Reply(number=0, data=bytes(20 << 20))

        server = await on.serve(BEN, long, Limits(bytes_at_once_max=50 << 20))
        async with line_of(on, server.port) as one, line_of(on, server.port) as two, line_of(on, server.port) as three:
            for line in (one, two):
                line.writer.transport.pause_reading()
                await line.send(head(ANNA, len(BODY)) + BODY)
            await asyncio.sleep(0.5)
            await three.send(head(ANNA, len(BODY)) + BODY)
            assert await three.status() == 429
        await asyncio.sleep(0.2)
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 200


async def test_who_does_not_finish_a_handshake_is_cut_off() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(handshake_s=0.3))
        async with raw(server.port, None) as line:
            await line.send(b"\x16\x03\x01")
            assert await line.is_closed(2)


async def test_headers_without_end_are_refused() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        async with line_of(on, server.port) as line:
            await line.send(head(ANNA, len(BODY), x_more="a" * 9000).removesuffix(b"\r\n"))
            assert await line.status() == 400
            assert await line.is_closed()
        assert on.asked == []


async def test_a_flood_is_told_to_wait_and_others_do_not_notice() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(rate_per_s=1, burst=5))
        async with line_of(on, server.port) as line:
            found = []
            for _ in range(20):
                await line.send(head(ANNA, len(BODY)) + BODY)
                status, headers, body = await line.reply()
                found.append(status)
            assert found == [200] * 5 + [429] * 15
            assert int(headers["retry-after"]) >= 1
            assert decode(Said, body) == Said(family="unavailable", code="wire.too_many")
        assert await ask(on.transport(CLEO), BEN, Question(number=3), Reply) == Reply(number=6)
        assert len(on.asked) == 6


async def test_more_at_once_than_a_peers_share_waits_and_others_do_not_notice() -> None:
    async with wire() as on:
        may_end = asyncio.Event()

        async def waiting(sender: MemberId, question: Question) -> Reply:
            if sender == ANNA:
                await may_end.wait()
            return await on.doubled(sender, question)

        server = await on.serve(BEN, waiting, Limits(requests_at_once_max=2))
        async with line_of(on, server.port) as one, line_of(on, server.port) as two, line_of(on, server.port) as three:
            await one.send(head(ANNA, len(BODY)) + BODY)
            await two.send(head(ANNA, len(BODY)) + BODY)
            await asyncio.sleep(0.1)
            await three.send(head(ANNA, len(BODY)) + BODY)
            assert await three.status() == 429
            assert await ask(on.transport(CLEO), BEN, Question(number=3), Reply) == Reply(number=6)
            may_end.set()
            assert (await one.status(), await two.status()) == (200, 200)
            await three.send(head(ANNA, len(BODY)) + BODY)
            assert await three.status() == 200


async def test_bytes_on_their_way_are_counted_for_each_peer_and_for_all() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(bytes_at_once_max=150_000, bytes_at_once_max_all=200_000))
        async with line_of(on, server.port) as one, line_of(on, server.port) as two:
            await one.send(head(ANNA, 100_000), bytes(90_000))
            await asyncio.sleep(0.1)
            await two.send(head(ANNA, 100_000))
            assert await two.status() == 429
            async with line_of(on, server.port, CLEO) as other:
                await other.send(head(CLEO, 120_000), bytes(100_000))
                await asyncio.sleep(0.1)
                assert server.seen == {"wire.too_many": 1}
                await other.send(bytes(19_000))
                assert await other.status() == 503
            one.writer.transport.abort()
        await asyncio.sleep(0.1)
        async with line_of(on, server.port) as again:  # What a lost connection held is free again.
            await again.send(head(ANNA, 140_000))
            await asyncio.sleep(0.1)
        assert (server.seen["wire.too_many"], server.seen["wire.overloaded"]) == (1, 1)


async def test_a_peer_has_so_many_connections() -> None:
    async with wire() as on:
        server = await on.serve(BEN, limits=Limits(connections_max=2))
        async with line_of(on, server.port) as one, line_of(on, server.port):
            async with line_of(on, server.port) as third:
                assert await third.is_closed(2)
            await one.send(head(ANNA, len(BODY)) + BODY)
            assert await one.status() == 200
        await asyncio.sleep(0.1)
        async with line_of(on, server.port) as again:
            await again.send(head(ANNA, len(BODY)) + BODY)
            assert await again.status() == 200


async def test_stopping_lets_what_is_under_way_finish_and_hears_nothing_new() -> None:
    async with wire() as on:
        begun = asyncio.Event()

        async def slow(sender: MemberId, question: Question) -> Reply:
            begun.set()
            await asyncio.sleep(0.3)
            return await on.doubled(sender, question)

        server = await on.serve(BEN, slow)
        asking = asyncio.create_task(ask(on.transport(ANNA), BEN, Question(number=2), Reply))
        await begun.wait()
        port = server.port
        await server.stop()
        assert await asking == Reply(number=4)
        with pytest.raises(OSError):
            async with line_of(on, port):
                pass


async def _drip(line: Raw, data: bytes) -> None:
    for at in range(len(data)):
        await line.send(data[at : at + 1])
        await asyncio.sleep(0.02)


def _usual(body: bytes) -> dict[str, str]:
    return {"content-type": "application/vnd.salus.message", "content-length": str(len(body))}
