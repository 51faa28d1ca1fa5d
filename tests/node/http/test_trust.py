"""Who gets through: over real sockets, with certificates that are wrong in one way each."""

import asyncio
import ssl

import pytest

from salus.core.errors import RefusalError
from salus.core.ids import DAY_MS, MINUTE_MS, ChainId, MemberId
from salus.core.transport import PeerRefusalError, PeerUnavailableError, ask
from salus.core.wire import encode
from salus.node.http.certificates import make_own
from salus.node.http.trust import Pins, Trust
from tests.node.http.wires import (
    ANNA,
    BEN,
    CLEO,
    Question,
    Reply,
    Wire,
    as_if_of,
    clock,
    context_of,
    fresh,
    head,
    raw,
    wire,
)

BODY = encode(Question(number=4))


async def refused_over(on: Wire, context: ssl.SSLContext | None, port: int, member: MemberId = ANNA) -> bool:
    """Whether a connection is refused before a request on it is carried out."""
    try:
        async with raw(port, context) as line:
            await line.send(head(member, len(BODY)) + BODY)
            return await line.status() in (0, 401, 403) and on.asked == []
    except OSError:
        return on.asked == []


async def test_a_stranger_is_refused_and_so_is_who_shows_nothing() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        ben = (BEN, on.secrets[BEN].public)
        assert await refused_over(on, context_of(None, ben), server.port)
        assert await refused_over(on, context_of(make_own(ANNA, fresh(), (), clock()), ben), server.port)
        assert await refused_over(on, context_of(make_own(MemberId("dora"), fresh(), (), clock()), ben), server.port)


async def test_a_members_key_does_not_open_the_door_under_another_members_name() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        ben = (BEN, on.secrets[BEN].public)
        cleos = make_own(CLEO, on.secrets[ANNA], (), clock())
        assert await refused_over(on, context_of(cleos, ben), server.port, CLEO)
        sly = as_if_of(cleos, on.secrets[ANNA], "anna tls")  # OpenSSL believes this one: Anna's anchor vouches for it.
        assert await refused_over(on, context_of(sly, ben), server.port, CLEO)
        own = make_own(ANNA, on.secrets[ANNA], (), clock())
        assert await refused_over(on, context_of(own, ben), server.port, CLEO)  # Right connection, wrong header.
        assert server.seen["wire.not_your_name"] == 1


async def test_a_server_with_another_members_key_or_name_is_told_nothing() -> None:
    async with wire() as on:
        await on.serve(BEN, trust=on.trust(CLEO))
        with pytest.raises(PeerUnavailableError):
            await ask(on.transport(ANNA), BEN, Question(number=1), Reply)
        await on.serve(BEN, trust=on.trust(BEN, fresh()))
        with pytest.raises(PeerUnavailableError):
            await ask(on.transport(ANNA), BEN, Question(number=1), Reply)
        assert on.asked == []


@pytest.mark.parametrize("off_ms", [-40 * DAY_MS, 2 * DAY_MS], ids=["ended", "not begun"])
async def test_a_certificate_counts_between_its_dates(off_ms: int) -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        off = make_own(ANNA, on.secrets[ANNA], (), clock() + off_ms)
        assert await refused_over(on, context_of(off, (BEN, on.secrets[BEN].public)), server.port)
        await on.serve(CLEO, trust=on.trust(CLEO, now=lambda: clock() + off_ms))
        with pytest.raises(PeerUnavailableError):
            await ask(on.transport(ANNA), CLEO, Question(number=1), Reply)
        assert on.asked == []


@pytest.mark.parametrize("off_ms", [-30 * MINUTE_MS, 30 * MINUTE_MS], ids=["behind", "ahead"])
async def test_clocks_that_differ_by_minutes_keep_nobody_out(off_ms: int) -> None:
    async with wire() as on:
        off = on.trust(ANNA, now=lambda: clock() + off_ms)
        await on.serve(BEN)
        assert await ask(on.transport(ANNA, trust=off), BEN, Question(number=1), Reply) == Reply(number=2)
        await on.serve(CLEO, trust=on.trust(CLEO, now=lambda: clock() - off_ms))
        assert await ask(on.transport(ANNA, trust=off), CLEO, Question(number=2), Reply) == Reply(number=4)


async def test_a_certificate_that_ends_during_a_connection_ends_it() -> None:
    async with wire() as on:
        passed = [0]
        server = await on.serve(BEN, trust=on.trust(BEN, now=lambda: clock() + passed[0]))
        context = context_of(make_own(ANNA, on.secrets[ANNA], (), clock()), (BEN, on.secrets[BEN].public))
        async with raw(server.port, context) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 200
            passed[0] = 31 * DAY_MS
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 401


async def test_a_removed_member_is_refused_on_new_connections_and_on_open_ones() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        transport = on.transport(ANNA)
        context = context_of(make_own(ANNA, on.secrets[ANNA], (), clock()), (BEN, on.secrets[BEN].public))
        async with raw(server.port, context) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 200
            on.write(ANNA)
            on.asked.clear()
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 401
            assert await line.is_closed()  # A member that has a newer key comes back over a new connection.
        assert await refused_over(on, context, server.port)
        with pytest.raises(PeerUnavailableError):
            await ask(transport, BEN, Question(number=1), Reply)
        with pytest.raises(PeerUnavailableError):  # Nor does anybody call who is removed.
            await ask(on.transport(CLEO), ANNA, Question(number=1), Reply)
        assert on.asked == []


async def test_a_new_member_is_heard_without_a_restart() -> None:
    async with wire() as on:
        dora, key = MemberId("dora"), fresh()
        await on.serve(BEN)
        transport = on.transport(dora, trust=on.trust(dora, key))
        with pytest.raises(PeerUnavailableError):
            await ask(transport, BEN, Question(number=1), Reply)
        on.write(dora, key.public)
        assert await ask(transport, BEN, Question(number=2), Reply) == Reply(number=4)


async def test_both_keys_count_while_one_is_replaced_and_the_old_one_not_afterwards() -> None:
    async with wire() as on:
        old, new = on.secrets[ANNA], fresh()
        server = await on.serve(BEN)
        trust = on.trust(ANNA)
        transport = on.transport(ANNA, trust=trust)
        await ask(transport, BEN, Question(number=1), Reply)
        with pytest.raises(PeerUnavailableError):  # Not before the ledger says so.
            await ask(on.transport(ANNA, trust=on.trust(ANNA, new)), BEN, Question(number=1), Reply)
        trust.take(new)
        before = trust.own()
        await ask(transport, BEN, Question(number=2), Reply)
        on.write(ANNA, old.public, new.public)
        await ask(transport, BEN, Question(number=3), Reply)
        assert trust.own() is not before  # By itself, with the block.
        stale = context_of(make_own(ANNA, old, (), clock()), (BEN, on.secrets[BEN].public))
        async with raw(server.port, stale) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 200
            on.write(ANNA, new.public)
            on.asked.clear()
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 401
        assert await refused_over(on, stale, server.port)
        await ask(transport, BEN, Question(number=5), Reply)
        assert on.asked == [(ANNA, 5)]


async def test_a_caller_whose_ledger_is_a_block_behind_catches_up_within_one_call() -> None:
    async with wire() as on:
        old, new = on.secrets[ANNA], fresh()
        await on.serve(BEN)
        behind = dict(on.ledger)
        trust = Trust(ANNA, old, Pins(lambda: tuple(behind), lambda name: behind.get(name, ()), lambda: 1), clock)
        trust.take(new)
        transport = on.transport(ANNA, trust=trust)
        await ask(transport, BEN, Question(number=1), Reply)
        on.write(ANNA, new.public)
        asking = asyncio.create_task(ask(transport, BEN, Question(number=2), Reply))
        while transport.seen["status 401"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        behind[ANNA] = (new.public,)
        assert await asking == Reply(number=4)
        assert on.asked == [(ANNA, 1), (ANNA, 2)]


async def test_a_stolen_server_key_is_worth_nothing_once_it_was_replaced() -> None:
    async with wire() as on:
        stolen, new = on.secrets[BEN], fresh()
        transport = on.transport(ANNA)
        await on.serve(BEN, trust=on.trust(BEN, stolen))
        await ask(transport, BEN, Question(number=1), Reply)
        on.write(BEN, new.public)
        on.asked.clear()
        with pytest.raises(PeerUnavailableError):  # Also over the connection that is open already.
            await ask(transport, BEN, Question(number=2), Reply)
        assert on.asked == []
        await on.serve(BEN, trust=on.trust(BEN, new))
        await ask(transport, BEN, Question(number=3), Reply)


async def test_older_tls_and_plain_http_are_refused() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        own = make_own(ANNA, on.secrets[ANNA], (), clock())
        older = context_of(own, (BEN, on.secrets[BEN].public))
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):
            async with raw(server.port, older):
                pass
        assert await refused_over(on, None, server.port)
        older.maximum_version = ssl.TLSVersion.TLSv1_3  # The same certificate: it was the version.
        async with raw(server.port, older) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 200


async def test_a_connection_is_never_resumed_past_the_checks() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        context = context_of(make_own(ANNA, on.secrets[ANNA], (), clock()), (BEN, on.secrets[BEN].public))
        async with raw(server.port, context) as line:
            await line.send(head(ANNA, len(BODY)) + BODY)
            assert await line.status() == 200
            session = line.writer.get_extra_info("ssl_object").session
            assert session is None or not session.has_ticket


async def test_another_networks_request_is_refused() -> None:
    async with wire() as on:
        server = await on.serve(BEN)
        with pytest.raises(PeerRefusalError) as caught:
            await ask(on.transport(ANNA, chain=ChainId("other")), BEN, Question(number=1), Reply)
        assert isinstance(caught.value, RefusalError)
        assert caught.value.said == "wire.other_chain"
        assert (on.asked, server.seen["wire.other_chain"]) == ([], 1)


async def test_renewal_under_load_fails_no_request() -> None:
    async with wire() as on:
        passed = [-21 * DAY_MS]
        serving = on.trust(BEN, now=lambda: clock() + passed[0])
        calling = on.trust(ANNA, now=lambda: clock() + passed[0])
        await on.serve(BEN, trust=serving)
        transport = on.transport(ANNA, trust=calling)
        before = (serving.own().data, calling.own().data)

        async def load(first: int) -> int:
            for number in range(first, first + 25):
                assert await ask(transport, BEN, Question(number=number), Reply) == Reply(number=2 * number)
                if number == 10:
                    passed[0] = 0  # Both certificates are due now.
            return 25

        done = await asyncio.gather(*(load(100 * caller) for caller in range(8)))
        after = (serving.own().data, calling.own().data)
        assert sum(done) == len(on.asked) == 200
        assert before[0] != after[0]
        assert before[1] != after[1]
        assert transport.seen == {}


async def test_a_context_stays_the_same_as_long_as_nothing_changes() -> None:
    async with wire() as on:
        trust = on.trust(ANNA)
        first = trust.calling(BEN)
        on.height += 1
        assert trust.calling(BEN) is first
        on.write(BEN, on.secrets[BEN].public, fresh().public)
        assert trust.calling(BEN) is not first
