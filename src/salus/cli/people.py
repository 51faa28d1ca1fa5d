"""The people of a folder: clinicians with keys and credentials, patients with wallets.

A member's person is employed when first named, with the role that the name says, and has a file under `people/` that
stands for their own card. Patients are numbered; where their wallets lie is told in `wallets.py`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from salus.cli.errors import ElsewhereError, PolicyAwayError, UnknownMemberError, UnknownPatientError
from salus.cli.identity import StaffName
from salus.cli.wallets import Claim, Custody, Devices, Kept, Register
from salus.contracts.cells.reads import cell_of
from salus.contracts.consent import PolicySet
from salus.contracts.members.reads import members_of
from salus.core.errors import MalformedError, UnavailableError
from salus.core.ids import CellId, CredentialId, Digest, MemberId
from salus.core.wire import decode, encode
from salus.crypto.errors import UnopenableError
from salus.node.gateway_side import GatewaySide
from salus.node.hosted import Hosted
from salus.node.keys import FolderError, KeyFileError, write_secret
from salus.sdk.people import Person, employ
from salus.sdk.reader import Reader
from salus.sdk.wallet import Wallet


@dataclass(frozen=True, slots=True, repr=False)
class Patient:
    """A patient as this folder knows them."""

    number: int
    name: str
    wallet: Wallet

    @property
    def custodian(self) -> MemberId | None:
        """The hospital that keeps the wallet; None where the patient's own device does."""
        return self.wallet.custodian

    @property
    def writers(self) -> tuple[MemberId, ...]:
        """Who may write about them, as far as this wallet knows."""
        return tuple(writer.member for writer in self.wallet.writers)


class People:
    """All people of one folder. Not for two threads."""

    def __init__(self, network: Hosted) -> None:
        self._network = network
        self._folder = network.folder / "people"
        self.register = Register(self._folder)
        self._devices = Devices(self._folder)
        self._custodies: dict[MemberId, Custody] = {}
        self._employing = asyncio.Lock()

    def close(self) -> None:
        """Let go of all files."""
        self.register.close()
        for custody in self._custodies.values():
            custody.close()

    # Members' people.

    async def staff(self, who: StaffName) -> Person:
        """A member's person; employed now if this is the first time that they are named.

        Raises:
            UnknownMemberError: the network has no such member.
            KeyFileError: the file that stands for their card is damaged.
        """
        member = self.member(who.member)
        path = self._folder / str(who)
        async with self._employing:
            if path.exists():
                try:
                    return decode(Person, path.read_bytes())
                except (OSError, MalformedError):
                    raise KeyFileError(duty="person") from None
            person = await employ(member.gateway, who.name, who.roles)
            try:
                write_secret(path, encode(person))
            except OSError as error:
                raise FolderError(reason=error.strerror or type(error).__name__) from None
            return person

    def name_of(self, credential_id: CredentialId) -> str | None:
        """By what name a credential's holder is known here."""
        for path in self._folder.glob("*@*"):
            person = decode(Person, path.read_bytes())
            if person.credential_id == credential_id:
                return f"{person.name}@{person.member}"
        return None

    def member(self, name: str) -> GatewaySide:
        """A member of this network whose people act here.

        Raises:
            UnknownMemberError: the network has none of this name.
            ElsewhereError: its people act on a machine of their own.
        """
        if name in self._network:
            return self._network[name]
        raise ElsewhereError(member=self.anyone(name))

    def anyone(self, name: str) -> MemberId:
        """A member of this network, wherever its people act.

        Raises:
            UnknownMemberError: the network has none of this name.
        """
        names = members_of(self._network.ledger.state)
        if name not in names:
            raise UnknownMemberError(members=", ".join(names))
        return MemberId(name)

    # Patients.

    def keep(self, wallets: Sequence[Wallet], names: Sequence[str]) -> list[Patient]:
        """Give numbers to new patients and keep their wallets: those of one custodian with one durable write."""
        numbers = self.register.add((wallet.cell, wallet.custodian) for wallet in wallets)
        patients = [Patient(n, name, w) for n, w, name in zip(numbers, wallets, names, strict=True)]
        for custodian in dict.fromkeys(patient.custodian for patient in patients):
            theirs = [patient for patient in patients if patient.custodian == custodian]
            if custodian is not None:
                self._custody(custodian).keep([(p.number, Kept(wallet=p.wallet, name=p.name)) for p in theirs])
            else:
                for patient in theirs:
                    self._devices.keep(patient.number, Kept(wallet=patient.wallet, name=patient.name))
        return patients

    def forget(self, patients: Sequence[Patient]) -> None:
        """Take patients out again whose cells never came to be."""
        for patient in patients:
            if patient.custodian is not None:
                self._custody(patient.custodian).give_up(patient.number)
            self._devices.forget(patient.number)
        self.register.forget([patient.number for patient in patients])

    def patient(self, number: int) -> Patient:
        """A patient with the rules and writers that are in force.

        Raises:
            UnknownPatientError: nobody has this number.
            KeyFileError: the wallet's file is damaged.
        """
        kept = self._kept(number)
        return Patient(number, kept.name, self._up_to_date(kept.wallet))

    def patients(self) -> Iterator[Patient]:
        """All patients, by number."""
        for number in self.register.numbers():
            yield self.patient(number)

    def number_of(self, cell: CellId) -> int | None:
        """The number of the patient behind a cell."""
        return self.register.number_of(cell)

    def policy_of(self, wallet: Wallet) -> PolicySet:
        """The policy version in force, from a writer that has it; the ledger says which one that is.

        Raises:
            PolicyAwayError: no writer has it, or none whose store can be read now.
        """
        for writer in wallet.writers:
            if writer.member not in self._network:
                continue
            member = self._network[writer.member]
            try:
                copy = member.store.copy(wallet.subject)
            except UnavailableError:
                continue  # Its store is away: another writer's will do.
            cell = cell_of(member.gateway.view.state, wallet.cell)
            if copy is not None and cell is not None and cell.commitment == copy[1]:
                return copy[0]
        raise PolicyAwayError(writers=len(wallet.writers))

    def save(self, patient: Patient, wallet: Wallet) -> Patient:
        """Keep a patient's changed wallet; durable on return."""
        kept = Kept(wallet=wallet, name=patient.name)
        if wallet.custodian is None:
            self._devices.keep(patient.number, kept)
        else:
            self._custody(wallet.custodian).keep([(patient.number, kept)])
        return replace(patient, wallet=wallet)

    def begin_claim(self, patient: Patient, wallet: Wallet, policy: PolicySet, evidence: Digest) -> Claim:
        """Keep the wallet that will take the record over, before anybody hears of it."""
        claim = Claim(kept=Kept(wallet=wallet, name=patient.name), policy=policy, evidence=evidence)
        self._devices.keep_claim(patient.number, claim)
        return claim

    def claim(self, number: int) -> Claim | None:
        """The claim that is under way for a patient."""
        return self._devices.claim(number)

    def finish_claim(self, patient: Patient, claim: Claim) -> Patient:
        """Make the claimed wallet the patient's, and let the custodian destroy its own."""
        self._devices.keep(patient.number, claim.kept)
        self.register.claimed(patient.number)
        if patient.custodian is not None:
            self._custody(patient.custodian).give_up(patient.number)
        self._devices.end_claim(patient.number)
        return replace(patient, wallet=claim.kept.wallet)

    def _kept(self, number: int) -> Kept:
        custodian = self.register.custodian_of(number)
        if custodian is None:
            raise UnknownPatientError(number=number)
        kept = self._devices.find(number) if custodian[0] is None else self._custody(custodian[0]).find(number)
        claim = self._devices.claim(number)
        if claim is not None and self._owns(claim.kept.wallet):  # A crash came between the ledger and the files.
            before = claim.kept if kept is None else kept
            return Kept(self.finish_claim(Patient(number, before.name, before.wallet), claim).wallet, before.name)
        if kept is None:
            raise KeyFileError(duty="wallet")
        return kept

    def _owns(self, wallet: Wallet) -> bool:
        cell = cell_of(self._network.members[0].gateway.view.state, wallet.cell)
        return cell is not None and cell.owner == wallet.owner_digest(cell.version)

    def _up_to_date(self, wallet: Wallet) -> Wallet:
        """Rules and writers as the version in force has them: a crash may have left the file one behind."""
        try:
            return wallet.with_rules_of(self.policy_of(wallet))
        except PolicyAwayError:
            return wallet
        except UnopenableError:
            return wallet  # Another seed owns the cell now; the ledger will refuse this one.

    def _custody(self, member: MemberId) -> Custody:
        custody = self._custodies.get(member)
        if custody is None:
            at = self.member(member)
            custody = self._custodies[member] = Custody(at.folder, at.secrets.gateway_kek)
        return custody


def reader_of(person: Person) -> Reader:
    """A member's person as one who reads."""
    return Reader(person.key, person.credential_id, person.claims)
