"""A member whose stores are on servers, between members whose stores are files; `salus up` runs all of them.

Mercy's keeper and gateway have each a PostgreSQL of their own, its vault is on a store that speaks S3. While documents
are written, its keeper's process, the gateways' process and the servers are killed in turn. Each time whoever does not
need them goes on, who cannot go on says so, and what was acknowledged is there afterwards.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from salus.cli.commands.doctor import examined
from salus.cli.home import found_home
from salus.core.ids import MemberId
from salus.node.folder import member_folder, usual_names
from salus.node.stores import SETTINGS_FILE, read_settings, vault_storage
from tests.cli_demo.bundles import observation
from tests.faults.client import UNAVAILABLE, Client
from tests.faults.people import Person, admitted, reading
from tests.faults.stage import long
from tests.faults.supervised import Supervised, until
from tests.observing.day import pages, ports_of
from tests.support.apart import apart, needs_cometbft
from tests.support.servers import Postgres, S3Server, gofakes3, postgres, versitygw

pytestmark = needs_cometbft

NAMES = tuple(str(name) for name in usual_names(4))
MERCY = MemberId("mercy")
PATIENCE_S = 240.0  # Of whoever writes while what they write to is away.
PAUSE_S = 1.0  # Else their record outgrows what a short test can read again and again.
S3 = {"versitygw": versitygw, "gofakes3": gofakes3}


@dataclass(frozen=True, slots=True)
class Servers:
    """What one member's stores are on."""

    keeper: Postgres
    gateway: Postgres
    vault: S3Server


@dataclass
class Place:
    """A network that is up, the servers under one of its members, and a patient with a document at each member."""

    net: Supervised
    servers: Servers
    client: Client
    person: Person
    acknowledged: set[str]

    @property
    def folder(self) -> Path:
        """Of the member whose stores are elsewhere."""
        return member_folder(self.net.folder, MERCY)

    async def write(self, label: str, *at: str) -> None:
        """A further document at each of these; repeated until it is acknowledged."""
        path, sources = self.person.bundle(label, at)
        await self.client.imported(path, patience_s=PATIENCE_S)
        self.acknowledged |= set(sources)

    async def write_until(self, ending: asyncio.Event) -> int:
        """One document after another, at the member on servers and at another; how many times."""
        done = 0
        while not ending.is_set():
            await self.write(f"load-{done}", str(MERCY), "lakeside")
            done += 1
            await asyncio.sleep(PAUSE_S)
        return done

    async def grant(self, to: str) -> None:
        """A permit for treatment."""
        await self.client.done("consent", "grant", "--as", self.person.name, "--to", to, "--for", "TREAT")

    async def everything_is_seen(self, as_: str, via: str | None = None) -> None:
        """All that was acknowledged until now."""
        before = set(self.acknowledged)
        assert await self.person.seen(as_, via) >= before

    async def refused(self, *words: str) -> tuple[int, str]:
        """A command that cannot succeed now: its exit code, and the code of its error."""
        answer = await self.client.once(*words, "--json")
        return answer.code, answer.error

    def in_database(self, query: str) -> int:
        """A number from the keeper's database, asked for beside the keeper."""
        url = read_settings(self.folder).keeper
        assert url is not None
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def packs(self) -> set[str]:
        """The names of all packs on the S3 server."""
        return {name for name, _ in vault_storage(self.folder, read_settings(self.folder)).list("packs")}


def put_elsewhere(member: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say where a member's stores are: the S3 server's keys in a file, or in the environment of all processes."""
    vault = servers.vault
    settings = f'''
[keeper]
url = "{servers.keeper.new_database()}"
[gateway]
url = "{servers.gateway.new_database()}"
[vault]
bucket = "{vault.bucket}"
endpoint = "{vault.endpoint}"
prefix = "{member.name}"
'''
    if vault.kind == "versitygw":
        keys = member.parent.parent / "vault.toml"
        _write_private(keys, f'access_key_id = "{vault.key}"\nsecret_access_key = "{vault.secret}"\n')
        settings += f'credentials = "{keys}"\n'
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", vault.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", vault.secret)
    _write_private(member / SETTINGS_FILE, settings)


def _write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


@asynccontextmanager
async def placed(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """The network, up, with its servers and its patient."""
    found_home(folder, apart=True)
    with postgres() as keeper, postgres() as gateway, S3[kind]() as vault:
        servers = Servers(keeper, gateway, vault)
        put_elsewhere(member_folder(folder, MERCY), servers, monkeypatch)
        with apart(folder):
            client = Client(folder)
            person, sources = await admitted(folder, client, 1, NAMES)
            yield Place(Supervised(folder), servers, client, person, sources)


def submitted(label: str, at: str) -> bytes:
    """A document's bytes, as its bundle had them."""
    return observation(f"{label}-{at}-0", "p1", f"visit-{label}-p1-{at}").encode()


@pytest.mark.parametrize("kind", ["versitygw", pytest.param("gofakes3", marks=long)])
async def test_a_member_on_servers_keeps_refuses_and_outlives_what_is_killed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with placed(tmp_path / "network", kind, monkeypatch) as on:
        await it_lies_on_the_servers(on)
        await consent_is_kept(on)
        ending = asyncio.Event()
        writing = asyncio.create_task(on.write_until(ending))
        try:
            await the_keepers_process_is_killed(on)
            await the_keepers_database_is_killed(on)
            await the_gateways_database_is_killed(on)
            await the_gateways_process_is_killed(on)
            if kind == "versitygw":  # The other keeps everything in memory.
                await the_vaults_server_is_killed(on)
        finally:
            ending.set()
        assert await writing >= 3, "There was load."
        await nothing_is_lost(on)


async def it_lies_on_the_servers(on: Place) -> None:
    """And nowhere in the member's folder."""
    assert not any((on.folder / name).exists() for name in ("keeper.db", "gateway.db", "vault"))
    assert on.in_database("SELECT count(*) FROM holdings") > 0
    assert str(MERCY) in {name.split("/")[1] for name in on.packs()}, (
        "And others' where the digests of theirs fall to it."
    )


async def consent_is_kept(on: Place) -> None:
    """A document of the member on servers is read from another byte for byte, and no longer once that is revoked."""
    words = ("read", *reading(on.person, "clinician@st-luke"), "--document", "Observation/first-mercy-0")
    assert await on.refused(*words) == (3, "cli.unknown_document")
    await on.grant("st-luke")
    await on.everything_is_seen("clinician@st-luke")
    answer = await on.client.once(*words)
    assert (answer.code, answer.out.encode()) == (0, submitted("first", "mercy"))
    await on.client.done("consent", "revoke", "--as", on.person.name, "--to", "st-luke")
    assert await on.refused(*words) == (3, "cli.unknown_document")
    for reader in ("st-luke", "mercy"):
        await on.grant(reader)


async def the_keepers_process_is_killed(on: Place) -> None:
    """The server lets the next one in once the dead one's connection is gone."""
    await on.net.kill("keeper-mercy")
    await on.everything_is_seen("clinician@st-luke")
    await on.net.keeper_serves(MERCY)
    await its_keeper_is_needed(on)


async def the_keepers_database_is_killed(on: Place) -> None:
    """Reading and writing go on; a keeper that begins meanwhile says what it lacks, and waits for it."""
    on.servers.keeper.kill()
    await on.everything_is_seen("clinician@st-luke")
    await on.write("without-the-keeper", "st-luke", str(MERCY))
    await until(lambda: '"code":"keeper.disk"' in on.net.said("keeper-mercy"))
    await on.net.kill("keeper-mercy")
    await until(lambda: '"event":"failed"' in on.net.said("keeper-mercy"))
    assert '"code":"keeper.disk"' in on.net.said("keeper-mercy").rpartition('"event":"failed"')[2]
    on.servers.keeper.start()
    await on.net.keeper_serves(MERCY)
    await its_keeper_is_needed(on)
    on.servers.keeper.kill()
    on.servers.keeper.start()  # Now its process lives on: it connects anew.
    await its_keeper_is_needed(on)


async def its_keeper_is_needed(on: Place) -> None:
    """For each threshold, while another is not there; and it has what was written while it was away."""
    with on.net.frozen("keeper-northgate"):
        await on.everything_is_seen("clinician@st-luke")


async def the_gateways_database_is_killed(on: Place) -> None:
    """Its people are told so; others' read on; nobody makes a second patient of one who cannot be looked up."""
    on.servers.gateway.kill()
    assert await on.refused("read", *reading(on.person, "clinician@mercy")) == (UNAVAILABLE, "keeper.disk")
    path, _ = on.person.bundle("refused-without-the-gateway", (str(MERCY),))
    assert await on.refused("import", str(path)) == (UNAVAILABLE, "keeper.disk")
    await on.everything_is_seen("clinician@st-luke")
    on.servers.gateway.start()
    await on.everything_is_seen("clinician@mercy")


async def the_gateways_process_is_killed(on: Place) -> None:
    """What it had sealed and not yet anchored it goes on with."""
    await on.net.kill("gateway")
    await on.net.gateway_serves()
    await on.write("after-the-gateway", str(MERCY))
    await on.everything_is_seen("clinician@mercy")


async def the_vaults_server_is_killed(on: Place) -> None:
    """Documents come from other vaults; nothing is acknowledged that its author's own vault does not hold."""
    before = on.packs()
    on.servers.vault.kill()
    path, _ = on.person.bundle("refused", (str(MERCY),))
    assert (await on.refused("import", str(path)))[0] != 0
    await on.everything_is_seen("clinician@st-luke")
    on.servers.vault.start()
    assert on.packs() >= before
    await on.write("after-the-vault", str(MERCY))


async def nothing_is_lost(on: Place) -> None:
    """Wherever it is asked for, and with the member on servers needed; no number of its log is missing."""
    for name in NAMES:
        await on.everything_is_seen(on.person.name, via=name)
    with on.net.frozen("keeper-northgate"):
        for label in ("first", "load-0", "without-the-keeper", "after-the-gateway"):
            words = ("read", *reading(on.person, "clinician@st-luke"), "--document", f"Observation/{label}-mercy-0")
            assert (await on.client.once(*words)).out.encode() == submitted(label, "mercy")
    log = await on.client.done("log", "--as", on.person.name)
    assert log["faults"] == []
    assert on.in_database("SELECT count(*) FROM log") == on.in_database("SELECT max(number) FROM log") > 0
    wrong = (await examined(on.net.folder)).findings
    assert [finding for finding in wrong if finding.code.startswith(("store.", "keys.", "node."))] == []
    served = pages(ports_of(on.net.folder)).values()
    assert any(b'request="vault.get/1"' in page and b'member="mercy"' in page for page in served)
