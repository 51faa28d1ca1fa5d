"""Attacks by those who write, and by a hospital that keeps a patient's keys as custodian."""

from collections.abc import Sequence

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.world import DOCUMENTS_A, DOCUMENTS_B, Document, Patient, World, leaked, permit, sources
from salus.contracts.cells.messages import Advance, Create, SeatReceipt
from salus.contracts.cells.reads import cell_of
from salus.contracts.consent import Device, PolicySet, commitment
from salus.contracts.records.messages import Anchor, Withdraw
from salus.contracts.records.messages import SeatReceipt as BatchReceipt
from salus.contracts.records.reads import is_current
from salus.core.errors import RefusalError
from salus.core.ids import NO_DIGEST, FhirType, MemberId, Purpose
from salus.core.transport import PeerRefusalError
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.shares import faulty
from salus.keeper.messages import PolicyDeposit
from salus.sdk import consent
from salus.sdk.author_store import Plan
from salus.sdk.consent import deposit_with
from salus.sdk.errors import LedgerRefusedError
from salus.sdk.gateway import new_secret, seats_of
from salus.sdk.links import Link
from salus.sdk.reader import open_read
from salus.sdk.views import View
from salus.sdk.wallet import claimed, new_wallet

FORGED = Document("forged", FhirType("Observation"), "2024-01-01")
OWN_ACCESS = Purpose("PATRQT")  # A patient's own reading.


@attack("stranger writing to a subject", guard="salus.keeper.deposits.Deposits._may_write")
async def stranger_writes(world: World) -> Outcome:
    """Let northgate, which learnt a patient's handle, seal a record about a patient it does not treat."""
    patient = await world.new_patient({"mercy": ()})
    wallet = patient.wallet
    stranger = world.network["northgate"]
    stranger.store.keep_link("stolen", Link(wallet.subject, wallet.cell, wallet.committee, new_secret()))
    said = "sealed"
    try:
        await world.seal("northgate", patient, FORGED)
    except RefusalError as refusal:
        said = refusal.code
    view = await _read_as_patient(world, patient, "mercy")
    return verdict(leaked(view) > 0, said, "sdk.not_a_writer")


@attack("author amending another's record", guard="salus.contracts.members.reads.may_act_for")
async def amends_anothers(world: World) -> Outcome:
    """Let mercy seal a successor to a record that lakeside wrote, as if it had succeeded lakeside."""
    patient = await world.new_patient(DOCUMENTS_A)
    target = patient.records["laboratory"]
    said = "superseded"
    author = world.network["mercy"].author
    honest = author._anchor

    def forged(plan: Plan, receipts: Sequence[BatchReceipt]) -> Anchor:
        anchor = honest(plan, receipts)
        return replace(anchor, supersedes=tuple(replace(one, author=target.author) for one in anchor.supersedes))

    author._anchor = forged  # type: ignore[method-assign]
    try:
        await author.seal([world.sealable(patient, FORGED, replaces=target)])
    except LedgerRefusedError as refusal:
        said = refusal.said
    finally:
        del author._anchor
    happened = not is_current(world.state, target.author, target.batch_id, target.index)
    return verdict(happened, said, "records.batch_not_found")


@attack("author withdrawing another's record", guard="salus.contracts.members.reads.may_act_for")
async def withdraws_anothers(world: World) -> Outcome:
    """Let mercy take a record out of use that lakeside wrote, as if it had succeeded lakeside."""
    patient = await world.new_patient(DOCUMENTS_A)
    target = patient.records["laboratory"]
    withdraw = Withdraw(batch_id=target.batch_id, index=target.index, author=target.author)
    said = await world.propose(world.tx("mercy", withdraw))
    happened = not is_current(world.state, target.author, target.batch_id, target.index)
    return verdict(happened, said[0], "records.batch_not_found")


@attack("custodian reading as the patient", guard="salus.contracts.consent.policy.device_handle")
async def custodian_reads(world: World) -> Outcome:
    """Let mercy, which keeps a patient's keys, enter a device of its own and read what northgate wrote."""
    patient = await _with_custodians_device(world)
    try:
        view = await _read_as_patient(world, patient, "mercy")
    except PeerRefusalError as refusal:
        return verdict(False, refusal.said, "keeper.person")
    return verdict("scan" in sources(patient, view), "an answer", "keeper.person")


@attack("custodian widening alone", guard="salus.keeper.policies.Policies._check_custodian")
async def custodian_widens(world: World) -> Outcome:
    """Let mercy give itself a permit with the keys it keeps, at once and without a second writer's word."""
    patient = await world.new_patient(DOCUMENTS_B, custodian="mercy")
    widened = replace(patient.wallet, rules=(permit("mercy", purposes=(Purpose("TREAT"),)),))
    said = "in force"
    try:
        await consent.change(world.network["mercy"].gateway, patient.wallet, widened, evidence=new_secret())
    except PeerRefusalError as refusal:
        said = refusal.said
    view = await world.read("clinician@mercy", patient)
    return verdict("scan" in sources(patient, view), said, "keeper.widening_waits")


@attack("custodian acting after the claim", guard="salus.contracts.cells.transitions._owned")
async def custodian_after_claim(world: World) -> Outcome:
    """Let mercy go on with the keys it kept, after the patient has claimed the record."""
    patient = await world.new_patient(DOCUMENTS_B, custodian="mercy")
    kept = patient.wallet
    mercy = world.network["mercy"].gateway
    own = claimed(kept)
    await consent.change(mercy, kept, own, evidence=new_secret(), cosigner=world.network["northgate"].gateway)
    must(sources(patient, await world.read("clinician@mercy", patient)) == {"admission"}, "mercy reads its own alone")
    cell = cell_of(world.state, kept.cell)
    assert cell is not None, "The claim has just advanced it."
    widened = replace(own, rules=(permit("mercy", purposes=(Purpose("TREAT"),)),))
    policy = widened.policy(cell.version + 1, new_secret())
    receipts = await _deposit(world, policy)
    key = kept.owner_key(cell.version)
    message = Advance(
        cell_id=kept.cell,
        version=cell.version,
        owner_key=key.public,
        next_owner=kept.owner_digest(cell.version + 1),
        commitment=commitment(policy),
        receipts=receipts[: faulty(len(world.network.members)) + 1],
    )
    said = await world.propose(world.tx("mercy", message, witnesses=(key,)))
    view = await world.read("clinician@mercy", patient)
    return verdict("scan" in sources(patient, view), said[0], "cells.not_owner")


# Hands.


async def _read_as_patient(world: World, patient: Patient, via: str) -> View:
    """Ask the keepers as the patient would, with the wallet's device key."""
    wanted = world.wanted(patient, OWN_ACCESS)
    return await (await open_read(world.network[via].gateway, world.device(patient), wanted)).ask()


async def _deposit(world: World, policy: PolicySet) -> tuple[SeatReceipt, ...]:
    """Leave a policy version with every seat, as any member can."""
    gateway = world.network["mercy"].gateway
    deposit = PolicyDeposit(policy=policy, evidence=None, cosignature=None)
    seats = seats_of(gateway.committee(world.network.committee))
    held = [await deposit_with(gateway, seat, holder, deposit) for seat, holder in seats]
    return tuple(SeatReceipt(seat=one.seat, signature=one.signature) for one in held if one.signature is not None)


async def _with_custodians_device(world: World) -> Patient:
    """A patient in whose first policy the custodian entered a device, and about whom northgate wrote."""
    network = world.network
    mercy, northgate = network["mercy"], network["northgate"]
    writers = (mercy.name, northgate.name)
    wallet = new_wallet(network.genesis.chain, network.committee, "us", writers, custodian=MemberId("mercy"))
    key = wallet.device_key().public
    policy = replace(wallet.policy(0, new_secret()), devices=(Device(key=key, handle=digest(key)[:16]),))
    await _deposit(world, policy)
    create = Create(wallet.cell, wallet.committee, commitment(policy), wallet.owner_digest(0), NO_DIGEST)
    await mercy.gateway.sponsor(create)
    patient = Patient(wallet, policy)
    await consent.send_link(mercy.gateway, wallet, policy, northgate.name, wallet.cell.hex())
    await northgate.desk.accept_link(wallet.cell.hex(), wallet.cell.hex())
    await world.seal("northgate", patient, *DOCUMENTS_B["northgate"])
    return patient
