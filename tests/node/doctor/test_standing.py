"""How a member stands by the ledger, and what is left to do for it: found where it is so."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from salus.cli.commands.doctor import examined
from salus.contracts.consent import pack_root, read_pack
from salus.contracts.members.messages import Misbehaviour, Offence, SetPack, SetSeats, SetValidator, Upgrade
from salus.contracts.members.reads import pack_root_of, validators
from salus.core.ids import DAY_MS, HOUR_MS, MINUTE_MS, MemberId
from salus.crypto.signatures import SigningKey
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.machine.block import Block, header_id
from salus.machine.machine import Machine
from salus.node.doctor.examining import examine
from salus.node.folder import PACKS_FOLDER, read_genesis
from salus.node.settings import system_clock
from tests.keeper.successors import departed
from tests.node.doctor.conftest import Codes, codes_of
from tests.node.stage import Clock, permit, stage
from tests.node.test_governed_network import decide, leaving

Found = Callable[[Path], Codes]
ALL = ("mercy", "st-luke", "lakeside", "northgate")


def block_on(folder: Path, *names: str, misbehaviour: tuple[Misbehaviour, ...] = ()) -> None:
    """One more block on these members' ledgers, as their engine would make it, signed by all of them."""
    genesis = read_genesis(folder)
    places = {name: folder / "members" / name for name in names}
    keys = {name: SigningKey((place / "keys/validator").read_bytes()) for name, place in places.items()}
    replicas = {
        name: Replica(MemberId(name), genesis, LmdbStore(place / "ledger"), Machine()) for name, place in places.items()
    }
    newest = next(iter(replicas.values())).header
    block = Block(genesis.chain, newest.height + 1, newest.time + 1, header_id(newest), (), misbehaviour)
    headers = {name: replica.prepare(block) for name, replica in replicas.items()}
    votes = tuple(replica.vote(keys[name]) for name, replica in sorted(replicas.items()))
    for name, replica in replicas.items():
        replica.finalise(headers[name], votes)
        replica.close()


def test_a_suspended_validator_is_told_why(folder: Path, codes: Found) -> None:
    block_on(folder, *ALL, misbehaviour=(Misbehaviour(MemberId("northgate"), Offence.DUPLICATE_VOTE, 3),))
    assert codes(folder) == {("validator.suspended", "northgate")}


async def test_the_offence_and_its_block_are_named(folder: Path) -> None:
    block_on(folder, *ALL, misbehaviour=(Misbehaviour(MemberId("northgate"), Offence.DUPLICATE_VOTE, 3),))
    (one,) = (await examined(folder)).findings
    assert "duplicate_vote at block 3" in one.what
    assert one.to_do.endswith("salus propose reinstate northgate")


async def test_a_validator_that_was_taken_out_is_told(folder: Path) -> None:
    async with stage(folder) as on:
        await decide(on, SetValidator(member=MemberId("northgate"), version=0, validator=False))
        assert "northgate" not in {name for name, _ in validators(on.network.ledger.state)}
    assert codes_of(await examined(folder)) == {("validator.taken_out", "northgate")}


async def test_a_vote_that_is_due_is_told_to_those_that_have_not_voted(folder: Path) -> None:
    async with stage(folder) as on:
        await decide(
            on, SetValidator(member=MemberId("northgate"), version=0, validator=False), by=("mercy", "st-luke")
        )
    result = await examined(folder)
    assert codes_of(result) == {("proposal.waits", "lakeside"), ("proposal.waits", "northgate")}
    assert "--as lakeside" in result.findings[0].to_do
    assert codes_of(await examine(folder, clock=lambda: system_clock() + 8 * DAY_MS)) == set()


async def test_a_member_that_left_is_told_who_answers_for_it(folder: Path) -> None:
    async with stage(folder) as on:
        await decide(on, *leaving(on))
    found = codes_of(await examined(folder))
    assert ("member.left", "northgate") in found


async def test_rules_that_this_version_does_not_know_are_told_before_they_are_in_force(folder: Path) -> None:
    async with stage(folder) as on:
        await decide(on, Upgrade(rules=2, from_height=1_000_000))
    assert codes_of(await examined(folder)) == {("rules.unknown", name) for name in ALL}


async def change_pack(folder: Path) -> None:
    """Put another pack in force in the jurisdiction of all."""
    shipped = json.loads((files("salus.contracts.consent") / "packs" / "us.json").read_bytes())
    shipped["version"] = int(shipped.get("version", 1)) + 1
    data = json.dumps(shipped).encode()
    (folder / PACKS_FOLDER).mkdir(exist_ok=True)
    (folder / PACKS_FOLDER / "us-2.json").write_bytes(data)
    async with stage(folder) as on:
        assert pack_root_of(on.network.ledger.state, "us") != pack_root(read_pack(data))
        await decide(on, SetPack(jurisdiction="us", version=1, root=pack_root(read_pack(data))))
        assert pack_root_of(on.network.ledger.state, "us") == pack_root(read_pack(data))


async def test_batches_under_an_older_pack_are_counted_for_each_author(folder: Path) -> None:
    await change_pack(folder)
    result = await examined(folder)
    assert codes_of(result) == {("pack.reseal", "mercy"), ("pack.reseal", "st-luke")}
    assert result.findings[0].what.startswith("1 of its batches")


async def test_what_was_sealed_since_is_not_counted(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    async with stage(folder):
        pass
    await change_pack(folder)
    async with stage(folder) as on:
        await on.seal("mercy", await on.patient("mercy", rules=(permit("lakeside"),)), "a")
    assert codes_of(await examined(folder)) == set()


async def test_a_pack_in_force_that_is_not_here_is_found(folder: Path) -> None:
    await change_pack(folder)
    shutil.rmtree(folder / PACKS_FOLDER)
    assert codes_of(await examined(folder)) >= {("pack.missing", name) for name in ALL}


def test_a_member_that_is_behind_is_found(folder: Path, codes: Found) -> None:
    for _ in range(21):
        block_on(folder, "mercy", "st-luke", "lakeside")
    assert codes(folder) == {("ledger.behind", "northgate")}


def test_a_member_with_another_history_is_found(folder: Path, codes: Found) -> None:
    block_on(folder, "mercy", "st-luke", "lakeside")
    block_on(folder, "northgate", misbehaviour=(Misbehaviour(MemberId("mercy"), Offence.DUPLICATE_VOTE, 3),))
    found = codes(folder)
    assert len({member for code, member in found if code == "ledger.roots_differ"} ^ {"northgate"}) in (0, 4)


def test_a_ledger_whose_values_were_changed_is_found(folder: Path, codes: Found) -> None:
    with LmdbStore(folder / "members/mercy/ledger") as store, store.write():
        key, value = next(iter(store.scan(b"t")))
        store.put(key, value[:-1] + bytes([value[-1] ^ 1]))
    assert ("ledger.root_wrong", "mercy") in codes(folder)


async def test_a_clock_that_is_behind_the_ledger_is_found(folder: Path) -> None:
    found = codes_of(await examine(folder, clock=lambda: system_clock() - HOUR_MS))
    assert found == {("clock.behind_ledger", name) for name in ALL}


async def test_who_lacks_shares_of_a_batch_is_named_once_there_was_time(tmp_path: Path) -> None:
    folder, clock = tmp_path / "network", Clock()
    async with stage(folder, clock=clock) as on:
        wallet = await on.patient("mercy", rules=(permit("lakeside"),))
        await on.network.take_down("northgate")
        await on.seal("mercy", wallet, "a")
    assert codes_of(await examine(folder, clock=lambda: clock.now + MINUTE_MS)) == set()
    result = await examine(folder, clock=lambda: clock.now + 3 * HOUR_MS + MINUTE_MS)
    assert codes_of(result) == {("outbox.lacks", "mercy")}
    assert "northgate lacks" in result.findings[0].what
    assert "3 hours" in result.findings[0].what


async def test_batches_that_new_keepers_lack_are_counted_until_they_are_dealt_again(folder: Path) -> None:
    async with stage(folder) as on:
        committee = on.network.committee
        changed = SetSeats(committee=committee, epoch=1, seats=tuple(map(MemberId, ("mercy", "st-luke", "lakeside"))))
        await decide(on, changed)
    assert codes_of(await examined(folder)) == {("outbox.behind", "mercy"), ("outbox.behind", "st-luke")}
    async with stage(folder) as on:
        for _ in range(3):
            await on.network.tend()
    assert codes_of(await examined(folder)) == set()


async def test_batches_that_were_a_departed_authors_are_counted_at_its_successor(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    async with stage(folder) as on:
        await departed(on)
        await on["northgate"].keeping.tend()
    assert ("repair.behind", "st-luke") in codes_of(await examined(folder))
    async with stage(folder) as on:
        for _ in range(3):
            await on.network.tend()
    assert {code for code, _ in codes_of(await examined(folder))} <= {"member.left"}


@pytest.mark.parametrize("author", ["mercy", "st-luke"])
def test_ciphertext_that_is_lost_or_changed_is_found(folder: Path, codes: Found, author: str) -> None:
    pack = next((folder / f"members/mercy/vault/packs/{author}").iterdir(), None)
    assert pack is not None
    data = pack.read_bytes()
    pack.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert codes(folder) == {("vault.copy_missing", "mercy")}
    pack.unlink()
    assert codes(folder) == {("vault.copy_missing", "mercy")}
