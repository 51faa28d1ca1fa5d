"""A departed author, its successor, and what that one asks and deals, by hand: so that a test can change any part."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from salus.contracts.members.reads import committee_at
from salus.contracts.reads.messages import Request
from salus.contracts.reads.opening import RepairOpening, repair_commitment, repair_to_sign, reply_key_digest
from salus.contracts.records.reads import batch_of, dealing_of
from salus.core.ids import MINUTE_MS, Height, MemberId
from salus.core.wire import decode, encode, reopen, replace
from salus.crypto.hpke import OpeningKey, seal
from salus.keeper.answers import unpadded
from salus.keeper.messages import (
    Deposited,
    DepositRefused,
    LogEntry,
    RepairAnswer,
    RepairAsk,
    RepairAsking,
    RepairShares,
    info,
)
from salus.keeper.repairs import KIND
from salus.sdk.author_store import Repair
from salus.sdk.drafting import by_index
from salus.sdk.gateway import new_id, new_secret
from salus.sdk.repairing import StandIn
from salus.sdk.wallet import Wallet
from tests.node.changing import joined, left
from tests.node.stage import Stage, permit

AUTHOR, SUCCESSOR = MemberId("lakeside"), MemberId("st-luke")
BEFORE = ("mercy", "st-luke", "lakeside", "northgate")
NOW = ("northgate", "mercy", "st-luke", "southport")


@dataclass(frozen=True, slots=True)
class Departed:
    """What an author left behind."""

    wallet: Wallet
    batch_id: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that stands on the ledger."""

    opening: RepairOpening
    reply_key: OpeningKey
    height: Height


async def departed(on: Stage, *sources: str) -> Departed:
    """Lakeside seals one batch and leaves; the committee is at its second epoch, and southport sits in its stead."""
    wallet = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
    sealed = await on.seal("lakeside", wallet, *sources or ("a",))
    await joined(on, "southport")
    await left(on, "lakeside", "st-luke", seats=NOW)
    return Departed(wallet, sealed.records[0].batch_id)


async def opened(on: Stage, batch_id: bytes, *, by: str = SUCCESSOR, author: str = AUTHOR) -> Opened:
    """A request of a member's for a batch."""
    gateway, reply_key = on[by].gateway, OpeningKey(os.urandom(32))
    opening = RepairOpening(
        chain=gateway.chain,
        request_id=new_id(),
        salt=new_secret(),
        member=gateway.member,
        author=author,
        batch_id=batch_id,
        reply_key=reply_key.public,
    )
    request = Request(
        request_id=opening.request_id,
        commitment=repair_commitment(opening),
        reply_key_digest=reply_key_digest(reply_key.public),
        expires=max(gateway.view.time, gateway.clock()) + 10 * MINUTE_MS,
    )
    _, height = await gateway.sponsor(request)
    await on.settled()
    return Opened(opening, reply_key, height)


async def asked(
    on: Stage, one: Opened, *, keeper: str = "mercy", sender: str = SUCCESSOR, **changes: object
) -> RepairAnswer:
    """Ask a keeper of before; fields of the asking or of the envelope may be changed."""
    opening = changes.pop("opening", one.opening)
    assert isinstance(opening, RepairOpening)
    said = changes.pop("said", encode(opening))
    signer = str(changes.pop("signer", sender))
    epoch, seat = changes.pop("epoch", 1), changes.pop("seat", BEFORE.index(keeper) + 1)
    committee = changes.pop("committee", on.network.committee)
    asking = RepairAsking(
        opening=said,  # type: ignore[arg-type]
        signature=on[signer].gateway.key.sign(repair_to_sign(opening)),
        at_height=one.height,
    )
    chain = on["mercy"].gateway.chain
    sealed = seal(on[keeper].secrets.public.sealing, encode(replace(asking, **changes)), info(chain, "repair ask"))
    ask = RepairAsk(committee=committee, epoch=epoch, seat=seat, sealed=sealed)  # type: ignore[arg-type]
    reply = await on[keeper].keeper.answer_repair(MemberId(sender), ask)
    return decode(RepairAnswer, unpadded(one.reply_key.open(reply.sealed, info(chain, "repair answer"))))


async def learned(on: Stage, batch_id: bytes, *, by: str = SUCCESSOR, author: MemberId = AUTHOR) -> Repair:
    """All that a successor learns of a batch; nothing is dealt."""
    state = on.network.ledger.state
    batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
    assert batch is not None
    assert dealing is not None
    assert committee_at(state, batch.committee, dealing.epoch) is not None
    committee = on[by].gateway.committee(batch.committee)
    repair = await on[by].repairer._learned(author, batch_id, batch, dealing, committee)
    assert repair is not None
    return repair


def made(on: Stage, repair: Repair, *, seat: int = 1, by: str = SUCCESSOR) -> RepairShares:
    """What a successor sends to one seat."""
    stand_in = StandIn(on[by].gateway, on[by].store, on[by].blobs, repair)
    committee = on[by].gateway.committee(repair.plan.committee)
    entries = by_index({part.subject: part.entries for part in repair.parts})
    shares, hashes = stand_in._dealt(repair.plan, entries, committee)
    return stand_in.shares_for(repair.plan, entries, shares[seat - 1], hashes, seat)


async def sent(
    on: Stage, repair: Repair, shares: RepairShares, *, sender: str = SUCCESSOR, signer: str | None = None
) -> Deposited | DepositRefused:
    """Deliver it to the keeper that has the seat."""
    stand_in = StandIn(on[signer or sender].gateway, on[sender].store, on[sender].blobs, repair)
    holder = on["mercy"].gateway.committee(on.network.committee).seats[shares.seat - 1]
    deposit = stand_in.sealed(shares, holder.sealing)
    return await on[holder.member].keeper.repairs.accept(MemberId(sender), deposit)


def logged(on: Stage, wallet: Wallet, member: str, is_one: Callable[[str], bool] = KIND.__eq__) -> int:
    """How many repairs stand in the patient's log at a keeper."""
    entries = [reopen(LogEntry, data) for data in on[member].keeper.log.entries(wallet.subject)]
    return sum(is_one(entry.kind) for entry in entries)
