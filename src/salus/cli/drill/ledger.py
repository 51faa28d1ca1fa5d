"""Attacks on transactions: signatures, time, chain, bytes, size, quotas.

All but the flood are put straight into a block, past the queue, as a member that proposes blocks could: what refuses
them is each member's own machine.
"""

import asyncio

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.world import Patient, World
from salus.contracts.cells.messages import Create, Freeze
from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Status
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.credentials.reads import credential_of, is_active
from salus.contracts.members.reads import quota_of
from salus.contracts.records.messages import Anchor, Supersede
from salus.core.ids import DAY_MS, NO_DIGEST, CredentialId, PublicKey
from salus.core.wire import encode
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.machine.block import ACCEPTED
from salus.machine.errors import OverQuotaError
from salus.machine.transaction import Tx, Witness, transaction_id
from salus.sdk.consent import owned_cell
from salus.sdk.gateway import new_id, new_secret

AUTHENTICATE = "salus.machine.admission.authenticate"
LOW_ORDER_KEY: PublicKey = bytes([1]) + bytes(31)  # The neutral element: "signs" everything with R = itself and S = 0.
LOW_ORDER_SIGNATURE = LOW_ORDER_KEY + bytes(32)
JUNK_TARGETS = 3_000  # Fill a transaction to just below its limit; all are one target, so it is refused quickly.
FLOOD_TXS = 24  # Three blocks' worth of one member's quota.


@attack("forged signature", guard=AUTHENTICATE)
async def forged_signature(world: World) -> Outcome:
    """Revoke a clinician's credential in mercy's name, signed with a key of one's own."""
    credential, message = await _revocation(world)
    said = await world.propose(world.tx("mercy", message, key=SigningKey(new_secret())))
    return verdict(_is_revoked(world, credential), said[0], "machine.bad_signature")


@attack("wrong member's signature", guard=AUTHENTICATE)
async def wrong_members_signature(world: World) -> Outcome:
    """Revoke a clinician's credential in mercy's name, signed by lakeside."""
    credential, message = await _revocation(world)
    said = await world.propose(world.tx("mercy", message, key=world.network["lakeside"].secrets.ledger))
    return verdict(_is_revoked(world, credential), said[0], "machine.bad_signature")


@attack("another member's credential revoked", guard="salus.contracts.credentials.transitions.revoke")
async def foreign_revocation(world: World) -> Outcome:
    """Let lakeside, signing properly, revoke a credential that mercy issued."""
    credential, message = await _revocation(world)
    said = await world.propose(world.tx("lakeside", message))
    return verdict(_is_revoked(world, credential), said[0], "credentials.not_issuer")


@attack("forged owner's signature", guard="salus.machine.admission._signers")
async def forged_owner(world: World) -> Outcome:
    """Freeze a patient's cell: the owner's public key is known to the thief, the signature is the thief's."""
    patient = await world.new_patient({"mercy": ()})
    message = _freeze(patient)
    thief = SigningKey(new_secret())
    body = encode(world.body("northgate", message))
    named = transaction_id(body)
    witness = Witness(key=message.owner_key, signature=thief.sign(named))
    tx = Tx(body, world.network["northgate"].secrets.ledger.sign(named), (witness,))
    said = await world.propose(encode(tx))
    return verdict(_is_frozen(world, patient), said[0], "machine.bad_witness")


@attack("stranger's key on a cell", guard="salus.contracts.cells.transitions._owned")
async def strangers_key(world: World) -> Outcome:
    """Freeze a patient's cell with a key of one's own, signing properly with it."""
    patient = await world.new_patient({"mercy": ()})
    stranger = SigningKey(new_secret())
    message = Freeze(patient.wallet.cell, 0, stranger.public, digest(stranger.public))
    said = await world.propose(world.tx("northgate", message, witnesses=(stranger,)))
    return verdict(_is_frozen(world, patient), said[0], "cells.not_owner")


@attack("stale version", guard="salus.contracts.cells.transitions._owned")
async def stale_version(world: World) -> Outcome:
    """Freeze a cell on the strength of a version that has passed, with the owner's right key."""
    patient = await world.new_patient({"mercy": ()})
    await world.allow(patient)
    cell = owned_cell(world.network["mercy"].gateway, patient.wallet)
    must(cell.version == 1, "the cell has moved on")
    key = patient.wallet.owner_key(cell.version)
    message = Freeze(patient.wallet.cell, cell.version - 1, key.public, patient.wallet.owner_digest(2))
    said = await world.propose(world.tx("mercy", message, witnesses=(key,)))
    return verdict(_is_frozen(world, patient), said[0], "cells.stale_version")


@attack("expired transaction", guard=AUTHENTICATE)
async def expired_transaction(world: World) -> Outcome:
    """Hold a properly signed transaction back until its time has passed, then deliver it."""
    credential, message = await _revocation(world)
    said = await world.propose(world.tx("mercy", message, valid_until=world.network["mercy"].replica.time))
    return verdict(_is_revoked(world, credential), said[0], "machine.expired")


@attack("transaction valid for ever", guard=AUTHENTICATE)
async def endless_transaction(world: World) -> Outcome:
    """Sign a transaction that could be held back for a year."""
    credential, message = await _revocation(world)
    said = await world.propose(world.tx("mercy", message, valid_until=world.clock() + 365 * DAY_MS))
    return verdict(_is_revoked(world, credential), said[0], "machine.too_far_ahead")


@attack("transaction of another chain", guard=AUTHENTICATE)
async def other_chain(world: World) -> Outcome:
    """Deliver what mercy signed for another network, where it has the same key."""
    credential, message = await _revocation(world)
    said = await world.propose(world.tx("mercy", message, chain="salus-elsewhere"))
    return verdict(_is_revoked(world, credential), said[0], "machine.other_chain")


@attack("non-canonical bytes", guard="salus.core.wire.decode")
async def non_canonical(world: World) -> Outcome:
    """Write one integer of a signed transaction longer than needed: same meaning, other bytes, other id."""
    credential, message = await _revocation(world)
    canonical = encode(world.body("mercy", message))
    longer = canonical.replace(credential + b"\x00", credential + b"\xcc\x00")
    must(len(longer) == len(canonical) + 1, "the version is written longer")
    signature = world.network["mercy"].secrets.ledger.sign(transaction_id(longer))
    said = await world.propose(encode(Tx(longer, signature, ())))
    return verdict(_is_revoked(world, credential), said[0], "salus.malformed")


@attack("low-order key", guard="salus.crypto.signatures.verify")
async def low_order_key(world: World) -> Outcome:
    """Move a cell that waits for a key of small order, with a signature that anybody can write down."""
    cell_id = new_id()
    create = Create(cell_id, world.network.committee, new_secret(), digest(LOW_ORDER_KEY), NO_DIGEST)
    await world.accepted(world.tx("northgate", create))
    freeze = Freeze(cell_id, 0, LOW_ORDER_KEY, new_secret())
    body = encode(world.body("northgate", freeze))
    signature = world.network["northgate"].secrets.ledger.sign(transaction_id(body))
    said = await world.propose(encode(Tx(body, signature, (Witness(LOW_ORDER_KEY, LOW_ORDER_SIGNATURE),))))
    cell = cell_of(world.state, cell_id)
    return verdict(cell is not None and cell.status is Status.FROZEN, said[0], "machine.bad_witness")


@attack("oversize transaction", guard="salus.machine.admission._check_size")
async def oversize(world: World) -> Outcome:
    """Issue 2,200 credentials in one transaction of more than 128 KiB."""
    issues = [_issue(world) for _ in range(2_200)]
    tx = world.tx("mercy", *issues)
    must(len(tx) > 131_072, "the transaction is larger than the limit")
    said = await world.propose(tx)
    return verdict(credential_of(world.state, issues[-1].credential_id) is not None, said[0], "machine.too_large")


@attack("too many messages", guard="salus.machine.admission._check_size")
async def too_many_messages(world: World) -> Outcome:
    """Put 65 messages into one small transaction."""
    issues = [_issue(world) for _ in range(65)]
    said = await world.propose(world.tx("mercy", *issues))
    happened = credential_of(world.state, issues[-1].credential_id) is not None
    return verdict(happened, said[0], "machine.too_many_messages")


@attack("over quota", guard="salus.machine.machine._Quotas.take")
async def over_quota(world: World) -> Outcome:
    """Propose a block of which one member takes more bytes than its quota, be they of use to it or not."""
    txs = [_junk(world) for _ in range(FLOOD_TXS // 2)]
    quota = quota_of(world.state, world.network["mercy"].name)
    must(sum(map(len, txs)) > quota, "together they are more than the quota")
    said = await world.propose(*txs)
    taken = sum(len(tx) for tx, code in zip(txs, said, strict=True) if code != OverQuotaError.code)
    return verdict(taken > quota, said[-1], OverQuotaError.code)


@attack("flood against a revocation", guard="salus.machine.admission._read")
async def flood(world: World) -> Outcome:
    """Let a member fill its quota for three blocks, so that a patient's freeze through the same member has to wait."""
    patient = await world.new_patient({"mercy": ()})
    freeze = world.tx("mercy", _freeze(patient), witnesses=(patient.wallet.owner_key(0),))
    engine = world.network.engine
    *flooded, frozen = await asyncio.gather(*(engine.submit(tx) for tx in [*_junks(world), freeze]))
    heights = sorted({done.height for done in flooded})
    must(len(heights) > 1, "the flood takes several blocks")
    if frozen.code == ACCEPTED and frozen.height == heights[0]:
        return Outcome("refused", f"frozen in the flood's first block, {len(heights) - 1} blocks before its last")
    return Outcome("SUCCEEDED", f"the freeze waited for {frozen.height - heights[0]} blocks: {frozen.code}")


async def _revocation(world: World) -> tuple[CredentialId, Revoke]:
    """A fresh credential of mercy's, and the message that would end it."""
    person = await world.employ("mercy", "locum")
    return person.credential_id, Revoke(credential_id=person.credential_id, version=0)


def _is_revoked(world: World, credential: CredentialId) -> bool:
    return not is_active(world.state, credential, world.clock())


def _freeze(patient: Patient) -> Freeze:
    """What the owner of a fresh cell would say to freeze it."""
    wallet = patient.wallet
    return Freeze(wallet.cell, 0, wallet.owner_key(0).public, wallet.owner_digest(1))


def _is_frozen(world: World, patient: Patient) -> bool:
    cell = cell_of(world.state, patient.wallet.cell)
    return cell is not None and cell.status is Status.FROZEN


def _issue(world: World) -> Issue:
    return Issue(credential_id=new_id(), commitment=new_secret(), expires=world.clock() + DAY_MS)


def _junk(world: World) -> bytes:
    """A large transaction that costs a block its bytes and is refused by its contract."""
    batch_id = new_id()
    supersedes = (Supersede(batch_id=new_id(), index=0, successor_index=0),) * JUNK_TARGETS
    anchor = Anchor(batch_id, NO_DIGEST, NO_DIGEST, world.network.committee, 1, (), supersedes)
    return world.tx("mercy", anchor)


def _junks(world: World) -> list[bytes]:
    return [_junk(world) for _ in range(FLOOD_TXS)]
