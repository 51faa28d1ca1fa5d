"""Members that do wrong on purpose: sign twice, propose garbage, lie about the state, lie as keepers.

Elsewhere: a stolen TLS key before and after its rotation, `tests/node/http/test_trust.py`; replayed and oversized
requests, `tests/node/http/test_server.py`; corrupt pieces of a snapshot, `tests/engines/cometbft/test_state_sync.py`;
an attack on light clients, `test_light_attack.py`.
"""

import asyncio
import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from salus.contracts.members.reads import suspension_of
from salus.core.ids import MemberId
from salus.engines.cometbft.config import make_node_key
from salus.engines.cometbft.supervisor import OUR_MAIN, STOCK
from salus.machine.admission import read
from salus.node.folder import member_folder
from salus.node.site import free_ports, read_site, write_site
from tests.faults import liars
from tests.faults.chain import Load, check
from tests.faults.client import Client
from tests.faults.members import GATEWAY, Members, members
from tests.faults.part import PROPOSED, Plan, garbage
from tests.faults.stage import RUNS_ALL, long, staged
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

LIAR = "northgate"
SOME = ("a share that is not its hash", liars.OLD_POLICY)


@pytest.mark.parametrize("binary", [OUR_MAIN, STOCK])
async def test_an_application_that_lies_about_the_state_halts_and_the_others_go_on(tmp_path: Path, binary: str) -> None:
    """With the stock binary too, which would go on as a node that decides nothing."""
    async with members(tmp_path) as net:
        await net.start(("ledger",))
        await net.level()
        await net.stop_one("ledger", LIAR)
        at = max((await net.heights()).values()) + 3
        await net.start_one("ledger", LIAR, Plan(other_root_at=at, binary=binary))
        load = Load(net)
        await load.takes_part(LIAR)  # Its lie is told in a round, and not while it catches up.
        load.start()
        others = [name for name in net.names if name != LIAR]
        await net.reaches(at + 20, others)
        assert at - 1 <= await net.height(LIAR) <= at + 1, "It takes part in nothing that follows its lie."
        log = member_folder(net.folder, MemberId(LIAR)) / "engine/cometbft.log"
        assert "CONSENSUS FAILURE" in log.read_text()
        assert await net.ended("ledger", LIAR) == 1, "Whoever supervises it must notice."
        await net.kill("ledger", LIAR)
        await load.stop()
        net.names = others
        await check(net, load)


async def test_garbage_that_a_proposer_offers_is_in_no_block_and_stops_nobody(tmp_path: Path) -> None:
    async with members(tmp_path) as net:
        await net.start(("ledger",))
        await net.stop_one("ledger", LIAR)
        await net.start_one("ledger", LIAR, Plan(proposes_garbage=True))
        load = Load(net)
        load.start()
        await net.reaches(max((await net.heights()).values()) + 12)  # Each is proposer three times.
        await load.stop()
        height = await check(net, load)
        for at in range(1, height + 1):
            for tx in net.follower("mercy").block(at).block.txs:
                assert tx not in garbage()
                read(tx)
        offered = (net.folder / f"logs/ledger-{LIAR}.log").read_text().count(PROPOSED)
        assert offered >= 2, "Each is proposer one time in four."


async def test_keys_that_sign_twice_are_suspended_on_every_ledger(tmp_path: Path) -> None:
    async with members(tmp_path / "one") as net:
        await net.start(("ledger",))
        await net.reaches(1)
        await net.stop_one("ledger", LIAR)
        twin = twin_of(net, tmp_path / "two")
        try:
            await net.start_one("ledger", LIAR)
            await twin.start_one("ledger", LIAR)
            load = Load(net)
            load.start(writers=3)
            async with asyncio.timeout(90.0):
                while True:
                    await net.heights()
                    honest = [net.follower(name) for name in net.names if name != LIAR]
                    if all(suspension_of(one.state, MemberId(LIAR)) is not None for one in honest):
                        break
                    await asyncio.sleep(0.2)
        finally:
            await twin.close()
        await load.write("mercy", ["mercy"])  # Three of three go on without it.
        await load.stop()
        await check(net, load)
        await net.start(("keeper", GATEWAY))
        said = await Client(net.folder).done("members")
        shown = {member["name"]: member["suspended"] for member in said["members"]}
        assert shown.pop(LIAR).startswith("duplicate_vote at block ")
        assert set(shown.values()) == {""}


def twin_of(net: Members, folder: Path) -> Members:
    """The liar's machine a second time, with the same validator key: other ports, another node."""
    folder.mkdir()
    shutil.copy(net.folder / "genesis", folder / "genesis")
    place = member_folder(folder, MemberId(LIAR))
    _copied_elsewhere(member_folder(net.folder, MemberId(LIAR)), place)
    (place / "engine/config/node_key.json").unlink()
    make_node_key(place / "engine", bytes(range(32)))
    site = read_site(place)
    engine, rpc = (f"127.0.0.1:{port}" for port in free_ports(2))
    write_site(place, replace(site, engine=engine, rpc=rpc))
    return Members(folder, [LIAR], net.genesis)


def _copied_elsewhere(one: Path, other: Path) -> None:
    """Copied by a process of its own: to close LMDB's lock file here would drop the lock that a follower holds here."""
    other.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", str(one), str(other)], check=True)


@pytest.mark.parametrize("lie", [*liars.TOLD, liars.OLD_POLICY] if RUNS_ALL else SOME)
async def test_a_keeper_that_lies_over_the_wire_is_named_and_costs_the_reader_nothing(lie: str, tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        await on.net.stop_one("keeper", LIAR)
        await on.net.start_one("keeper", LIAR, Plan(lies=lie))
        await on.net.serves("keeper", LIAR)
        assert await on.person.seen("clinician@st-luke") == {s for s in on.sources if "-st-luke-" in s}
        await on.grant("st-luke")
        record = await on.person.record("clinician@st-luke")
        assert await on.person.seen("clinician@st-luke") == on.sources
        named = {(one["member"], one["what"]) for one in record["accusations"]}  # type: ignore[attr-defined]
        assert (LIAR, liars.TOLD.get(lie, "stale_policy")) in named
        assert {member for member, _ in named} == {LIAR}


@long
async def test_a_client_of_the_wire_without_the_right_key_gets_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        host, port = read_site(member_folder(tmp_path, MemberId("mercy"))).keeper.rsplit(":", 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await asked(host, int(port), context)
        await on.check()


async def asked(host: str, port: int, context: ssl.SSLContext) -> bytes:
    """The first byte that a stranger gets."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: mercy\r\n\r\n")
    return await reader.readexactly(1)
