"""Every kind of message between members, sent twice: under one key its work is done once, under two it does no harm.

The kinds are those that doors answer in the source: one that is new must appear in the story below.
"""

import asyncio
import hashlib
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Awaitable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import salus
from salus.core.errors import RefusalError
from salus.core.ids import MemberId
from salus.core.transport import Door, Said, ask
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import seal
from salus.keeper.keeper import LogForOwnMember, OwnMemberWantsLog
from salus.keeper.messages import PolicyDeposit, PolicyHeld, SealedPolicy, info
from salus.keeper.reconciling import BatchesLost, DealingAgain
from salus.keeper.store import POLICIES
from salus.node.checkpointing import ChainWanted, CheckpointOffered, SignatureWanted
from salus.node.http.client import HttpTransport
from salus.node.http.places import part_of, tag_of
from salus.node.local import Switchboard
from salus.sdk import consent
from salus.sdk.directory import Listing
from salus.sdk.patient_log import read_log
from salus.sdk.wallet import Wallet, claimed, new_wallet
from tests.node.changing import left
from tests.node.http.test_network_over_http import Wired, doors_of, wired
from tests.node.http.wires import ANNA, BEN, wire
from tests.node.stage import Stage, permit
from tests.node.test_checkpointing import Team

MERCY, LAKESIDE = MemberId("mercy"), MemberId("lakeside")
EVIDENCE = bytes(range(32))
SOURCES = Path(salus.__file__).parent
# Each answer leaves an entry: whoever asks twice has used a record twice.
LOGGED = {"keeper.ask/1", "keeper.repair_ask/1"}
LOG_TABLES = {"log", "log_pages"}
NOT_COMPARED = ("wrapped", "good_until")  # Under fresh randomness; and for how long it is kept without a block.

Call = tuple[MemberId, MemberId, bytes]  # From whom, to whom, what.


def kinds_in_the_source() -> set[str]:
    """The classes of all messages that a door of a member answers."""
    rooms = ("keeper", "vault", "sdk", "node")
    texts = [path.read_text() for room in rooms for path in (SOURCES / room).rglob("*.py")]
    return {name for text in texts for name in re.findall(r"\bdoor\.answer\((\w+), self\.", text)}


def key() -> str:
    return os.urandom(16).hex()


def is_refused(reply: bytes) -> bool:
    """Whether an answer says no, and why."""
    return tag_of(reply) == Said.__struct_config__.tag and decode(Said, reply).family in ("refused", "malformed")


def contents(folder: Path) -> dict[str, object]:
    """What a member holds: its tables, as far as they are compared, and its vault's packs."""
    found: dict[str, object] = {}
    for name in ("keeper.db", "gateway.db"):
        with closing(sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)) as store:
            for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
                bare = ", ".join(column for column in columns if not column.startswith(NOT_COMPARED))
                found[f"{name}/{table}"] = sorted(map(repr, store.execute(f"SELECT {bare} FROM {table}")))
    for path in sorted((folder / "vault").rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).digest()
    return found


@dataclass
class Twice:
    """A network in which each message goes out twice under one key."""

    wires: Wired
    work: Counter[Call] = field(default_factory=Counter)  # How often a door was given what.
    first: dict[str, Call] = field(default_factory=dict)  # By kind, of this chapter.
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def sent(self, sender: MemberId, to: MemberId, request: bytes, under: str) -> bytes:
        transport: HttpTransport = self.wires.transports[sender]
        return await transport._attempt(to, part_of(request), request, {**transport._head, "salus-request": under})

    async def carry(self, sender: MemberId, to: MemberId, request: bytes) -> bytes:
        """Once as always, and once more under the same key, as after a lost reply."""
        under, tag = key(), tag_of(request)
        before = self.work[sender, to, request]
        reply = await self.sent(sender, to, request, under)
        if tag not in self.seen:
            again = await self.sent(sender, to, request, under)
            if again != reply or self.work[sender, to, request] != before + 1:
                self.wrong.append(f"{tag} was worked on {self.work[sender, to, request] - before} times")
            self.first.setdefault(tag, (sender, to, request))
        return reply

    async def chapter(self, happens: Awaitable[object]) -> None:
        """Let something happen, wait until all is quiet, then repeat each kind that is new under another key."""
        with suppress(RefusalError):
            await happens
        await asyncio.sleep(0.2)
        await asyncio.gather(*(t for m in self.wires.on.network.members for t in m.gateway.late))
        await self.wires.on.settled()
        for tag, (sender, to, request) in self.first.items():
            folder = self.wires.on[to].folder
            before, reply = contents(folder), await self.sent(sender, to, request, key())
            after = contents(folder)
            changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
            allowed = LOG_TABLES if tag in LOGGED else set()
            if {name.split("/")[-1] for name in changed} - allowed and not is_refused(reply):
                self.wrong.append(f"{tag} again changed {sorted(changed)}")
            if is_refused(reply) and changed:
                self.wrong.append(f"{tag} was refused, and changed {sorted(changed)}")
        self.seen |= self.first.keys()
        self.first.clear()


async def told(twice: Twice, on: Stage) -> None:
    """A story in which every kind of message occurs, in chapters."""
    mercy, lakeside, gateway = on["mercy"], on["lakeside"], on["mercy"].gateway
    committee = on.network.committee
    fresh = new_wallet(on.network.genesis.chain, committee, "us", (MERCY, LAKESIDE), MERCY)
    wallet = replace(fresh, rules=(permit("st-luke"),))
    policy = await consent.create(gateway, wallet)
    for writer in (MERCY, LAKESIDE):
        await twice.chapter(consent.send_link(gateway, wallet, policy, writer, writer))
        await on[writer].desk.accept_link(writer, writer)
    others = [new_wallet(on.network.genesis.chain, committee, "us", (MERCY,), None) for _ in range(2)]
    await twice.chapter(consent.create_many(gateway, others))
    await twice.chapter(on.seal("mercy", wallet, "a"))
    reading = on["st-luke"].reading(await on.clinician("st-luke"), on.wanted(wallet))
    await twice.chapter(reading.read())
    await twice.chapter(on.seal("mercy", wallet, "b"))  # The page that is open hears of it.
    await twice.chapter(mercy.author.audit())
    await twice.chapter(on.seal("lakeside", wallet, "c"))

    # Rules change, somebody missed them, the patient takes their keys.
    await twice.chapter(widened_alone(on, replace(wallet, rules=(permit("northgate"),))))
    mine = claimed(wallet)
    claiming = consent.change(gateway, wallet, mine, evidence=EVIDENCE, cosigner=lakeside.gateway)
    await twice.chapter(claiming)
    await twice.chapter(lakeside.desk.fetch_policy(wallet.subject, committee))
    with lakeside.keeping._store.commit("test.forgotten") as connection:
        connection.execute(POLICIES.delete().where(POLICIES.c.cell == wallet.cell))
    lakeside.keeper.policies.forget(wallet.cell, lakeside.keeping._store.tag(wallet.subject))
    await twice.chapter(lakeside.keeper.policies.fetch(wallet.cell))

    # Logs, directories, what was lost.
    await twice.chapter(read_log(gateway, wallet.subject, committee, (MERCY, LAKESIDE), mine.device_key()))
    await twice.chapter(ask(gateway.transport, MERCY, OwnMemberWantsLog(subject=wallet.subject), LogForOwnMember))
    await twice.chapter(mercy.directory.enter([Listing("Organization/1", "Organization", b"{1}")], mercy.peers))
    batch_id = next(batch_id for author, batch_id in lakeside.keeper.deposits.batches() if author == MERCY)
    await twice.chapter(ask(lakeside.gateway.transport, MERCY, BatchesLost(batches=(batch_id,)), DealingAgain))
    mercy.blobs.drop(MERCY, batch_id)
    await twice.chapter(mercy.scrub())

    # An author leaves.
    await left(on, "lakeside", "st-luke", seats=("mercy", "st-luke", "northgate"))
    await twice.chapter(on["st-luke"].repairer.work())


async def widened_alone(on: Stage, wider: Wallet) -> None:
    """A custodian's widening without a second signature: keepers tell the writers, and wait for a day."""
    gateway = on["mercy"].gateway
    seat = gateway.committee(wider.committee).seats[0]
    deposit = PolicyDeposit(policy=wider.policy(1, bytes(32)), evidence=EVIDENCE, cosignature=None)
    sealed = seal(seat.sealing, encode(deposit), info(gateway.chain, "policy"))
    await ask(gateway.transport, seat.member, SealedPolicy(seat=1, sealed=sealed), PolicyHeld)


async def test_every_kind_between_members_is_worked_on_once_per_key_and_harmless_under_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired(tmp_path, monkeypatch) as wires:
        twice = Twice(wires)

        async def carry(_board: Switchboard, sender: MemberId, to: MemberId, request: bytes) -> bytes:
            return await twice.carry(sender, to, request)

        monkeypatch.setattr(Switchboard, "carry", carry)
        for (member, _), server in wires.servers.items():
            count(server._door, member, twice.work)
        await told(twice, wires.on)
        known = {kind for door in doors_of(wires.on["mercy"]).values() for kind in door._handlers}
    assert not twice.wrong, "\n".join(twice.wrong)
    assert twice.seen == {str(kind.__struct_config__.tag) for kind in known}
    checkpoints = {kind.__name__ for kind in (SignatureWanted, CheckpointOffered, ChainWanted)}
    assert {kind.__name__ for kind in known} | checkpoints == kinds_in_the_source()


async def test_every_kind_about_checkpoints_is_worked_on_once_per_key_and_harmless_under_two(tmp_path: Path) -> None:
    team = Team(tmp_path)
    team.grow(1)
    assert (await team.tend())[0]
    signed = team.newest("mercy")
    assert signed is not None
    height, folder = signed.checkpoint.height, tmp_path / "st-luke"
    door, work = team.switchboard.doors[MemberId("st-luke")], Counter[Call]()
    count(door, BEN, work)
    async with wire() as on:
        await on.serve(BEN, door=door)
        transport = on.transport(ANNA)
        for request in (SignatureWanted(height=height), CheckpointOffered(signed=signed), ChainWanted()):
            data, under, before = encode(request), key(), files(folder)
            replies = [
                await transport._attempt(BEN, part_of(data), data, {**transport._head, "salus-request": each})
                for each in (under, under, key())
            ]
            assert (replies[0], work[ANNA, BEN, data]) == (replies[1], 2)
            assert tag_of(replies[2]) == tag_of(replies[0]) != Said.__struct_config__.tag
            assert files(folder) == before


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def count(door: Door, of: MemberId, work: Counter[Call]) -> None:
    """Count how often a member's door is given the same bytes."""
    handle = door.handle

    async def counted(sender: MemberId, data: bytes) -> bytes:
        work[sender, of, data] += 1
        return await handle(sender, data)

    door.handle = counted  # type: ignore[method-assign]
