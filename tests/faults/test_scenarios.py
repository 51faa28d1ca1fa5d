"""Four members in trouble: away, cut off, behind bad lines, set back to yesterday.

Of disks, clocks and vaults tell `test_disks.py`, `test_clocks.py` and `test_vaults.py`.
"""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from salus.core.ids import MemberId
from salus.node.backup.marks import restored_at
from salus.node.backup.putting_back import put_back
from salus.node.backup.taking import take
from salus.node.folder import member_folder
from salus.node.observing.asking import asked
from salus.node.site import read_site
from tests.faults.chain import Load, check
from tests.faults.client import Answer, Client
from tests.faults.members import members
from tests.faults.part import KILLED, Plan
from tests.faults.people import admitted, observations, reading
from tests.faults.proxy import FAIR, HALF_OPEN, Weather
from tests.faults.stage import Stage, long, staged
from tests.support.apart import apart, needs_cometbft

pytestmark = needs_cometbft

WRITES_MAX = 8


async def test_with_one_member_down_everything_goes_on(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        await on.net.down("northgate")
        await on.write("meanwhile", "mercy", "lakeside")
        await on.grant("st-luke")
        assert await on.person.seen("clinician@st-luke") == on.sources
        await on.revoke("st-luke")
        await on.net.up("northgate")
        await on.check()


async def test_with_two_down_it_stops_says_so_shows_own_records_and_resumes(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        await on.person.record("clinician@mercy")  # Who is employed needs the ledger once.
        await on.net.down("lakeside")
        await on.net.down("northgate")
        words = ("consent", "grant", "--as", on.person.name, "--to", "st-luke", "--for", "TREAT")
        frozen = ("consent", "freeze", "--as", on.person.name)
        own = ("read", "--as", "clinician@mercy", "--patient", "1")
        refused, plain, stopped, read, told = await asyncio.gather(
            on.client.once(*words, "--json"),
            on.client.once(*words),
            on.client.once(*frozen),
            on.client.once(*own, "--json"),
            on.client.once(*own),
        )
        assert (refused.code, plain.code, stopped.code) == (5, 5, 5)
        assert refused.error in ("engine.not_final", "sdk.too_few_seats")
        assert "Bring" in plain.err
        assert "the same command can be repeated" in plain.err
        assert "Bring them back; the same command can be repeated." in stopped.err
        assert (read.code, read.json["is_stale"]) == (0, True)
        assert {document["author"] for document in read.json["documents"]} == {"mercy"}
        assert "Stale: the network did not answer" in told.err
        await on.net.up("lakeside")
        await on.net.up("northgate")
        await on.write("later", "mercy")  # Whatever waited is final, or can be no more.
        shown = await on.client.done("consent", "show", "--as", on.person.name)
        if shown["status"] == "frozen":
            await on.client.done("consent", "thaw", "--as", on.person.name)
        await on.grant("st-luke")
        assert await on.person.seen("clinician@st-luke") == on.sources
        await on.check()


@pytest.mark.parametrize("away", [("lakeside", "northgate"), pytest.param(("northgate",), marks=long)])
async def test_a_partition_heals(away: tuple[str, ...], tmp_path: Path) -> None:
    async with members(tmp_path, proxied=True) as net:
        await net.start(("ledger",))
        load = Load(net)
        load.start()
        await asyncio.sleep(1.0)
        net.partition([name for name in net.names if name not in away], away)
        await asyncio.sleep(1.0)
        before, heights = len(load.acknowledged), await net.heights()
        await asyncio.sleep(4.0)
        went_on = len(load.acknowledged) > before
        assert went_on is (len(away) == 1), "Two of four must not go on, three must."
        assert await net.height(away[0]) == heights[away[0]], "Who is cut off holds no new block."
        net.partition()
        await net.level()
        before = len(load.acknowledged)
        await asyncio.wait_for(load.stop(), 60.0)
        assert len(load.acknowledged) >= before
        await load.write("mercy", net.names)
        await check(net, load)


WEATHERS = {
    "200 ms and 2 % loss": Weather(delay_s=0.2, jitter_s=0.02, loss=0.02),
    "narrow": Weather(bytes_per_s=60_000),
    "shuffled": Weather(delay_s=0.02, shuffle_s=0.5),
}


@pytest.mark.parametrize("name", [next(iter(WEATHERS)), *(pytest.param(n, marks=long) for n in list(WEATHERS)[1:])])
async def test_it_works_over_bad_lines(name: str, tmp_path: Path) -> None:
    async with staged(tmp_path, proxied=True) as on:
        for link in on.net.links.values():
            link.weather = WEATHERS[name]
        await on.write("far", "st-luke")
        await on.grant("northgate")
        assert await on.person.seen("clinician@northgate") == on.sources
        for link in on.net.links.values():
            link.weather = FAIR
        await on.check()


@long
async def test_a_half_open_line_is_noticed_and_gone_around(tmp_path: Path) -> None:
    async with staged(tmp_path, proxied=True) as on:
        for pair, link in on.net.links.items():
            if "northgate" in pair:
                link.weather = HALF_OPEN
        await on.write("meanwhile", "mercy")
        await on.grant("st-luke")
        assert await on.person.seen("clinician@st-luke") == on.sources
        on.net.partition()
        for link in on.net.links.values():
            link.weather = Weather(is_cut=True)  # What swallowed bytes is beyond mending: both ends must dial anew.
        await asyncio.sleep(0.1)
        on.net.partition()
        await on.check()


STEPS = ("keeper.deposit", "vault.pack", "log.append")
KILLED_AT = [f"{step}:{when}" for step in STEPS for when in ("before", "after")]  # Not kept; kept, and not answered.


@pytest.mark.parametrize(
    "point", [KILLED_AT[1], *(pytest.param(p, marks=long) for p in KILLED_AT if p != KILLED_AT[1])]
)
async def test_a_killed_keeper_is_missed_by_nobody_and_gets_what_it_missed(point: str, tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        await on.net.replace("northgate", Plan(point=point), ("keeper",))
        for number in range(WRITES_MAX):  # Not every document lies in its vault.
            await on.write(f"before-{number}", "mercy")
            assert await on.person.seen(on.person.name, via="mercy") == on.sources
            if not on.net.is_up("keeper", "northgate"):
                break
        assert await on.net.ended("keeper", "northgate") == KILLED, f"It was not killed at {point}."
        await on.write("meanwhile", "mercy")
        assert await on.person.seen(on.person.name) == on.sources
        await on.net.up("northgate")
        await on.net.kill("keeper", "mercy")  # Now the returned one is needed for each threshold.
        assert await on.person.seen(on.person.name, via="lakeside") == on.sources
        await on.net.up("mercy")
        assert (await on.client.done("log", "--as", on.person.name))["faults"] == []
        await on.check()


@long
async def test_a_keeper_set_back_to_an_old_copy_gives_nothing_that_was_taken_back_since(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        folder = member_folder(tmp_path, MemberId("northgate"))
        await on.grant("st-luke")
        assert await on.person.seen("clinician@st-luke") == on.sources
        await on.net.stop_one("keeper", "northgate")
        copy = {path: path.read_bytes() for path in folder.glob("keeper.db*")}
        await on.net.start_one("keeper", "northgate")
        await on.net.serves("keeper", "northgate")
        await on.revoke("st-luke")
        await on.net.stop_one("keeper", "northgate")
        for path in folder.glob("keeper.db*"):
            path.unlink()
        for path, data in copy.items():
            path.write_bytes(data)
        await on.net.start_one("keeper", "northgate")
        await on.net.serves("keeper", "northgate")
        await on.net.kill("keeper", "mercy")  # So that the one set back is needed for each threshold.
        own = {source for source in on.sources if "-st-luke-" in source}
        assert await on.person.seen("clinician@st-luke") == own
        await on.net.start_one("keeper", "mercy")
        await on.net.serves("keeper", "mercy")
        await on.check()


async def checks_of(port: int) -> dict[str, bool]:
    """What a process says of itself; nothing while it does not answer."""
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient() as client:
            found: dict[str, bool] = (await client.get(f"http://127.0.0.1:{port}/readyz")).json()["checks"]
            return found
    return {}


async def until(port: int, name: str, holds: bool, timeout_s: float = 120.0) -> None:
    """Wait until a process says this of itself."""
    async with asyncio.timeout(timeout_s):
        while True:
            if (await checks_of(port)).get(name) is holds:
                return
            await asyncio.sleep(0.1)


@long
async def test_a_member_restored_from_its_backup_serves_only_once_it_has_caught_up(tmp_path: Path) -> None:
    home, backup, lost = tmp_path / "home", tmp_path / "backup", MemberId("northgate")
    async with staged(home) as on:
        await on.grant("st-luke")
        assert await on.person.seen("clinician@st-luke") == on.sources
        await asyncio.to_thread(take, home, backup, [lost], passphrase="correct horse battery")  # While it runs.
        await on.revoke("st-luke")
        await on.write("later", "mercy", "northgate")
        for part, name in (("keeper", lost), ("ledger", lost), ("gateway", "")):
            await on.net.kill(part, name)
        on.net.followers.pop(lost).close() if lost in on.net.followers else None
        shutil.rmtree(member_folder(home, lost))
        await asyncio.to_thread(put_back, backup, home, passphrase="correct horse battery")
        site = read_site(member_folder(home, lost))
        await on.net.start_one("ledger", lost)
        await until(site.ledger_operator, f"{lost}.ledger.votes", False)
        await on.net.start_one("keeper", lost)
        await until(site.keeper_operator, f"{lost}.keeper.reconciled", False)
        await on.net.start_one("gateway")
        await on.net.serves("gateway")
        own = {source for source in on.sources if "-st-luke-" in source}
        assert await on.person.seen("clinician@st-luke") == own
        await until(site.keeper_operator, f"{lost}.keeper.reconciled", True)
        await on.net.kill("keeper", "mercy")  # So that the restored one is needed for each threshold.
        assert await on.person.seen("clinician@st-luke") == own
        await on.net.start_one("keeper", "mercy")
        await on.net.serves("keeper", "mercy")
        await on.write("after", "northgate")
        await on.check()
        assert restored_at(member_folder(home, lost)) is None, "It votes again."
        assert not any(member["suspended"] for member in (await on.client.done("members"))["members"])


@long
async def test_a_rolling_restart_under_load_fails_no_request(tmp_path: Path) -> None:
    async with members(tmp_path) as net:
        with apart(tmp_path):
            client = Client(tmp_path)
            person, sources = await admitted(tmp_path, client, 1, tuple(net.names))
            on, ending = Stage(net, client, person, sources), asyncio.Event()
            workers = [asyncio.create_task(work(on, ending)) for work in (writes, reads, grants_and_revokes)]
            for name in net.names:
                await restarted(tmp_path, f"ledger-{name}", f"keeper-{name}")
            await restarted(tmp_path, "gateway")
            ending.set()
            done = await asyncio.gather(*workers)
            assert min(done) >= 3, "There was load."
            await on.check()


async def restarted(folder: Path, *names: str) -> None:
    """End processes as docs/operating.md does it, and wait until their supervisor has brought all of them up."""
    before = {name: pid_of(folder, name) for name in names}
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(120.0):
        while True:
            others = all(pid_of(folder, name) not in (0, before[name]) for name in names)
            if others and (await asked(folder)).status.is_ready:
                return
            await asyncio.sleep(0.2)


def pid_of(folder: Path, name: str) -> int:
    """Of a supervised process; 0 where none runs."""
    with suppress(OSError, IndexError):
        return int((folder / "run" / f"{name}.pid").read_text().split()[0])
    return 0


async def writes(on: Stage, ending: asyncio.Event) -> int:
    """Take documents in at one member after the other until it is over, each with one command; how often."""
    done = 0
    while not ending.is_set():
        path, sources = on.person.bundle(f"load-{done}", (on.net.names[done % 4],))
        assert_done(await on.client.typed("import", str(path), "--json"))
        on.sources |= set(sources)
        done += 1
    return done


async def reads(on: Stage, ending: asyncio.Event) -> int:
    """Read through one member after the other until it is over; how often. Nothing is old, nothing is missing."""
    done = 0
    while not ending.is_set():
        before = set(on.sources)
        words = reading(on.person, on.person.name, on.net.names[done % 4])
        record = assert_done(await on.client.typed("read", *words, "--json"))
        told = {name: value for name, value in record.items() if name != "documents"}
        assert (record["is_stale"], record["gaps"]) == (False, []), (words, told)
        assert observations(record) >= before
        done += 1
    return done


async def grants_and_revokes(on: Stage, ending: asyncio.Event) -> int:
    """Change the rules until it is over; how often."""
    done = 0
    while not ending.is_set():
        words, more = (("grant", ("--for", "TREAT")), ("revoke", ()))[done % 2]
        who = ("--as", on.person.name, "--to", "st-luke")
        assert_done(await on.client.typed("consent", words, *who, *more, "--json"))
        done += 1
    return done


def assert_done(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, f"{answer.code}: {answer.out} {answer.err}"
    said: dict[str, Any] = answer.json
    return said


@long
async def test_a_stopped_process_is_waited_for_by_nobody(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        on.net.freeze("northgate")
        await on.write("meanwhile", "st-luke")
        assert await on.person.seen(on.person.name, via="mercy") == on.sources
        on.net.freeze("northgate", is_frozen=False)
        await on.check()


@long
async def test_a_validator_leaves_and_returns_under_load(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        load = Load(on.net)
        load.start()
        for words in (("northgate", "--stop"), ("northgate",)):
            said = await on.client.done("propose", "validator", *words, "--as", "mercy")
            proposal = str(said.get("proposal") or said["id"])
            for voter in ("st-luke", "lakeside"):
                await on.client.done("vote", proposal, "--as", voter)
            before = len(load.acknowledged)
            await load.write("lakeside", ["lakeside"])
            assert len(load.acknowledged) > before
            if "--stop" in words:
                await on.net.kill("ledger", "northgate")  # It counts no longer: three of three go on.
                await load.write("mercy", ["mercy"])
                await on.net.start_one("ledger", "northgate")
                await on.net.serves("ledger", "northgate")
        await load.stop()
        await check(on.net, load)
