"""The embedded engine: what it survives, and that its members agree. What both engines promise: `test_engine.py`."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from salus.core.errors import IntegrityError
from salus.core.ids import MemberId
from salus.core.wire import decode, encode, replace
from salus.crypto import signatures
from salus.engines import embedded
from salus.engines.agreement import NoQuorumError, NotFinalError
from salus.engines.embedded import age_ms, is_fresh
from salus.engines.lmdb_errors import DiskFullError
from salus.engines.queue import BusyError
from salus.engines.receipts import check_receipt
from salus.engines.replica import DivergedError
from salus.machine import routes
from salus.machine.admission import remembering
from salus.machine.block import ACCEPTED, Applied, Block
from salus.machine.machine import Machine
from salus.machine.transaction import Tx
from salus.state.errors import CorruptPageError
from salus.state.state import State
from tests.engines.cluster import CrashError, Trap, opened, running
from tests.support.network import STARTED, network

NORTHGATE = MemberId("northgate")
LAKESIDE = MemberId("lakeside")


class OtherMachine(Machine):
    """A member whose result differs from a height on, as after a broken update."""

    def apply(self, state: State, block: Block) -> Applied:
        applied = super().apply(state, block)
        if block.height < 3:
            return applied
        return Applied(applied.results, applied.outcome_root, bytes(32), applied.validators)


class FailingMachine(Machine):
    """A member whose store contradicts itself from a height on."""

    def apply(self, state: State, block: Block) -> Applied:
        if block.height >= 3:
            raise CorruptPageError(path=b"t4")
        return super().apply(state, block)


async def test_submit_fails_before_the_start_and_after_the_end(tmp_path: Path) -> None:
    cluster = opened(tmp_path)
    with pytest.raises(NotFinalError):
        await cluster.engine.submit(cluster.create("a"))
    await cluster.engine.start()
    assert (await cluster.engine.submit(cluster.create("a"))).code == ACCEPTED
    await cluster.engine.stop()
    await cluster.engine.stop()
    with pytest.raises(NotFinalError):
        await cluster.engine.submit(cluster.create("b"))
    await cluster.engine.start()
    assert (await cluster.engine.submit(cluster.create("b"))).code == ACCEPTED
    await cluster.engine.stop()
    cluster.close()


async def test_an_engine_that_runs_is_not_started_again(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        with pytest.raises(RuntimeError, match="runs already"):
            await cluster.engine.start()


async def test_stopping_answers_whoever_waits(tmp_path: Path) -> None:
    async with running(tmp_path, held=["mercy", "lakeside"]) as cluster:
        waiting = asyncio.create_task(cluster.engine.submit(cluster.create("a")))
        await asyncio.sleep(0.02)
        await cluster.engine.stop()
        with pytest.raises(NotFinalError):
            await waiting


async def test_a_refused_transaction_is_in_the_block_with_its_code(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        tx = cluster.create("a")
        forged = encode(replace(decode(Tx, cluster.create("b")), signature=bytes(64)))
        accepted, refused = await asyncio.gather(cluster.engine.submit(tx), cluster.engine.submit(forged))
        assert (accepted.code, refused.code) == (ACCEPTED, "machine.bad_signature")
        assert accepted.height == refused.height
        receipt = await cluster.engine.receipt(refused.tx_id)
        assert receipt.result.code == "machine.bad_signature"
        check_receipt(receipt, cluster.network.genesis)


async def test_a_forged_copy_does_not_stand_in_the_way_of_the_true_one(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        tx = cluster.create("a")
        forged = encode(replace(decode(Tx, tx), signature=bytes(64)))
        said = await asyncio.gather(*map(cluster.engine.submit, (forged, tx, forged)))
        assert [each.code for each in said] == ["machine.bad_signature", ACCEPTED, "machine.bad_signature"]
        assert (await cluster.engine.receipt(said[1].tx_id)).tx == tx
        assert (await cluster.engine.submit(forged)).code == ACCEPTED  # That transaction was accepted, and where.


async def test_without_a_quorum_nothing_is_final_and_all_resumes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SUBMIT_TIMEOUT_S", 0.05)
    async with running(tmp_path) as cluster:
        cluster.engine.hold(NORTHGATE)
        assert (await cluster.engine.submit(cluster.create("a"))).height == 2
        cluster.engine.hold(LAKESIDE)
        late = cluster.create("b")
        with pytest.raises(NotFinalError):
            await cluster.engine.submit(late)
        assert cluster.engine.newest().height == 2
        assert cluster.engine.replica(NORTHGATE).height == 1
        monkeypatch.setattr(embedded, "SUBMIT_TIMEOUT_S", 5)
        waiting = asyncio.create_task(cluster.engine.submit(late))
        await cluster.engine.release(NORTHGATE)
        assert (await waiting).code == ACCEPTED
        await cluster.engine.release(LAKESIDE)
        assert cluster.heights() == {3}
        assert len(cluster.roots()) == 1


async def test_a_held_member_sees_nothing_until_it_is_released(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        seen: list[int] = []
        replica = cluster.engine.replica(NORTHGATE)
        replica.listen(lambda stored: seen.append(stored.header.height))
        cluster.engine.hold(NORTHGATE)
        for name in "ab":
            await cluster.engine.submit(cluster.create(name))
        assert not await replica.reached(2, timeout_s=0.01)
        waiting = asyncio.create_task(replica.reached(3, timeout_s=5))
        await asyncio.sleep(0)
        await cluster.engine.release(NORTHGATE)
        assert await waiting
        assert seen == [2, 3]


@pytest.mark.parametrize("machine", [OtherMachine, FailingMachine])
async def test_a_member_that_contradicts_the_others_halts_alone(tmp_path: Path, machine: type[Machine]) -> None:
    broken = machine(remembering(signatures.verify))
    async with running(tmp_path, machines={"northgate": broken}) as cluster:
        for name in "abc":
            assert (await cluster.engine.submit(cluster.create(name))).code == ACCEPTED
        assert isinstance(cluster.engine.halted[NORTHGATE], DivergedError | CorruptPageError)
        assert cluster.engine.replica(NORTHGATE).height == 2
        assert cluster.engine.newest().height == 4
        assert cluster.engine.failure is None
        votes = cluster.engine.newest().block(4).votes
        assert [vote.validator for vote in votes] == ["mercy", "st-luke", "lakeside"]


async def test_too_many_contradictions_stop_the_engine_and_say_so(tmp_path: Path) -> None:
    broken = OtherMachine(remembering(signatures.verify))
    async with running(tmp_path, machines={"northgate": broken, "lakeside": broken}) as cluster:
        await cluster.engine.submit(cluster.create("a"))
        with pytest.raises(NotFinalError):
            await cluster.engine.submit(cluster.create("b"))
        assert isinstance(cluster.engine.failure, NoQuorumError)
        assert cluster.heights() == {2}
        with pytest.raises(NotFinalError):
            await cluster.engine.submit(cluster.create("c"))


async def test_a_bug_in_a_contract_stops_the_engine_and_leaves_nothing_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    async with running(tmp_path) as cluster:
        root = cluster.engine.newest().state.root()
        message = cluster.network.create(cluster.network.id16("a"))
        monkeypatch.setitem(routes.ROUTES, type(message), fails)
        others = [cluster.engine.submit(cluster.create(name)) for name in "bc"]
        said = await asyncio.gather(
            cluster.engine.submit(cluster.tx("mercy", message)), *others, return_exceptions=True
        )
        assert [type(each) for each in said] == [NotFinalError] * 3
        assert isinstance(cluster.engine.failure, ZeroDivisionError)
        assert cluster.heights() == {1}
        assert cluster.roots() == {root}
        monkeypatch.undo()
        await cluster.engine.stop()
        await cluster.engine.start()
        assert (await cluster.engine.submit(cluster.create("b"))).code == ACCEPTED


async def test_a_listener_that_fails_stops_the_engine_after_the_block_was_kept_by_all(tmp_path: Path) -> None:
    def fails(_: object) -> None:
        raise ZeroDivisionError

    async with running(tmp_path) as cluster:
        cluster.engine.replica(MemberId("mercy")).listen(fails)
        assert (await cluster.engine.submit(cluster.create("a"))).code == ACCEPTED
        await asyncio.sleep(0.01)
        assert isinstance(cluster.engine.failure, ZeroDivisionError)
        assert cluster.heights() == {2}


MEMBERS = ("mercy", "st-luke", "lakeside", "northgate")


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("member", MEMBERS)
async def test_a_crash_at_a_members_write_loses_nothing_acknowledged(tmp_path: Path, member: str, side: str) -> None:
    trap = Trap()
    async with running(tmp_path, trap=trap) as cluster:
        first = await cluster.engine.submit(cluster.create("a"))
        trap.point = f"ledger.{member}.block:{side}"
        tx = cluster.create("b")
        with pytest.raises(NotFinalError):
            await cluster.engine.submit(tx)
        assert isinstance(cluster.engine.failure, CrashError)
    async with running(tmp_path) as cluster:
        assert len(cluster.heights()) == len(cluster.roots()) == 1
        assert (await cluster.engine.receipt(first.tx_id)).result.code == ACCEPTED
        kept = not (member == "mercy" and side == "before")  # Mercy writes first: its crash before keeps nothing.
        assert cluster.engine.newest().height == (4 if kept else 3)
        assert (await cluster.engine.submit(tx)).code == ACCEPTED
        assert len(cluster.roots()) == 1


async def test_a_member_whose_disk_is_full_misses_a_block_and_adopts_it_later(tmp_path: Path) -> None:
    trap = Trap(error=DiskFullError)
    async with running(tmp_path, trap=trap) as cluster:
        trap.point = "ledger.northgate.block:before"
        assert (await cluster.engine.submit(cluster.create("a"))).code == ACCEPTED
        assert cluster.engine.replica(NORTHGATE).height == 1
        assert (await cluster.engine.submit(cluster.create("b"))).code == ACCEPTED
        trap.point = ""
        assert (await cluster.engine.submit(cluster.create("c"))).code == ACCEPTED
        assert cluster.heights() == {4}
        assert not cluster.engine.halted


async def test_a_full_disk_of_the_only_member_is_reported_and_over_once_there_is_room(tmp_path: Path) -> None:
    trap = Trap(error=DiskFullError)
    async with running(tmp_path, network(1), trap=trap) as cluster:
        trap.point = "ledger.mercy.block:before"
        with pytest.raises(NotFinalError):
            await cluster.engine.submit(cluster.create("a"))
        assert cluster.engine.failure is None
        trap.point = ""
        assert (await cluster.engine.submit(cluster.create("a"))).code == ACCEPTED


async def test_a_block_kept_by_one_member_alone_is_not_replaced_by_another(tmp_path: Path) -> None:
    """Whoever is furthest must take part: else a second block could stand at one height."""
    async with running(tmp_path) as cluster:
        mercy = cluster.engine.replica(MemberId("mercy"))
        first = cluster.engine.replica(NORTHGATE).height
        real = cluster.trap.hit

        def only_mercy(point: str) -> None:
            if point.endswith("before") and ".mercy." not in point:
                raise DiskFullError
            real(point)

        cluster.trap.hit = only_mercy  # type: ignore[method-assign]
        assert (await cluster.engine.submit(cluster.create("a"))).code == ACCEPTED
        assert (mercy.height, cluster.engine.replica(NORTHGATE).height) == (first + 1, first)
        cluster.engine.hold(MemberId("mercy"))
        cluster.trap.hit = real  # type: ignore[method-assign]
        waiting = asyncio.create_task(cluster.engine.submit(cluster.create("b")))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await cluster.engine.release(MemberId("mercy"))
        assert (await waiting).code == ACCEPTED
        assert len(cluster.roots()) == 1


async def test_members_that_are_behind_at_the_start_adopt_from_the_furthest(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        cluster.engine.hold(NORTHGATE)
        for name in "abc":
            await cluster.engine.submit(cluster.create(name))
    async with running(tmp_path) as cluster:
        assert cluster.heights() == {5}
        assert len(cluster.roots()) == 1


async def test_block_time_rises_whatever_the_clock_does(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await cluster.engine.submit(cluster.create("a"))
        cluster.now -= 500
        await cluster.engine.submit(cluster.create("b"))
    async with running(tmp_path) as cluster:
        cluster.now = STARTED - 5_000
        assert (await cluster.engine.submit(cluster.create("c", "st-luke"))).code == ACCEPTED
        times = [stored.header.time for stored in cluster.engine.newest().blocks()]
        assert times == sorted(set(times))
        assert len(times) == 5


async def test_heartbeats_change_nothing_but_time(tmp_path: Path) -> None:
    async with running(tmp_path, heartbeat_s=0.01) as cluster:
        root = cluster.engine.newest().header.app_hash
        heights: list[int] = []
        cluster.engine.on_final(lambda stored: heights.append(stored.header.height))
        assert await cluster.engine.replica(NORTHGATE).reached(4, timeout_s=5)
        assert cluster.engine.newest().header.app_hash == root
        assert heights[:2] == [2, 3]
        stored = cluster.engine.newest().block(2)
        assert stored.block.txs == ()
        assert len(stored.votes) == 4


async def test_a_view_is_as_old_as_its_newest_header(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        replica = cluster.engine.newest()
        assert age_ms(replica, cluster.clock) == 0
        cluster.now += 60_000
        assert age_ms(replica, cluster.clock) == 60_000
        assert is_fresh(replica, cluster.clock, 61)
        assert not is_fresh(replica, cluster.clock, 60)
        cluster.now -= 120_000
        assert age_ms(replica, cluster.clock) == 0


async def test_many_submissions_share_blocks(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        txs = [cluster.create(f"cell {number}", MEMBERS[number % 4]) for number in range(200)]
        said = await asyncio.gather(*map(cluster.engine.submit, txs))
        assert {each.code for each in said} == {ACCEPTED}
        assert cluster.engine.newest().height <= 4
        assert len(cluster.roots()) == 1
        for each in said[::20]:
            check_receipt(await cluster.engine.receipt(each.tx_id), cluster.network.genesis)


async def test_a_queue_that_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salus.engines.queue.LINE_BYTES_MAX", 1_000)
    async with running(tmp_path, held=["mercy", "lakeside"]) as cluster:
        txs = [cluster.create(f"{number}") for number in range(8)]
        waiting = [asyncio.create_task(cluster.engine.submit(tx)) for tx in txs]
        await asyncio.sleep(0.02)
        assert any(isinstance(each.exception(), BusyError) for each in waiting if each.done())
        await cluster.engine.release(MemberId("mercy"))
        said = await asyncio.gather(*waiting, return_exceptions=True)
        assert [each for each in said if not isinstance(each, BusyError)]


async def test_a_folder_of_another_network_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(IntegrityError) as caught:
        opened(tmp_path, network(4, seed=b"another"))
    assert caught.value.code == "engine.other_network"
