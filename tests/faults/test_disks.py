"""One of four members with a disk that is slow, or full: that it is so is looked at first, then what must hold."""

import asyncio
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from salus.core.ids import MemberId
from salus.engines.cometbft.supervisor import LOG_FILE
from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER
from salus.node.folder import member_folder
from tests.faults.chain import Load, check
from tests.faults.figures import shows
from tests.faults.members import Members, members
from tests.faults.part import Plan
from tests.faults.people import reading
from tests.faults.slow_disk import slowed
from tests.faults.stage import Stage, long, staged
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

VICTIM = "northgate"
VERY_SLOW_S, SLOW_S = "0.3", "0.03"  # A block takes eight of these and more: it cannot keep up, or just so.
BEHIND = 4  # Blocks; members whose disks are alike differ by one or two.
SMALL_BYTES = 3 << 20
ROOM_BYTES = 24 << 20


async def test_a_slow_disk_slows_its_member_alone(tmp_path: Path) -> None:
    sync_s = tmp_path / "sync_s"
    sync_s.write_text(VERY_SLOW_S)
    async with staged(tmp_path / "network") as on:
        await on.net.replace(VICTIM, Plan(sync_s=str(sync_s)))
        load = Load(on.net)
        load.start()
        await falls_behind(on.net, VICTIM)
        await load.stop()
        await on.write("meanwhile", "mercy", VICTIM)
        await on.grant("st-luke")
        record = await on.person.record("clinician@st-luke")
        assert record["accusations"] == [], "To be slow is no lie."
        assert await on.person.seen("clinician@st-luke") == on.sources
        better = tmp_path / "better"
        better.write_text(SLOW_S)
        better.replace(sync_s)
        await on.net.level(timeout_s=120.0)
        await on.net.kill("keeper", "mercy")  # So that the slow one is needed for each threshold.
        assert await on.person.seen("clinician@st-luke") == on.sources
        await on.revoke("st-luke")
        assert await on.person.seen("clinician@st-luke") == {s for s in on.sources if "-st-luke-" in s}
        await on.net.up("mercy")
        for part, program in (("ledger", "salus-engine"), ("ledger", "python"), ("keeper", "python")):
            found = slowed(Path(f"{sync_s}-{part}"))
            assert any(name.startswith(program) for name in found), f"No slow sync of the {part}: {found}"
        await check(on.net, load)
        await on.check()


async def falls_behind(net: Members, name: str) -> None:
    """Wait until a member is further behind than one with a good disk ever is, while the others go on."""
    async with asyncio.timeout(120.0):
        while True:
            heights = await net.heights()
            if max(heights.values()) >= heights[name] + BEHIND:
                return
            await asyncio.sleep(0.2)


class Disk:
    """A keeper's disk that a test fills and clears while the keeper runs."""

    def __init__(self, fill: Callable[[], None], clear: Callable[[], None]) -> None:
        self.fill = fill
        self.clear = clear


@contextmanager
def files_that_cannot_grow(net: Members) -> Iterator[Disk]:
    """No file of the keeper's process grows, its log among them. Needs no rights."""
    process_id = net.processes["keeper", VICTIM].pid
    _, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    yield Disk(
        lambda: resource.prlimit(process_id, resource.RLIMIT_FSIZE, (1, hard)) and None,
        lambda: resource.prlimit(process_id, resource.RLIMIT_FSIZE, (hard, hard)) and None,
    )


@contextmanager
def small_disk(folder: Path, size_bytes: int = ROOM_BYTES) -> Iterator[None]:
    """A file system of its own in a folder, with little room; needs root and the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    options = ["-t", "tmpfs", "-o", f"size={size_bytes}", "salus-small", str(folder)]
    done = mounted and subprocess.run(["mount", *options], check=False)
    if not done or done.returncode:
        pytest.skip("NOT TESTED: nothing can be mounted here; the other form of this test limits the size of files")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill_up(folder: Path) -> None:
    """Write until there is no room left."""
    with (folder / "ballast").open("ab", buffering=0) as file:
        for size_bytes in (1 << 20, 4_096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size_bytes))
    assert shutil.disk_usage(folder).free == 0


@contextmanager
def no_room(net: Members) -> Iterator[Disk]:
    """The keeper's database and its vault lie on a file system of their own."""
    place = member_folder(net.folder, MemberId(VICTIM))
    small = place / "small"
    with small_disk(small):
        for path in (*place.glob("keeper.db*"), place / "vault"):
            shutil.move(path, small / path.name)
            path.symlink_to(small / path.name)
        yield Disk(lambda: fill_up(small), (small / "ballast").unlink)


@pytest.mark.parametrize("how", [files_that_cannot_grow, pytest.param(no_room, marks=long)])
async def test_a_keeper_on_a_full_disk_releases_nothing_and_goes_on_when_there_is_room(
    how: Callable[[Members], AbstractContextManager[Disk]], tmp_path: Path
) -> None:
    async with staged(tmp_path / "network") as on:
        if how is no_room:
            await on.net.stop_one("keeper", VICTIM)
        with how(on.net) as disk:
            if how is no_room:
                await on.net.up(VICTIM)
            await on.write("before", "mercy")
            process_id = on.net.processes["keeper", VICTIM].pid
            disk.fill()
            await it_is_refused_and_others_go_on(on)
            disk.clear()
            await on.net.kill("keeper", "mercy")  # So that the one on the disk is needed for each threshold.
            assert await on.person.seen(on.person.name, via="lakeside") == on.sources, "It has what it missed."
            await on.net.up("mercy")
            assert on.net.is_up("keeper", VICTIM)
            assert on.net.processes["keeper", VICTIM].pid == process_id, "It went on by itself."
            log = await on.client.done("log", "--as", on.person.name)
            assert log["faults"] == []
            await on.check()
            await on.net.kill("keeper", VICTIM)


async def it_is_refused_and_others_go_on(on: Stage) -> None:
    """What is acknowledged the others hold; where the full one is needed, nothing leaves without a line in its log."""
    await on.write("meanwhile", "mercy")
    assert await on.person.seen(on.person.name, via="mercy") == on.sources
    await shows(on.net, "keeper", VICTIM, "refusals_total", code="keeper.disk")
    await on.net.kill("keeper", "mercy")
    answer = await on.client.once("read", *reading(on.person, on.person.name, "lakeside"), "--json")
    assert (answer.code, answer.json["is_stale"]) == (0, True)
    assert {document["author"] for document in answer.json["documents"]} == {"lakeside"}, "Its own, and no other."
    await on.net.up("mercy")


@long
async def test_a_ledger_whose_files_cannot_grow_stops_and_comes_back_when_there_is_room(tmp_path: Path) -> None:
    async with members(tmp_path) as net:
        await net.start(("ledger",))
        await net.replace(VICTIM, Plan(file_bytes_max=SMALL_BYTES), ("ledger",))
        load = Load(net)
        load.start(pause_s=0.005, writers=12)
        assert await net.ended("ledger", VICTIM, timeout_s=180.0) == 1
        engine = member_folder(tmp_path, MemberId(VICTIM)) / ENGINE_FOLDER / LOG_FILE
        assert "data/cs.wal/wal: file too large" in engine.read_text(), "Its engine's journal grows fastest."
        await it_comes_back(net, load)


@long
async def test_a_ledger_on_a_full_disk_stops_and_comes_back_when_there_is_room(tmp_path: Path) -> None:
    async with members(tmp_path) as net:
        ledger = member_folder(tmp_path, MemberId(VICTIM)) / LEDGER_FOLDER
        with small_disk(ledger):
            await net.start(("ledger",))
            load = Load(net)
            load.start(pause_s=0.02)
            await net.reaches(5)
            fill_up(ledger)
            assert await net.ended("ledger", VICTIM, timeout_s=120.0) == 1
            assert "engines.disk_full" in net.said("ledger", VICTIM)
            (ledger / "ballast").unlink()
            await it_comes_back(net, load)
            await net.kill("ledger", VICTIM)


async def it_comes_back(net: Members, load: Load) -> None:
    """The others went on without it; with room again, it is level with them."""
    before = len(load.acknowledged)
    await load.write("mercy", ["mercy"])
    assert len(load.acknowledged) > before, "The others go on."
    await net.start_one("ledger", VICTIM)
    await load.stop()
    await check(net, load)
