"""The network that attacks are aimed at: four members, their people, two patients, and hands to do what is forbidden.

A: a patient with an own wallet; mercy and lakeside write. B: mercy keeps the keys as custodian; mercy and northgate
write. st-luke writes about neither. Each member employs a clinician; st-luke an emergency doctor and a researcher too.
"""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from salus.contracts.consent import ClearRule, Effect, PolicySet, record_date_terms, seal_facts
from salus.contracts.consent import Reader as Who
from salus.contracts.reads.opening import Selection
from salus.contracts.records.header import RecordId
from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import MINUTE_MS, ChainId, FhirType, Height, MemberId, Purpose, TimeMs
from salus.core.wire import Message, decode, replace
from salus.crypto.signatures import SigningKey
from salus.engines.agreement import Agreement
from salus.keeper.messages import LogEntry
from salus.machine.block import ACCEPTED, Block, header_id
from salus.machine.transaction import Body, sign
from salus.node.folder import found, usual_names
from salus.node.network import Network
from salus.node.settings import Settings, system_clock
from salus.sdk import consent
from salus.sdk.author import NewDocument
from salus.sdk.errors import LedgerRefusedError
from salus.sdk.gateway import new_id
from salus.sdk.packs import shipped_packs
from salus.sdk.people import Person, employ
from salus.sdk.reader import Reader, Wanted
from salus.sdk.views import View
from salus.sdk.wallet import Wallet, new_wallet
from salus.state.state import State

JURISDICTION = "us"
VALID_MS = 10 * MINUTE_MS


@dataclass(slots=True)
class TurnableClock:
    """This machine's time, plus what an attack turned it ahead."""

    base: Clock = system_clock
    ahead_ms: int = 0

    def __call__(self) -> TimeMs:
        return self.base() + self.ahead_ms


@dataclass(frozen=True, slots=True)
class Document:
    """A document to be sealed: what is in it, and what it is labelled with."""

    source: str
    fhir_type: FhirType
    date: str
    labels: tuple[str, ...] = ()

    @property
    def data(self) -> bytes:
        """The bytes that a reader gets back; one can tell from them which document it is."""
        return f'{{"resourceType":"{self.fhir_type}","id":"{self.source}","date":"{self.date}"}}'.encode()


@dataclass(slots=True)
class Patient:
    """A patient, with the wallet that owns the cell now and the policy it put in force."""

    wallet: Wallet
    policy: PolicySet
    documents: dict[str, Document] = field(default_factory=dict)  # By source.
    records: dict[str, RecordId] = field(default_factory=dict)  # What became of each.


DOCUMENTS_A = {
    "mercy": (
        Document("visit", FhirType("Observation"), "2020-03-02"),
        Document("psychiatry", FhirType("DocumentReference"), "2021-06-11", ("PSY",)),
        Document("old-visit", FhirType("Observation"), "2012-01-30"),
    ),
    "lakeside": (
        Document("laboratory", FhirType("DiagnosticReport"), "2020-04-05"),
        Document("substance-use", FhirType("Condition"), "2020-05-06", ("SUD",)),
    ),
}
DOCUMENTS_B = {
    "mercy": (Document("admission", FhirType("Encounter"), "2022-02-02"),),
    "northgate": (Document("scan", FhirType("ImagingStudy"), "2022-02-03"),),
}


class World:
    """A running network with people in it."""

    def __init__(self, network: Network, clock: TurnableClock) -> None:
        self.network = network
        self.clock = clock
        self.people: dict[str, Person] = {}  # By role and member, such as `clinician@mercy`.
        self.a: Patient
        self.b: Patient
        self._pack = next(pack for pack in shipped_packs() if pack.jurisdiction == JURISDICTION)
        keys = {member.name: member.secrets.validator for member in network.members}
        self._agreement = Agreement({member.name: member.replica for member in network.members}, keys)

    @property
    def state(self) -> State:
        """The final state, as mercy holds it."""
        return self.network["mercy"].replica.state

    async def settle(self) -> None:
        """Employ everybody, and let both patients have their records."""
        for member in self.network.members:
            await self.employ(member.name, "clinician")
        await self.employ("st-luke", "emergency")
        await self.employ("st-luke", "researcher")
        self.a = await self.new_patient(DOCUMENTS_A)
        self.b = await self.new_patient(DOCUMENTS_B, custodian="mercy")

    # The ledger.

    def tx(
        self,
        sponsor: str,
        *messages: Message,
        witnesses: Sequence[SigningKey] = (),
        key: SigningKey | None = None,
        valid_until: TimeMs | None = None,
        chain: str | None = None,
    ) -> bytes:
        """A signed transaction, with whatever is to be wrong about it."""
        body = self.body(sponsor, *messages, valid_until=valid_until, chain=chain)
        return sign(body, key or self.network[sponsor].secrets.ledger, *witnesses)

    def body(
        self, sponsor: str, *messages: Message, valid_until: TimeMs | None = None, chain: str | None = None
    ) -> Body:
        """A transaction before it is signed."""
        now = max(self.clock(), self.network[sponsor].replica.time)
        return Body(
            chain=self.network.genesis.chain if chain is None else ChainId(chain),
            valid_until=now + VALID_MS if valid_until is None else valid_until,
            messages=messages,  # type: ignore[arg-type]
            sponsor=MemberId(sponsor),
        )

    async def submit(self, tx: bytes) -> str:
        """Hand a transaction in as anybody may; the code it was answered with, `ok` once it is final."""
        try:
            return (await self.network.engine.submit(tx)).code
        except SalusError as error:
            return error.code

    async def propose(self, *txs: bytes) -> list[str]:
        """Put bytes into the next block past the queue and its checks, as a member that proposes blocks could do."""
        newest = self.network.engine.newest().header
        block = Block(
            chain=newest.chain,
            height=newest.height + 1,
            time=max(self.clock(), newest.time + 1),
            previous=header_id(newest),
            txs=txs,
        )
        stored = self._agreement.agree(block)
        for member in self.network.members:
            await member.replica.announce()
        return [result.code for result in stored.results]

    async def accepted(self, tx: bytes) -> Height:
        """Hand in a transaction that is part of the preparations; the height at which it is final.

        Raises:
            LedgerRefusedError: it was refused.
        """
        done = await self.network.engine.submit(tx)
        if done.code != ACCEPTED:
            raise LedgerRefusedError(done.code)
        return done.height

    async def turn_clock(self, by_ms: int) -> None:
        """Turn every clock ahead, with a block that says so."""
        self.clock.ahead_ms += by_ms
        await self.propose()

    # People and patients.

    async def employ(self, member: str, role: str) -> Person:
        """A person with this one role."""
        person = await employ(self.network[member].gateway, role, (role,))
        self.people[f"{role}@{member}"] = person
        return person

    async def new_patient(
        self,
        documents: Mapping[str, tuple[Document, ...]],
        custodian: str | None = None,
        rules: tuple[ClearRule, ...] = (),
    ) -> Patient:
        """A patient whose writers are the members that these documents come from, all sealed."""
        writers = tuple(MemberId(name) for name in documents)
        keeper_of_keys = None if custodian is None else MemberId(custodian)
        network = self.network
        wallet = new_wallet(network.genesis.chain, network.committee, JURISDICTION, writers, keeper_of_keys)
        wallet = replace(wallet, rules=rules)
        gateway = network[writers[0]].gateway
        patient = Patient(wallet, await consent.create(gateway, wallet))
        for writer in writers:
            code = new_id().hex()
            await consent.send_link(gateway, wallet, patient.policy, writer, code)
            await network[writer].desk.accept_link(code, code)
        for name, some in documents.items():
            if some:
                await self.seal(name, patient, *some)
        return patient

    def sealable(self, patient: Patient, document: Document, replaces: RecordId | None = None) -> NewDocument:
        """A document as its author hands it in, with what the law of the place adds."""
        facts = seal_facts(self._pack, frozenset(document.labels), frozenset("R" if document.labels else "N"))
        labels = tuple(f"label:{label}" for label in document.labels or ("NONE",))
        return NewDocument(
            subject=patient.wallet.subject,
            data=document.data,
            fhir_type=document.fhir_type,
            terms=(*labels, *record_date_terms(document.date)),
            explicit=facts.explicit,
            bits=facts.bits,
            source=document.source,
            replaces=replaces,
        )

    async def seal(self, author: str, patient: Patient, *documents: Document) -> list[RecordId]:
        """Seal documents in one batch."""
        sealed = await self.network[author].author.seal([self.sealable(patient, one) for one in documents])
        records = [sealed.records[place] for place in range(len(documents))]
        patient.documents.update({one.source: one for one in documents})
        patient.records.update({one.source: record for one, record in zip(documents, records, strict=True)})
        return records

    def withheld(self, patient: Patient, member: str = "mercy") -> frozenset[str]:
        """Why this keeper withheld what it did when it last answered about a patient, as its log has it."""
        entries = self.network[member].keeper.log.entries(patient.wallet.subject)
        return frozenset(reason for reason, _ in decode(LogEntry, entries[-1]).withheld)

    async def allow(self, patient: Patient, *rules: ClearRule, via: str = "mercy") -> None:
        """Put these rules in force, and no others."""
        changed = replace(patient.wallet, rules=rules)
        patient.policy, _ = await consent.change(self.network[via].gateway, patient.wallet, changed)
        patient.wallet = changed

    # Reading.

    def reader(self, who: str) -> Reader:
        """A person, as `clinician@mercy`."""
        person = self.people[who]
        return Reader(person.key, person.credential_id, person.claims)

    def device(self, patient: Patient) -> Reader:
        """Whoever holds the wallet, reading as the patient."""
        return Reader(patient.wallet.device_key())

    def wanted(self, patient: Patient, purpose: str = "TREAT", reason: str = "", *, history: bool = False) -> Wanted:
        """The whole record of a patient."""
        wallet = patient.wallet
        return Wanted(wallet.subject, wallet.committee, Purpose(purpose), reason, Selection(history=history))

    async def read(
        self, who: str, patient: Patient, purpose: str = "TREAT", reason: str = "", *, history: bool = False
    ) -> View:
        """The whole record, as this person may see it: own records by own keys, the rest through the keepers."""
        member = self.network[who.split("@")[1]]
        wanted = self.wanted(patient, purpose, reason, history=history)
        return (await member.reading(self.reader(who), wanted).read()).view


def permit(*members: str, **fields: object) -> ClearRule:
    """A rule that lets the staff of these members read, or anyone; further fields as `ClearRule` names them."""
    return _rule(Effect.PERMIT, members, fields)


def deny(*members: str, **fields: object) -> ClearRule:
    """A rule that refuses the staff of these members, or anyone."""
    return _rule(Effect.DENY, members, fields)


def sources(patient: Patient, view: View) -> set[str]:
    """Which of a patient's documents a view shows in plaintext, byte for byte as they were sealed."""
    shown = {one.header.record: one.data for one in view.records}
    return {source for source, record in patient.records.items() if shown.get(record) == patient.documents[source].data}


def leaked(view: View) -> int:
    """Of how many records a key share left: those in plaintext, and those that only their blob is missing for."""
    return len(view.records) + len(view.gaps)


@asynccontextmanager
async def new_world(folder: Path | None = None, faults: Faults = NO_FAULTS) -> AsyncIterator[World]:
    """A fresh world, in a temporary folder unless one is given."""
    with tempfile.TemporaryDirectory(prefix="salus-drill-") as temporary:
        place = folder or Path(temporary)
        clock = TurnableClock()
        found(place, usual_names(4), jurisdiction=JURISDICTION, clock=clock)
        async with Network(place, Settings(clock=clock, faults=faults, tend_every_s=None)) as network:
            world = World(network, clock)
            await world.settle()
            yield world


def _rule(effect: Effect, members: tuple[str, ...], fields: dict[str, object]) -> ClearRule:
    readers = tuple(Who(member=MemberId(member)) for member in members)
    return replace(ClearRule(rule_id=new_id(), effect=effect, readers=readers), **fields)
