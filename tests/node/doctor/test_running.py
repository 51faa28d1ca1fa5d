"""What is wrong with members that run as processes of their own: caused for real, one process at a time."""

import asyncio
import dataclasses
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from salus.cli.commands.doctor import examined
from salus.core.ids import MemberId
from salus.core.wire import replace
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import address_of
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.supervisor import BINARY_VARIABLE
from salus.engines.cometbft.unit import engine_rpc
from salus.node.doctor import engine
from salus.node.doctor.case import cases_in, with_ledger
from salus.node.doctor.examining import Examined
from salus.node.folder import found_apart, usual_names
from salus.node.http.certificates import load_own, make_own
from salus.node.observing import judging
from salus.node.settings import system_clock
from salus.node.site import Site, host_and_port, read_site, write_site
from tests.faults.members import Members, members
from tests.node.doctor.conftest import Codes, codes_of
from tests.support.apart import needs_cometbft

NORTHGATE = MemberId("northgate")
OTHERS = ("mercy", "st-luke", "lakeside")


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """Four members that would run apart, and never did."""
    found_apart(tmp_path / "network", usual_names(4))
    return tmp_path / "network"


def site_of(folder: Path, member: str = NORTHGATE) -> Site:
    """Where a member listens."""
    return read_site(folder / "members" / member)


@needs_cometbft
async def test_members_that_never_ran_are_well(still: Path) -> None:
    assert (await examined(still)).findings == ()


@asynccontextmanager
async def listening(address: str, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Some other program at an address."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, *host_and_port(address), ssl=context)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


@needs_cometbft
async def test_a_port_that_another_program_has_is_found_before_the_start(still: Path) -> None:
    async with listening(site_of(still).keeper):
        result = await examined(still)
    assert codes_of(result) == {("port.taken", "northgate")}
    assert str(host_and_port(site_of(still).keeper)[1]) in result.findings[0].what


@needs_cometbft
async def test_a_port_that_nobody_here_uses_may_be_anybodys(still: Path) -> None:
    """One process holds all gateways of a folder, and is asked at the first one's port."""
    async with listening(f"127.0.0.1:{site_of(still).gateway_operator}"):
        assert (await examined(still)).findings == ()
    async with listening(f"127.0.0.1:{site_of(still, 'mercy').gateway_operator}"):
        assert codes_of(await examined(still)) == {("port.taken", "mercy")}


async def test_an_engine_that_is_not_installed_is_found(still: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, str(still / "nowhere"))
    assert {code for code, _ in codes_of(await examined(still))} == {"engine.missing"}


@pytest.mark.parametrize(("says", "code"), [("echo v1.0.1", "engine.version"), ("exit 1", "engine.broken")])
async def test_an_engine_of_another_version_or_none_is_found(
    still: Path, monkeypatch: pytest.MonkeyPatch, says: str, code: str
) -> None:
    binary = still / "engine"
    binary.write_text(f"#!/bin/sh\n{says}\n")
    binary.chmod(0o755)
    monkeypatch.setenv(BINARY_VARIABLE, str(binary))
    assert {found for found, _ in codes_of(await examined(still))} == {code}


@needs_cometbft
async def test_addresses_and_node_keys_that_do_not_read_are_found(still: Path) -> None:
    (still / "members/mercy/member.toml").write_text("")
    (still / "members/st-luke/engine/config/node_key.json").unlink()
    assert codes_of(await examined(still)) == {("site.unreadable", "mercy"), ("keys.node_missing", "st-luke")}


@needs_cometbft
async def test_what_cannot_be_checked_is_said_and_nothing_else_is_lost(still: Path) -> None:
    site = site_of(still, "mercy")
    write_site(still / "members/mercy", dataclasses.replace(site, keeper="no address"))
    (still / "members/mercy/keys/tls").chmod(0o644)
    result = await examined(still)
    assert codes_of(result) == {("doctor.not_checked", "mercy"), ("keys.open", "mercy")}
    assert "node.site" in result.findings[1].what


def engine_of(net: Members, member: str) -> int:
    """The process id of a member's CometBFT: the child of its ledger process."""
    parent = net.processes["ledger", member].pid
    said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[0])


@contextmanager
def stopped(process_id: int) -> Iterator[None]:
    """It hangs."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


async def until(net: Members, wanted: Codes, within_s: float = 30.0) -> Examined:
    """What is found, once it is this."""
    give_up = asyncio.get_running_loop().time() + within_s
    while True:
        result = await examined(net.folder)
        if codes_of(result) == wanted:
            return result
        assert asyncio.get_running_loop().time() < give_up, result.findings
        await asyncio.sleep(0.2)


@needs_cometbft
async def test_what_goes_wrong_with_running_members_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one network, since it takes its time to start: well; a keeper away; a stranger in its place; engines away."""
    async with members(tmp_path) as net:
        await net.start()
        await until(net, set())

        await net.kill("keeper", "northgate")
        away = {("peer.unreached", name) for name in OTHERS}
        await until(net, {("process.silent", "northgate"), *away})

        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_own(stranger, make_own(NORTHGATE, SigningKey(bytes(31) + b"s"), ("127.0.0.1",), system_clock()))
        async with listening(site_of(tmp_path).keeper, stranger):
            await until(net, {("port.taken", "northgate"), *(("peer.not_pinned", name) for name in OTHERS)})
        await net.start_one("keeper", "northgate")
        await net.serves("keeper", "northgate")
        await until(net, set())
        await what_the_engine_says(net, monkeypatch)

        with stopped(engine_of(net, "mercy")):
            await until(net, {("engine.no_answer", "mercy")})
        await until(net, set())

        await net.kill("ledger", "northgate")
        monkeypatch.setattr(judging, "QUIET_S", 4.0)
        with stopped(engine_of(net, "lakeside")):
            await asyncio.sleep(5.0)
            found = codes_of(await examined(net.folder))
        assert {("engine.undecided", "mercy"), ("engine.undecided", "st-luke")} <= found
        assert {("process.silent", "northgate"), ("engine.no_answer", "lakeside")} <= found


async def what_the_engine_says(net: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CometBFT tells of the others, as it is and as it would be with a wrong clock, or another result, here."""
    case = next(one for one in cases_in(net.folder, is_up=True) if one.member == "mercy")
    rpc = engine_rpc(case.place)
    newest = 0
    while newest < 3:  # A heartbeat comes every 15 s.
        await asyncio.sleep(0.2)
        newest = int((await rpc.call("status"))["sync_info"]["latest_block_height"])
    heights = engine.heights_of_peers(await rpc.call("dump_consensus_state"))
    assert len(heights) == 3
    assert min(heights) >= newest
    block = await light_block(rpc, newest)
    rpc.close()

    def skewed(seconds: int) -> list[str]:
        own = address_of(SigningKey((case.place / "keys/validator").read_bytes()).public)
        votes = tuple(
            replace(vote, time=vote.time + seconds * 10**9) if vote.validator == own else vote for vote in block.votes
        )
        return [one.code for one in engine.of_clock(case, replace(block, votes=votes))]

    assert len(block.votes) >= 3
    assert skewed(0) == []
    assert skewed(60) == ["clock.ahead_of_peers"]
    assert skewed(-60) == ["clock.behind_peers"]

    with with_ledger(case) as opened:
        own = engine.header_at(opened.ledger, newest - 1)
        assert own is not None
        assert list(engine.of_root(opened, block)) == []
        with monkeypatch.context() as patched:
            patched.setattr(engine, "header_at", lambda *_: replace(own, app_hash=bytes(32)))
            assert [one.code for one in engine.of_root(opened, block)] == ["ledger.roots_differ"]
