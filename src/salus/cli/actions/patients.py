"""New patients, links to further hospitals, and the claim by which a patient takes over their own record."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from salus.cli.errors import AlreadyOwnError, NoWitnessError
from salus.cli.home import Home
from salus.cli.identity import StaffName
from salus.cli.people import Patient
from salus.contracts.consent import PolicySet, Writer
from salus.core.ids import Digest, Height, MemberId
from salus.core.wire import replace
from salus.sdk import consent
from salus.sdk.gateway import Gateway, new_secret
from salus.sdk.links import LinkPackage
from salus.sdk.wallet import Wallet, claimed, new_wallet

CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # Without those that are mistaken for one another.
CODE_LENGTH = 10


@dataclass(frozen=True, slots=True, repr=False)
class NewPatient:
    """A patient to be: who may write about them, and who keeps their wallet."""

    writers: tuple[MemberId, ...]
    custodian: MemberId | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Linked:
    """A further hospital may write about the patient."""

    patient: Patient
    to: MemberId
    code: str  # The patient shows it at the hospital's desk, once.
    is_accepted: bool
    height: Height


@dataclass(frozen=True, slots=True)
class Claimed:
    """A record that is its patient's own from now on."""

    patient: Patient
    was_kept_by: MemberId
    witness: MemberId | None
    height: Height


async def new_patient(
    home: Home,
    writers: Sequence[str],
    *,
    custodian: str | None = None,
    name: str = "",
    jurisdiction: str | None = None,
) -> Patient:
    """Open a patient's consent, with these hospitals as writers; the first alone keeps no keys unless it is custodian.

    A writer elsewhere is told nothing yet: the patient shows it a code (`link`).

    Raises:
        UnknownMemberError: a writer or the custodian is no member.
        ElsewhereError: the custodian's people act on another machine.
        TooFewSeatsError: too few keepers are up; nothing was begun.
    """
    members = tuple(home.anyone(writer) for writer in writers)
    keeper = None if custodian is None else home.member(custodian).name
    (patient,) = await new_patients(home, [NewPatient(members, keeper, name)], jurisdiction=jurisdiction)
    return patient


async def new_patients(home: Home, wanted: Sequence[NewPatient], *, jurisdiction: str | None = None) -> list[Patient]:
    """Many at once: their cells go into the same blocks, and each writer knows its patients on return.

    Wallets are durable before their cells are on the ledger; where that fails they are thrown away again.
    """
    wallets = [_fresh(home, new, jurisdiction) for new in wanted]
    patients = home.people.keep(wallets, [new.name for new in wanted])
    opened = await asyncio.gather(*(_open(home, patient) for patient in patients), return_exceptions=True)
    failed = [one for one in opened if isinstance(one, BaseException)]
    if failed:
        home.people.forget([p for p, one in zip(patients, opened, strict=True) if isinstance(one, BaseException)])
        raise failed[0]
    return patients


async def link(
    home: Home,
    patient: Patient,
    to: str,
    *,
    accept: bool = False,
    via: str | None = None,
    evidence: Digest | None = None,
    witness: str | None = None,
) -> Linked:
    """Let a further hospital write about the patient, and give it its link behind a one-time code.

    Repeating it for a hospital that is a writer already gives a new code. `evidence` and `witness` are a custodian's.

    Raises:
        UnknownMemberError: there is no such hospital.
        ElsewhereError: its desk is elsewhere, so that it cannot take the link over at once.
        NoWitnessError: the witness is not another writer.
        PeerRefusalError: keepers wait for evidence, a witness, or a day (`keeper.widening_waits`).
    """
    writer = home.member(to).name if accept else home.anyone(to)
    gateway = home.gateway(patient, via)
    if writer in patient.writers:
        policy, height = home.people.policy_of(patient.wallet), gateway.view.height
    else:
        wider = replace(patient.wallet, writers=(*patient.wallet.writers, Writer(member=writer)))
        cosigner = cosigner_of(home, patient, witness)
        policy, height = await consent.change(gateway, patient.wallet, wider, evidence, cosigner)
        patient = home.people.save(patient, wider)
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    await consent.send_link(gateway, patient.wallet, policy, writer, code)
    if accept:
        await home.member(writer).desk.accept_link(code, local_number(patient))
    return Linked(patient, writer, code, accept, height)


async def accept_link(home: Home, who: StaffName, code: str, local: str) -> int | None:
    """The hospital's side: take the link behind the code that a patient shows. Their number here, if they have one.

    Raises:
        NoSuchSubjectError: no link waits for this code.
    """
    taken = await home.member(who.member).desk.accept_link(code, local)
    return home.people.number_of(taken.cell)


async def claim(
    home: Home, patient: Patient, evidence: Digest, *, witness: str | None = None, via: str | None = None
) -> Claimed:
    """Take the record over from its custodian, under a fresh seed that only the patient's device holds.

    The first call gives notice to all keepers. With a second writer as witness it is done at once; without one, the
    same call succeeds 24 hours of block time later, with the very policy that was noticed.

    Raises:
        AlreadyOwnError: nobody is custodian: the record is the patient's already.
        NoWitnessError: the witness is not another writer.
        PeerRefusalError: keepers wait for a witness or a day (`keeper.widening_waits`).
    """
    if patient.custodian is None:
        raise AlreadyOwnError(number=patient.number)
    cosigner = cosigner_of(home, patient, witness)
    gateway = home.gateway(patient, via)
    version = consent.owned_cell(gateway, patient.wallet).version + 1
    begun = home.people.claim(patient.number)
    if begun is None or begun.policy.version != version or begun.evidence != evidence:
        fresh = claimed(patient.wallet)
        begun = home.people.begin_claim(patient, fresh, fresh.policy(version, new_secret()), evidence)
    _, height = await consent.change(
        gateway, patient.wallet, begun.kept.wallet, evidence, cosigner, policy=begun.policy
    )
    mine = home.people.finish_claim(patient, begun)
    return Claimed(mine, patient.custodian, None if cosigner is None else cosigner.member, height)


def cosigner_of(home: Home, patient: Patient, witness: str | None) -> Gateway | None:
    """The gateway of the hospital that signs beside a custodian.

    Raises:
        NoWitnessError: it is the custodian itself, or writes nothing about this patient.
    """
    if witness is None or patient.custodian is None:
        return None
    member = home.member(witness)
    if member.name == patient.custodian or member.name not in patient.writers:
        others = [writer for writer in patient.writers if writer != patient.custodian]
        raise NoWitnessError(witness=member.name, may=", ".join(others) or "nobody")
    return member.gateway


def local_number(patient: Patient) -> str:
    """By what number a hospital files a patient that was made here."""
    return f"patient:{patient.number}"


def _fresh(home: Home, new: NewPatient, jurisdiction: str | None) -> Wallet:
    place = jurisdiction or next(member.jurisdiction for member in home.network.genesis.members)
    return new_wallet(home.network.genesis.chain, home.network.committee, place, new.writers, new.custodian)


async def _open(home: Home, patient: Patient) -> None:
    policy = await consent.create(home.gateway(patient), patient.wallet)
    for writer in [name for name in patient.writers if name in home.network]:
        await _hand_over(home, patient, policy, writer)


async def _hand_over(home: Home, patient: Patient, policy: PolicySet, writer: MemberId) -> None:
    """Give a writer that is at the desk its link: no code is needed between people who stand side by side."""
    package = LinkPackage(link=consent.link_of(patient.wallet, writer), policy=policy)
    await home.member(writer).desk.keep(package, local_number(patient))
