"""The patients an import meets: known ones are found again, new ones get a record under a hospital's custody.

A new patient's custodian is the member with most of their records, and every member with records is a writer from the
first version on. When a known patient has records at a further member, the custodian adds it as a writer, with a second
writer's signature (which is what keepers ask of a custodian who widens); a patient who has claimed their record adds
writers themselves, so that member's documents wait.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salus.cli.home import Home
from salus.cli.people import Patient as Registered
from salus.contracts.consent import PolicySet, Writer, is_writer
from salus.contracts.members.reads import member_of
from salus.core.errors import SalusError
from salus.core.ids import Digest, MemberId, SubjectId
from salus.core.wire import replace
from salus.node.gateway_side import GatewaySide
from salus.sdk import consent
from salus.sdk.links import LinkPackage
from salus.sdk.wallet import Wallet, new_wallet

NOT_A_WRITER = "import.not_a_writer"  # The patient alone, or nobody here, can add this member.


@dataclass(frozen=True, slots=True)
class Need:
    """Which members have records of a patient, how many, and what shows it."""

    counts: Mapping[MemberId, int]
    evidence: Digest


@dataclass(slots=True)
class Patient:
    """A patient as this import knows them."""

    local: str
    policy: PolicySet
    usual: MemberId  # Seals the Patient itself, and what nobody is known to have written.
    is_new: bool

    @property
    def subject(self) -> SubjectId:
        """Their handle."""
        return self.policy.subject


class Patients:
    """All patients of one import, found or made."""

    def __init__(self, home: Home, witnesses: int) -> None:
        self._network = home.network
        self._witnesses = witnesses
        self._people = home.people
        self._known: dict[str, Patient] = {}
        self.troubles: dict[str, str] = {}  # Why a patient's record could not be opened, by local number.

    def __len__(self) -> int:
        return len(self._known)

    @property
    def new(self) -> int:
        """How many were not known before."""
        return sum(patient.is_new for patient in self._known.values())

    async def meet(self, needs: Mapping[str, Need]) -> None:
        """Find or make these patients, with all these members as their writers where that can be."""
        fresh: dict[str, Need] = {}
        for local, need in needs.items():
            patient = self.find(local)
            if patient is None:
                fresh[local] = need
            else:
                await self._add_writers(patient, need)
        await self._create(fresh)

    def find(self, local: str) -> Patient | None:
        """The patient behind the members' own number."""
        patient = self._known.get(local)
        if patient is None:
            copies = [copy for member in self._network.members if (copy := _copy_at(member, local)) is not None]
            if not copies:
                return None
            policy = max(copies, key=lambda copy: copy.version)
            patient = self._known[local] = Patient(local, policy, _usual(policy), is_new=False)
        return patient

    def was_known(self, local: str) -> bool:
        """Whether the patient had a record before this import."""
        patient = self._known.get(local)
        return patient is not None and not patient.is_new

    async def _create(self, needs: Mapping[str, Need]) -> None:
        wallets = [self._wallet(need) for need in needs.values()]
        kept = self._people.keep(wallets, list(needs))  # First: a cell whose keys are lost could never be advanced.
        made: list[tuple[str, Wallet]] = []
        lost: list[Registered] = []
        results = await self._open(wallets)
        for local, patient, result in zip(needs, kept, results, strict=True):
            if isinstance(result, SalusError):
                self.troubles[local] = result.code
                lost.append(patient)
            else:
                self._known[local] = Patient(local, result, _usual(result), is_new=True)
                made.append((local, patient.wallet))
        self._people.forget(lost)
        await self._link(made)

    async def _open(self, wallets: Sequence[Wallet]) -> list[PolicySet | SalusError]:
        """Open the cells, each custodian those of its own patients; together they wait for the same blocks."""
        places: dict[MemberId, list[int]] = {}
        for place, wallet in enumerate(wallets):
            places.setdefault(wallet.custodian or wallet.writers[0].member, []).append(place)
        results: dict[int, PolicySet | SalusError] = {}

        async def open_theirs(custodian: MemberId, theirs: list[int]) -> None:
            gateway = self._network[custodian].gateway
            done = await consent.create_many(gateway, [wallets[place] for place in theirs])
            results.update(zip(theirs, done, strict=True))

        await asyncio.gather(*(open_theirs(*one) for one in places.items()))
        return [results[place] for place in range(len(wallets))]

    def _wallet(self, need: Need) -> Wallet:
        names = [member.name for member in self._network.members]
        custodian = max((name for name in names if name in need.counts), key=lambda name: need.counts[name])
        others = sorted((name for name in names if name != custodian), key=lambda name: name not in need.counts)
        with_records = sum(name in need.counts for name in others)
        writers = (custodian, *others[: max(with_records, self._witnesses)])
        entry = member_of(self._network[custodian].ledger.state, custodian)
        assert entry is not None, "A running member is on the ledger."
        chain, committee = self._network.genesis.chain, self._network.committee
        return new_wallet(chain, committee, entry.jurisdiction, writers, custodian)

    async def _link(self, made: Sequence[tuple[str, Wallet]]) -> None:
        by_member: dict[MemberId, list[tuple[LinkPackage, str]]] = {}
        for local, wallet in made:
            policy = self._known[local].policy
            for writer in policy.writers:
                package = LinkPackage(link=consent.link_of(wallet, writer.member), policy=policy)
                by_member.setdefault(writer.member, []).append((package, local))
        await asyncio.gather(*(self._network[name].desk.keep_many(part) for name, part in by_member.items()))

    async def _add_writers(self, patient: Patient, need: Need) -> None:
        now = self._network.members[0].clock()
        missing = [name for name in need.counts if not is_writer(patient.policy, name, now)]
        await self._link_again(patient, [name for name in need.counts if name not in missing])
        custodian, number = patient.policy.custodian, self._people.number_of(patient.policy.cell)
        if not missing or custodian is None or number is None:
            return  # Documents of members that are missing now are refused one by one, as `NOT_A_WRITER`.
        kept = self._people.patient(number)
        others = [writer.member for writer in patient.policy.writers if writer.member != custodian]
        cosigner = self._network[others[0]].gateway if others else None
        writers = (*patient.policy.writers, *(Writer(member=name) for name in missing))
        wider = replace(kept.wallet, writers=writers)
        gateway = self._network[custodian].gateway
        try:
            patient.policy, _ = await consent.change(gateway, kept.wallet, wider, need.evidence, cosigner)
        except SalusError as error:
            self.troubles[patient.local] = error.code
            return
        self._people.save(kept, wider)
        for name in missing:
            package = LinkPackage(link=consent.link_of(wider, name), policy=patient.policy)
            await self._network[name].desk.keep(package, patient.local)

    async def _link_again(self, patient: Patient, writers: Sequence[MemberId]) -> None:
        """Link those writers that an import which was cut short has not linked."""
        number = self._people.number_of(patient.policy.cell)
        without = [name for name in writers if self._network[name].store.link(patient.local) is None]
        if number is None or not without:
            return
        wallet = self._people.patient(number).wallet
        for name in without:
            package = LinkPackage(link=consent.link_of(wallet, name), policy=patient.policy)
            try:
                await self._network[name].desk.keep(package, patient.local)
            except SalusError as error:
                self.troubles[patient.local] = error.code


def _usual(policy: PolicySet) -> MemberId:
    """Who takes documents of which nobody knows the organisation."""
    return policy.custodian or policy.writers[0].member


def _copy_at(member: GatewaySide, local: str) -> PolicySet | None:
    link = member.store.link(local)
    copy = None if link is None else member.store.copy(link.subject)
    return None if copy is None else copy[0]
