"""Replays: a final transaction, of each kind of message, put into a block once more.

No nonce protects anybody: each message makes an id that must be new, or consumes a version that must be current. Before
each replay the world has moved on, so that a second acceptance would undo something.
"""

from collections.abc import Awaitable, Callable

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.world import Document, Patient, World
from salus.contracts.cells.messages import Advance, Close, Create, Freeze, Thaw
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.reads.messages import LogRoot, Request
from salus.contracts.records.messages import Anchor, Withdraw
from salus.core.ids import FhirType
from salus.core.wire import Message
from salus.machine.admission import read
from salus.machine.block import ACCEPTED
from salus.sdk import consent
from salus.sdk.people import dismiss
from salus.sdk.reader import open_read

Preparation = Callable[[World], Awaitable[None]]

_OWNED = "salus.contracts.cells.transitions._owned"
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


def _enter(kind: type[Message], prepare: Preparation, guard: str, expected: str) -> None:
    name = str(kind.__struct_config__.tag).split(".")[1].split("/")[0]  # `reads.log_root/1` is log_root.

    async def replay(world: World) -> Outcome:
        await prepare(world)
        tx = _newest(world, kind)
        said = await world.propose(tx)
        return verdict(said[0] == ACCEPTED, said[0], expected)

    replay.__doc__ = f"Replay {name}. {prepare.__doc__}"
    attack(f"replay of {name}", guard=guard)(replay)


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
_enter(Withdraw, _withdraw, "salus.contracts.records.transitions.withdraw", "records.already_withdrawn")
_enter(Request, _request, "salus.contracts.reads.transitions.request", "reads.exists")
_enter(LogRoot, _log_root, "salus.contracts.reads.transitions.log_root", "reads.stale_version")
