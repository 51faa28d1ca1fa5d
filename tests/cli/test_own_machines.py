"""Members on machines of their own, by the commands that their operators give: init, invite, join, up, leave."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from salus.cli import sample
from salus.cli.main import main
from salus.core.ids import MemberId
from salus.core.transport import PeerUnavailableError
from salus.core.wire import encode
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.cometbft.unit import LEDGER_FOLDER
from salus.engines.follower import Follower
from salus.node.folder import member_folder, read_genesis
from salus.node.http.client import Calling, HttpTransport
from salus.node.http.places import places_of
from salus.node.http.trust import Trust, pins_of
from salus.node.keys import load_secrets
from salus.node.settings import system_clock
from salus.node.site import host_and_port, read_site
from tests.support.apart import needs_cometbft
from tests.support.machines import Machines, machines


@pytest.fixture
def hosts(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Machines]:
    with machines(tmp_path, lambda: tuple(capfdbinary.readouterr())) as made:  # type: ignore[arg-type,return-value]
        yield made


def batches(hosts: Machines, name: str) -> int:
    """How many batches a member's keeper holds: a seat that was late is dealt to afterwards."""
    path = hosts.folder(name) / "members" / name / "keeper.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT count(*) FROM batches").fetchone()[0])


def until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.2)


# What is refused.


@pytest.mark.parametrize("name", ["Mercy", "mercy hospital", "", "-x", "m" * 33])
def test_init_wants_a_short_public_name(hosts: Machines, name: str) -> None:
    assert hosts.run("mercy", "init", "--", name)[0] == 2


def test_init_wants_a_place_whose_law_is_known(hosts: Machines) -> None:
    assert hosts.run("mercy", "init", "mercy", "--jurisdiction", "mars")[0] == 2


def test_a_folder_that_nobody_began_neither_joins_nor_invites(hosts: Machines) -> None:
    card = hosts.init("mercy")
    assert hosts.refused("lakeside", "join", str(card)) == "node.not_begun"
    to = str(hosts.mail / "x.invitation")
    assert hosts.refused("lakeside", "invite", str(card), "--to", to) == "node.no_network"


def test_a_member_that_belongs_to_no_network_is_not_started_and_founds_none_by_accident(hosts: Machines) -> None:
    hosts.init("mercy")
    assert hosts.refused("mercy", "up") == "node.not_joined"
    assert not (hosts.folder("mercy") / "genesis").exists()


def test_join_says_in_plain_words_what_is_wrong_with_a_file(hosts: Machines) -> None:
    hosts.founded(("mercy", "lakeside"))
    southport = hosts.init("southport")
    invitation = hosts.mail / "all.invitation"
    whole = invitation.read_bytes()
    assert hosts.refused("southport", "join", str(southport)) == "node.not_an_invitation"
    assert hosts.refused("southport", "join", str(hosts.mail / "none")) == "cli.file"
    assert hosts.refused("southport", "join", str(invitation)) == "node.not_invited"
    invitation.write_bytes(whole[:-64] + bytes(64))
    assert hosts.refused("lakeside", "join", str(invitation)) == "node.false_invitation"
    invitation.write_bytes(whole)
    assert hosts.refused("lakeside", "join", str(invitation), "--fingerprint", "0000 1111") == "node.fingerprint"
    code, _, err = hosts.run("southport", "join", str(invitation))
    assert code == 3
    assert "ask for an invitation of that card" in err


def test_a_false_card_is_invited_by_nobody(hosts: Machines) -> None:
    hosts.init("mercy")
    card = hosts.init("lakeside")
    data = card.read_bytes()
    card.write_bytes(data[:-64] + bytes(64))
    to = str(hosts.mail / "x.invitation")
    assert hosts.refused("mercy", "invite", str(card), "--to", to) == "node.false_card"
    card.write_bytes(data[:40])
    assert hosts.refused("mercy", "invite", str(card), "--to", to) == "node.not_a_card"
    assert not (hosts.folder("mercy") / "genesis").exists()


def test_an_invitation_to_a_network_that_is_not_up_waits_for_it(hosts: Machines) -> None:
    hosts.founded(("mercy", "lakeside"))
    card = hosts.init("southport")
    to = str(hosts.mail / "southport.invitation")
    assert hosts.refused("mercy", "invite", str(card), "--to", to) == "cli.not_up"


# What happens.


def test_all_founders_get_the_same_genesis_and_a_lost_invitation_is_written_again(hosts: Machines) -> None:
    told = hosts.founded()
    assert told["members"] == ["mercy", "st-luke", "lakeside", "northgate"]
    genesis = {(hosts.folder(name) / "genesis").read_bytes() for name in ("mercy", "st-luke", "lakeside", "northgate")}
    assert len(genesis) == 1
    cards = [str(hosts.mail / f"{name}.card") for name in ("st-luke", "lakeside", "northgate")]
    again = hosts.json("mercy", "invite", *cards, "--to", str(hosts.mail / "again.invitation"))
    assert again["was_there"] is True
    joined = hosts.json("lakeside", "join", str(hosts.mail / "again.invitation"))
    assert joined["was_there"] is True


def test_no_secret_of_one_folder_is_in_another_or_in_the_mail(hosts: Machines) -> None:
    hosts.founded()
    for name in ("mercy", "st-luke", "lakeside", "northgate"):
        secrets = [path.read_bytes() for path in (hosts.folder(name) / "members" / name / "keys").iterdir()]
        node_key = json.loads((hosts.folder(name) / "members" / name / "engine/config/node_key.json").read_bytes())
        secrets.append(node_key["priv_key"]["value"].encode())
        elsewhere = [
            path for path in hosts.place.rglob("*") if path.is_file() and hosts.folder(name) not in path.parents
        ]
        assert len(elsewhere) > 20
        assert not [path for path in elsewhere if any(secret in path.read_bytes() for secret in secrets)]


@needs_cometbft
def test_four_that_began_apart_share_a_patients_record_as_the_patient_allows(hosts: Machines) -> None:
    hosts.founded()
    hosts.up("mercy", "st-luke", "lakeside", "northgate")
    for name in ("mercy", "northgate"):
        assert len(hosts.json(name, "members")["members"]) == 4  # type: ignore[arg-type]
    hosts.json("mercy", "patient", "new", "--writer", "mercy")
    code = str(hosts.json("mercy", "patient", "link", "--as", "patient:1", "--to", "mercy")["code"])
    number = "Patient/" + sample_patient()
    hosts.json("mercy", "patient", "link", "--as", "clerk@mercy", "--code", code, "--number", number)
    report = hosts.json("mercy", "import", str(sample.FOLDER / "adult.json"))
    assert (report["new_patients"], report["refused"]) == (0, 0)
    assert int(str(report["records_sealed"])) > 100
    until(lambda: all(batches(hosts, name) for name in ("mercy", "st-luke", "lakeside", "northgate")))

    # St Luke's knows nobody of this name, and its people act on its own machine alone.
    assert hosts.refused("st-luke", "read", "--as", "clinician@st-luke", "--patient", "number:4711") == (
        "cli.unknown_patient"
    )
    assert hosts.refused("st-luke", "read", "--as", "clinician@mercy", "--patient", "number:4711") == "cli.elsewhere"
    code = str(hosts.json("mercy", "patient", "link", "--as", "patient:1", "--to", "st-luke")["code"])
    hosts.json("st-luke", "patient", "link", "--as", "clerk@st-luke", "--code", code, "--number", "4711")

    def seen() -> int:
        read = hosts.json("st-luke", "read", "--as", "clinician@st-luke", "--patient", "number:4711")
        assert not read["gaps"]
        return len(read["documents"])  # type: ignore[arg-type]

    hosts.json("mercy", "consent", "deny", "--as", "patient:1", "--to", "st-luke")
    assert seen() == 0
    hosts.json("mercy", "consent", "revoke", "--as", "patient:1", "--to", "st-luke")
    hosts.json("mercy", "consent", "grant", "--as", "patient:1", "--to", "st-luke", "--for", "TREAT")
    assert 100 < seen() <= int(str(report["records_sealed"]))  # Law keeps a few back.
    uses = hosts.json("mercy", "log", "--as", "patient:1")["uses"]
    assert {use["member"] for use in uses} == {"st-luke"}  # type: ignore[attr-defined]


@needs_cometbft
def test_a_fifth_joins_under_load_by_a_snapshot_votes_and_leaves_again(hosts: Machines) -> None:
    hosts.founded(snapshot_every_blocks=40)  # Two are kept, and one must last until it was fetched.
    hosts.up("mercy", "st-luke", "lakeside", "northgate")
    chain = str(hosts.json("mercy", "ledger", "show")["chain"])
    with load(hosts, "st-luke") as made:
        until(lambda: height(hosts, "mercy") > 100, 240)
        early = hosts.init("southport")
        to = hosts.mail / "southport.invitation"
        assert hosts.refused("mercy", "invite", str(early), "--to", str(to)) == "node.other_chain"
        card = hosts.init("southport", "--chain", chain)
        told = hosts.json("mercy", "invite", str(card), "--to", str(to))
        again = hosts.json("mercy", "invite", str(card), "--to", str(to))
        assert again["proposal"] == told["proposal"]  # To ask twice is to ask once.
        joined = hosts.json("southport", "join", str(to), "--fingerprint", str(again["fingerprint"]))
        assert int(str(joined["trust_height"])) >= 40
        hosts.up("southport")

        # It follows the ledger before it is let in; nobody answers it, and its word counts nothing.
        until(lambda: height(hosts, "southport") > 100)
        assert "southport" not in names(hosts, "mercy")
        assert not reaches(hosts, "southport", "mercy")
        assert power(hosts, "southport") == 0
        proposal = str(told["proposal"])
        assert hosts.refused("southport", "vote", proposal, "--as", "southport") == "machine.unknown_sponsor"
        for name in ("st-luke", "lakeside"):
            hosts.json(name, "vote", proposal, "--as", name)
        until(lambda: "southport is a member now" in hosts.log("southport"))
        for name in ("mercy", "northgate", "southport"):
            until(lambda name=name: "southport" in names(hosts, name))  # type: ignore[misc]
        assert made[0] > 0
    until(lambda: power(hosts, "southport") == 1)
    assert reaches(hosts, "southport", "mercy")
    assert reaches(hosts, "mercy", "southport")
    # Its ledger began with the snapshot: what was before, it never saw.
    assert first_block(hosts, "southport") > 20
    until(lambda: peers(hosts, "mercy") == 4)

    # It votes like any other, and is reached by the keepers' wire.
    quota = hosts.json("southport", "propose", "quota", "mercy", "2097152", "--as", "southport")
    for name in ("mercy", "st-luke", "lakeside"):
        done = hosts.json(name, "vote", str(quota["id"]), "--as", name)
    assert done["standing"] == "executed"
    hosts.json("southport", "patient", "new", "--writer", "southport")

    # It leaves.
    left = hosts.json("southport", "leave", "--successor", "lakeside")
    for name in ("mercy", "st-luke", "lakeside"):
        hosts.json(name, "vote", str(left["id"]), "--as", name)
    until(lambda: "southport has left the network" in hosts.log("southport"), 90)
    assert "southport" not in names(hosts, "mercy")
    hosts.json("mercy", "patient", "new", "--writer", "mercy")  # The others go on.
    assert not reaches(hosts, "southport", "mercy")
    assert hosts.refused("southport", "members") == "cli.not_up"
    hosts.up_for_a_moment("southport")  # Started again by mistake, it says so and ends.
    assert "southport has left the network" in hosts.log("southport")


@contextmanager
def load(hosts: Machines, name: str) -> Iterator[list[int]]:
    """New patients through one member, one after the other, in a process of its own; how many there are."""
    made, stop = [0], threading.Event()

    def work() -> None:
        while not stop.is_set():
            command = ("patient", "new", "--writer", name, "--home", str(hosts.folder(name)), "--json")
            done = subprocess.run((sys.executable, "-m", "salus.cli.main", *command), capture_output=True, check=True)
            made[0] = int(json.loads(done.stdout)["patient"])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join(60)


def height(hosts: Machines, name: str) -> int:
    return int(str(hosts.json(name, "ledger", "show")["height"]))


def names(hosts: Machines, name: str) -> list[str]:
    found = hosts.json(name, "members")["members"]
    return [one["name"] for one in found]  # type: ignore[attr-defined]


def peers(hosts: Machines, name: str) -> int:
    parts = json.loads(hosts.run(name, "status", "--json")[1].splitlines()[-1])["parts"]
    return int(next(part["peers"] for part in parts if part["part"] == "ledger"))


@needs_cometbft
def test_of_members_that_share_a_folder_one_leaves_and_the_others_go_on(hosts: Machines) -> None:
    assert main(["new", "--engine", "cometbft", "--home", str(hosts.folder("all"))]) == 0
    hosts.up("all")
    assert hosts.refused("all", "propose", "add-member", "southport", "--as", "mercy") == "cli.apart"
    assert hosts.refused("all", "leave", "--successor", "lakeside", "--fewer-seats") == "cli.several_members"
    assert hosts.refused("all", "leave", "--successor", "lakeside", "--as", "northgate") == "cli.seats_held"
    leaving = hosts.json("all", "leave", "--successor", "lakeside", "--fewer-seats", "--as", "northgate")
    for name in ("mercy", "st-luke"):
        done = hosts.json("all", "vote", str(leaving["id"]), "--as", name)
    assert done["standing"] == "executed"
    hosts.json("all", "patient", "new", "--writer", "mercy", "--writer", "st-luke")
    until(lambda: hosts.refused_or_none("all", "vote", str(leaving["id"]), "--as", "northgate") == "cli.unknown_member")
    runs = hosts.folder("all") / "run"
    until(lambda: not (runs / "ledger-northgate.pid").exists() and not (runs / "keeper-northgate.pid").exists())
    assert '"event":"departed"' in (hosts.folder("all") / "logs" / "keeper-northgate.log").read_text()
    hosts.json("all", "patient", "new", "--writer", "lakeside")
    hosts.down("all")
    hosts.up("all")  # What has left is not brought back.
    hosts.json("all", "patient", "new", "--writer", "st-luke")
    assert sorted(names(hosts, "all")) == ["lakeside", "mercy", "st-luke"]


def power(hosts: Machines, name: str) -> int:
    """What a member's engine counts as a validator, by its own word."""

    async def asked() -> int:
        rpc = CometRpc(host_and_port(read_site(member_folder(hosts.folder(name), MemberId(name))).rpc))
        try:
            return int((await rpc.call("status"))["validator_info"]["voting_power"])
        finally:
            rpc.close()

    return asyncio.run(asked())


def reaches(hosts: Machines, name: str, other: str) -> bool:
    """Whether a member is answered by another's keeper, as the ledgers of both stand now."""

    async def asked() -> bool:
        folder, member = hosts.folder(name), MemberId(name)
        place = member_folder(folder, member)
        follower = Follower(member, read_genesis(folder), place / LEDGER_FOLDER)
        trust = Trust(member, load_secrets(place / "keys").tls, pins_of(follower), system_clock)
        calling = Calling(timeout_s=5.0, attempts_max=1)
        transport = HttpTransport(member, follower.chain, trust, places_of(follower), calling)
        try:
            return bool(await transport.call(MemberId(other), encode(("keeper.nothing/1",))))
        except PeerUnavailableError:
            return False
        finally:
            await transport.close()
            follower.close()

    return asyncio.run(asked())


def first_block(hosts: Machines, name: str) -> int:
    folder = hosts.folder(name)
    place = member_folder(folder, MemberId(name)) / LEDGER_FOLDER
    follower = Follower(MemberId(name), read_genesis(folder), place)
    try:
        return next(follower.blocks()).header.height
    finally:
        follower.close()


def sample_patient() -> str:
    bundle = json.loads((sample.FOLDER / "adult.json").read_bytes())
    found = [each["resource"]["id"] for each in bundle["entry"] if each["resource"]["resourceType"] == "Patient"]
    return str(found[0])
