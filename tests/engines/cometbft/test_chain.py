"""A real CometBFT orders what members submit: final, kept across deaths, equal everywhere, seen by other processes."""

import asyncio
import os
import signal
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from salus.core.errors import MalformedError
from salus.core.wire import encode
from salus.engines.agreement import NotFinalError
from salus.engines.check import check_folder, check_ledger
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine, LinkLostError, LinkMalformedError
from salus.engines.cometbft.supervisor import EngineEndedError
from salus.engines.cometbft.unit import LEDGER_FOLDER, LedgerUnit
from salus.engines.follower import Follower
from salus.engines.lmdb_errors import FolderInUseError
from salus.engines.lmdb_store import LmdbStore
from salus.machine.block import ACCEPTED
from salus.machine.errors import TooLargeError
from tests.engines.cluster import CrashError, Trap
from tests.engines.cometbft.real import needs_engine, prepared, running, running_again

pytestmark = needs_engine

ROOT = Path(__file__).resolve().parents[3]
FOLLOWER = """
    import asyncio, sys
    from pathlib import Path
    from salus.contracts.members.messages import Genesis
    from salus.core.wire import decode
    from salus.engines.cometbft.link import LinkEngine, follow
    from salus.engines.follower import Follower

    async def main():
        folder = Path(sys.argv[1])
        genesis = decode(Genesis, (folder / "genesis").read_bytes())
        follower = Follower("mercy", genesis, folder / "ledger")
        heights, halves = [], []
        def heard(stored):
            heights.append(stored.header.height)
            if follower.state.root() != follower.header.app_hash:
                halves.append(stored.header.height)
        follower.listen(heard)
        first = follower.height + 1
        following = asyncio.create_task(follow(follower, folder / "link.sock"))
        engine = LinkEngine(folder / "link.sock", lambda data: data)
        done = await engine.submit((folder / "tx").read_bytes())
        print(done.code, await follower.reached(done.height, 10.0), follower.inclusion(done.tx_id) == done)
        print(len(follower.accepted(done.height)), (await engine.status()).height >= done.height)
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        seen = await follower.reached(int(sys.argv[2]), 10.0)
        print(seen, halves, heights == list(range(first, follower.height + 1)))
        following.cancel()
        await engine.close()
        follower.close()

    asyncio.run(main())
"""

APPLICATION = """
    import asyncio, sys, time
    from pathlib import Path
    from salus.contracts.members.messages import Genesis
    from salus.core.wire import decode
    from salus.engines.cometbft.config import EngineSettings
    from salus.engines.cometbft.unit import LedgerUnit, UnitSettings

    async def main():
        folder = Path(sys.argv[1])
        genesis = decode(Genesis, (folder / "genesis").read_bytes())
        engine = EngineSettings(listen=sys.argv[3])
        clock = lambda: time.time_ns() // 1_000_000
        own = UnitSettings("mercy", folder / "mercy", genesis, bytes.fromhex(sys.argv[2]), clock, engine)
        async with LedgerUnit(own) as unit:
            done = await unit.engine.submit((folder / "tx").read_bytes())
            print(done.height, unit.supervisor.process_id, flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
"""


async def test_one_member_alone_makes_transactions_final(tmp_path: Path) -> None:
    async with running(tmp_path) as chain:
        engine, replica = chain["mercy"].engine, chain["mercy"].replica
        with pytest.raises(MalformedError):
            await engine.submit(b"")
        large = chain.tx("mercy", *[chain.network.create(chain.network.id16(i)) for i in range(1_200)])
        with pytest.raises(TooLargeError):
            await engine.submit(large)
        tx = chain.create("a")
        first, second = await asyncio.gather(engine.submit(tx), engine.submit(tx))
        assert first == second
        assert first.code == ACCEPTED
        assert await engine.submit(tx) == first  # Answered from the ledger.
        assert (await engine.submit(chain.create("a"))).code == "cells.exists"  # The check says so.
        twice = [
            chain.tx("mercy", chain.network.create(chain.network.id16("b")), valid_ms=ms) for ms in (60_000, 90_000)
        ]
        one, other = await asyncio.gather(*map(engine.submit, twice))
        assert {one.code, other.code} == {ACCEPTED, "cells.exists"}  # And the block, where both passed the check.
        assert replica.block(one.height).header == replica.block(other.height).header
        assert check_ledger(replica, signed=False).is_sound
        assert [d.what for d in check_ledger(replica).differences] == ["votes"]


async def test_an_idle_chain_makes_heartbeats_and_one_proof_block_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path, heartbeat_s=1.0) as chain:
        engine, replica = chain["mercy"].engine, chain["mercy"].replica
        done = await engine.submit(chain.create("a"))
        assert await replica.reached(done.height + 3, 20.0)
        gaps = [
            replica.block(h).header.time - replica.block(h - 1).header.time
            for h in range(1, replica.height + 1)
            if h > 1
        ]
        roots = {replica.block(height).header.app_hash for height in range(done.height, replica.height + 1)}
        assert len(roots) == 1
        # Block time is that of the votes for the block before: heartbeats show one block later.
        assert all(gap >= 900 for gap in gaps[done.height + 1 :]), gaps


async def test_another_process_follows_whole_blocks_and_submits(tmp_path: Path) -> None:
    async with running(tmp_path) as chain:
        unit = chain["mercy"]
        await unit.engine.submit(chain.create("first"))
        folder = unit.settings.folder
        (folder / "genesis").write_bytes(encode(chain.network.genesis))
        (folder / "tx").write_bytes(chain.create("a"))
        until = unit.replica.height + 20
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            textwrap.dedent(FOLLOWER),
            str(folder),
            str(until),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert await process.stdout.readline() == b"ok True True\n"
        assert await process.stdout.readline() == b"1 True\n"
        while unit.replica.height < until:
            await unit.engine.submit(chain.create(f"more {unit.replica.height}"))
        said, _ = await process.communicate(b"\n")
        assert said == b"True [] True\n"


async def test_the_link_answers_with_codes_and_hangs_up_on_what_is_no_request(tmp_path: Path) -> None:
    async with running(tmp_path) as chain:
        path = chain["mercy"].settings.folder / LINK_SOCKET
        assert path.stat().st_mode & 0o077 == 0
        engine = LinkEngine(path, lambda data: data)
        with pytest.raises(LinkMalformedError):
            await engine.submit(b"nothing")
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"\x04oops")
        assert await reader.read() == b""
        writer.close()
        assert (await engine.submit(chain.create("a"))).code == ACCEPTED
        await engine.close()


async def test_a_ledger_process_that_starts_again_costs_no_submission_and_one_that_stays_away_is_said(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as chain:
        path = chain["mercy"].settings.folder / LINK_SOCKET
        engine, hasty = LinkEngine(path, lambda data: data), LinkEngine(path, lambda data: data, patience_s=0.5)
        assert (await engine.submit(chain.create("before"))).code == ACCEPTED
        sent = [asyncio.create_task(engine.submit(chain.create(f"meanwhile {n}"))) for n in range(5)]
        await chain.stop("mercy")
        sent += [asyncio.create_task(engine.submit(chain.create(f"away {n}"))) for n in range(5)]
        with pytest.raises(LinkLostError):
            await hasty.submit(chain.create("hasty"))
        await chain.start("mercy")
        assert {done.code for done in await asyncio.gather(*sent)} == {ACCEPTED}
        await engine.close()
        await hasty.close()


async def test_four_members_agree_and_one_that_was_away_catches_up(tmp_path: Path) -> None:
    async with running(tmp_path, 4) as chain:
        names = list(chain.units)
        sent = [(name, chain.create(f"{name} {n}", sponsor=name)) for n in range(10) for name in names]
        done = await asyncio.gather(*(chain[name].engine.submit(tx) for name, tx in sent))
        assert {each.code for each in done} == {ACCEPTED}
        await chain.stop("northgate")
        there = await asyncio.gather(
            *(chain[n].engine.submit(chain.create(f"{n} again", sponsor=n)) for n in names[:3])
        )
        assert {each.code for each in there} == {ACCEPTED}
        await chain.start("northgate")
        assert await chain["northgate"].replica.reached(chain["mercy"].replica.height, 15.0)
        late = await chain["northgate"].engine.submit(chain.create("late", sponsor="northgate"))
        assert late.code == ACCEPTED
        height = await chain.level()
        assert len({encode(unit.replica.block(height)) for unit in chain.units.values()}) == 1
        reports = [check_ledger(unit.replica, signed=False) for unit in chain.units.values()]
        assert all(report.is_sound and report.transactions >= 44 for report in reports)
        await chain.stop("northgate", "lakeside")
        chain["mercy"].engine.patience_s = 2.0
        with pytest.raises(NotFinalError):
            await chain["mercy"].engine.submit(chain.create("alone"))


@pytest.mark.parametrize("database", ["blockstore.db", "state.db", "evidence.db"])
@pytest.mark.parametrize("left", [("LOCK", "LOG", "MANIFEST-000000"), ("CURRENT.0", "LOCK", "LOG", "MANIFEST-000000")])
async def test_an_engine_killed_while_it_made_a_database_begins_again(
    tmp_path: Path, database: str, left: tuple[str, ...]
) -> None:
    """What SIGKILL left in one case of four, within 30 ms of the first file: CometBFT never opens it again."""
    chain = prepared(tmp_path)
    unborn = tmp_path / "mercy" / "engine" / "data" / database
    unborn.mkdir(parents=True)
    for name in left:
        (unborn / name).touch()
    async with running_again(chain) as unit:
        assert (await unit.engine.submit(chain.create("after"))).code == ACCEPTED


async def test_a_killed_engine_fails_the_unit_and_nothing_is_lost(tmp_path: Path) -> None:
    chain = prepared(tmp_path)
    await chain.start()
    unit = chain["mercy"]
    done = await unit.engine.submit(chain.create("a"))
    assert unit.supervisor.process_id is not None
    os.kill(unit.supervisor.process_id, signal.SIGKILL)
    assert isinstance(await asyncio.wait_for(unit.failed(), 20.0), EngineEndedError)
    await chain.stop()
    async with running_again(chain) as unit:
        assert unit.replica.inclusion(done.tx_id) == done
        assert (await unit.engine.submit(chain.create("b"))).code == ACCEPTED


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_application_that_fails_in_a_block_ends_the_unit_and_the_block_is_replayed(
    tmp_path: Path, moment: str
) -> None:
    chain = prepared(tmp_path)
    trap = Trap()
    chain.settings = {name: replace(each, faults=trap) for name, each in chain.settings.items()}
    await chain.start()
    unit = chain["mercy"]
    await unit.engine.submit(chain.create("a"))
    trap.point = f"ledger.mercy.block:{moment}"
    last = chain.create("b")
    waiting = asyncio.create_task(unit.engine.submit(last))
    assert isinstance(await asyncio.wait_for(unit.failed(), 20.0), CrashError)
    code = await asyncio.wait_for(unit.supervisor.ended(), 20.0)
    assert code in (0, 70)  # It follows its application and calls that a success, unless consensus failed before.
    await chain.stop()
    with pytest.raises(NotFinalError):
        await waiting
    trap.point = ""
    async with running_again(chain) as unit:
        assert (await unit.engine.submit(last)).code == ACCEPTED
        assert check_ledger(unit.replica, signed=False).is_sound


def _is_alive(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


async def test_a_killed_application_takes_its_engine_along_and_comes_back(tmp_path: Path) -> None:
    chain = prepared(tmp_path)
    settings = next(iter(chain.settings.values()))
    (tmp_path / "genesis").write_bytes(encode(chain.network.genesis))
    (tmp_path / "tx").write_bytes(chain.create("a"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(APPLICATION),
        str(tmp_path),
        settings.validator_seed.hex(),
        settings.engine.listen,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert process.stdout is not None
    height, engine = map(int, (await process.stdout.readline()).split())
    process.kill()
    await process.wait()
    for _ in range(200):
        if not _is_alive(engine):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("CometBFT outlived its application")
    async with running_again(chain) as unit:
        again = await unit.engine.submit((tmp_path / "tx").read_bytes())
        assert (again.height, again.code) == (height, ACCEPTED)
        assert (await unit.engine.submit(chain.create("b"))).code == ACCEPTED


async def test_a_ledger_is_read_beside_its_writer_and_written_by_one_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as chain:
        settings = chain["mercy"].settings
        with pytest.raises(FolderInUseError):
            LedgerUnit(settings)
    report = check_folder(settings.folder / LEDGER_FOLDER, settings.member, settings.genesis, signed=False)
    assert report.is_sound
    with LmdbStore(settings.folder / LEDGER_FOLDER, read_only=True) as store, pytest.raises(RuntimeError):
        store.write().__enter__()
    follower = Follower(settings.member, settings.genesis, settings.folder / LEDGER_FOLDER)
    assert follower.height == report.height
    follower.close()
