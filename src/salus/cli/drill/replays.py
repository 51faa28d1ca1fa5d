"""Replays: a final transaction, of each kind of message, put into a block once more.

No nonce protects anybody: each message makes an id that must be new, or consumes a version that must be current. Before
each replay the world has moved on, so that a second acceptance would undo something.
"""

from collections.abc import Awaitable, Callable

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.epochs import TURNED, seat
from salus.cli.drill.world import Document, Patient, World
from salus.contracts.cells.messages import Advance, Close, Create, Freeze, Thaw
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.members.messages import (
    AnnounceTls,
    Endpoints,
    Move,
    Propose,
    RotateGateway,
    RotateTls,
    SetQuota,
    Vote,
)
from salus.contracts.members.reads import member_of
from salus.contracts.members.tables import Member
from salus.contracts.reads.messages import LogRoot, Request
from salus.contracts.records.messages import Anchor, Attest, Withdraw
from salus.core.ids import MIB_BYTES, FhirType, MemberId, Version
from salus.core.wire import Message
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey
from salus.machine.admission import read
from salus.machine.block import ACCEPTED
from salus.sdk import consent
from salus.sdk.gateway import new_id, new_secret
from salus.sdk.people import dismiss
from salus.sdk.reader import open_read

Preparation = Callable[[World], Awaitable[None]]

_OWNED = "salus.contracts.cells.transitions._owned"
_OWN = "salus.contracts.members.governing._own"
_NOTE = {"mercy": (Document("note", FhirType("Observation"), "2023-01-01"),)}


async def _empty(world: World) -> Patient:
    return await world.new_patient({"mercy": ()})


async def _create(world: World) -> None:
    """A cell opened, then closed: again, it would be live."""
    await consent.close(world.network["mercy"].gateway, (await _empty(world)).wallet)


async def _advance(world: World) -> None:
    """A policy put in force: again, it would undo what came after it."""
    await world.allow(await _empty(world))


async def _freeze(world: World) -> None:
    """A cell frozen and thawed: again, it would be frozen."""
    gateway, patient = world.network["mercy"].gateway, await _empty(world)
    await consent.freeze(gateway, patient.wallet)
    await consent.thaw(gateway, patient.wallet)


async def _thaw(world: World) -> None:
    """A cell frozen, thawed and frozen: again, it would be thawed."""
    gateway, patient = world.network["mercy"].gateway, await _empty(world)
    await consent.freeze(gateway, patient.wallet)
    await consent.thaw(gateway, patient.wallet)
    await consent.freeze(gateway, patient.wallet)


async def _issue(world: World) -> None:
    """A credential issued and revoked: again, it would be in force."""
    person = await world.employ("mercy", "locum")
    await dismiss(world.network["mercy"].gateway, person.credential_id)


async def _anchor(world: World) -> None:
    """A batch: again, it would move to another height."""
    await world.new_patient(_NOTE)


async def _attest(world: World) -> None:
    """A batch that was dealt again: again, it would count from another height."""
    await world.new_patient(_NOTE)
    await seat(world, *TURNED)
    await world.network["mercy"].redealer.work()


async def _withdraw(world: World) -> None:
    """A record withdrawn."""
    patient = await world.new_patient(_NOTE)
    await world.network["mercy"].author.withdraw(patient.records["note"])


async def _request(world: World) -> None:
    """A request to read: again, it would be open longer than anybody saw."""
    await open_read(world.network["mercy"].gateway, world.reader("clinician@mercy"), world.wanted(world.a))


async def _log_root(world: World) -> None:
    """A log's root, then a later one: again, the log would seem shorter."""
    await world.read("clinician@mercy", world.a)
    await world.network.tend()


async def _propose(world: World) -> None:
    """A proposal that the others turned down: again, it would be open again."""
    proposal_id = await _proposed(world)
    for member in ("st-luke", "lakeside"):
        await _said(world, member, Vote(proposal_id=proposal_id, approve=False))


async def _vote(world: World) -> None:
    """A vote: again, it would count twice."""
    await _said(world, "st-luke", Vote(proposal_id=await _proposed(world), approve=True))


async def _move(world: World) -> None:
    """A member that moved twice: again, it would be looked for where it was."""
    for place in ("first.example:1", "second.example:1"):
        await _said(world, "mercy", Move(version=_own_version(world), endpoints=Endpoints(keeper=place)))


async def _announce_tls(world: World) -> None:
    """A key that was announced and replaced by another before it served: again, it would be accepted."""
    for _ in range(2):
        await _announced(world)


async def _rotate_tls(world: World) -> None:
    """A key that ended, and the next one announced: again, it would end the one that serves."""
    await _announced(world)
    await _said(world, "mercy", RotateTls(version=_own_version(world)))
    await _announced(world)


async def _rotate_gateway(world: World) -> None:
    """A key that was replaced: again, links would be sealed to the old one."""
    for _ in range(2):
        key = OpeningKey(new_secret()).public
        await _said(world, "mercy", RotateGateway(version=_own_version(world), key=key))


async def _proposed(world: World) -> bytes:
    proposal_id = new_id()
    change = SetQuota(member=MemberId("mercy"), version=_member(world).version, quota_bytes=MIB_BYTES)
    await _said(world, "mercy", Propose(proposal_id=proposal_id, changes=(change,), activate_at=0))
    return proposal_id


async def _announced(world: World) -> None:
    key = SigningKey(new_secret())
    await _said(world, "mercy", AnnounceTls(version=_own_version(world), key=key.public), key)


async def _said(world: World, member: str, message: Message, *witnesses: SigningKey) -> None:
    await world.accepted(world.tx(member, message, witnesses=witnesses))


def _own_version(world: World) -> Version:
    return _member(world).own_version


def _member(world: World) -> Member:
    entry = member_of(world.state, MemberId("mercy"))
    must(entry is not None, "mercy is a member")
    assert entry is not None
    return entry


def _enter(kind: type[Message], prepare: Preparation, guard: str, expected: str, *, harmful: bool = False) -> None:
    name = str(kind.__struct_config__.tag).split(".")[1].split("/")[0]  # `reads.log_root/1` is log_root.

    async def replay(world: World) -> Outcome:
        await prepare(world)
        tx = _newest(world, kind)
        said = await world.propose(tx)
        return verdict(said[0] == ACCEPTED, said[0], expected)

    replay.__doc__ = f"Replay {name}. {prepare.__doc__}"
    attack(f"replay of {name}", guard=guard, harmful=harmful)(replay)


def _newest(world: World, kind: type[Message]) -> bytes:
    """The newest accepted transaction with a message of this kind, as every member has it in its blocks."""
    found = b""
    for stored in world.network["northgate"].replica.blocks():
        for tx, result in zip(stored.block.txs, stored.results, strict=True):
            if result.code == ACCEPTED and any(type(one) is kind for one in read(tx).body.messages):
                found = tx
    must(bool(found), f"{kind.__name__} was accepted once")
    return found


_enter(Create, _create, "salus.contracts.cells.transitions.create", "cells.exists")
_enter(Advance, _advance, _OWNED, "cells.stale_version")
_enter(Freeze, _freeze, _OWNED, "cells.stale_version")
_enter(Thaw, _thaw, _OWNED, "cells.stale_version")
_enter(Close, _create, _OWNED, "cells.stale_version")
_enter(Issue, _issue, "salus.contracts.credentials.transitions.issue", "credentials.exists")
_enter(Revoke, _issue, "salus.contracts.credentials.transitions.revoke", "credentials.stale_version")
_enter(Anchor, _anchor, "salus.contracts.records.transitions.anchor", "records.batch_exists")
_enter(Attest, _attest, "salus.contracts.records.transitions.attest", "records.attested_before", harmful=True)
_enter(Withdraw, _withdraw, "salus.contracts.records.transitions.withdraw", "records.already_withdrawn")
_enter(Request, _request, "salus.contracts.reads.transitions.request", "reads.exists")
_enter(LogRoot, _log_root, "salus.contracts.reads.transitions.log_root", "reads.stale_version")
_enter(Propose, _propose, "salus.contracts.members.governing.propose", "members.proposal_exists")
_enter(Vote, _vote, "salus.contracts.members.governing.vote", "members.voted_already")
_enter(Move, _move, _OWN, "members.stale_version")
_enter(AnnounceTls, _announce_tls, _OWN, "members.stale_version")
_enter(RotateTls, _rotate_tls, _OWN, "members.stale_version", harmful=True)
_enter(RotateGateway, _rotate_gateway, _OWN, "members.stale_version", harmful=True)
