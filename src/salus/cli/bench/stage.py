"""The network that measurements run on: real members on disk, people with keys, and the sample's documents to seal.

Documents are those of the shipped sample, with the terms and labels an import would give them, repeated under fresh
source ids: their sizes and terms are those of charts, not of a benchmark.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Generic, TypeVar

from salus.cli import sample
from salus.contracts.consent import ClearRule, Effect, PolicySet, seal_facts
from salus.contracts.consent import Reader as Who
from salus.contracts.records.header import LEAVES_PER_BATCH, RecordId
from salus.core.ids import FhirType, MemberId, Purpose, SubjectId
from salus.core.wire import replace
from salus.fhir.document import Document
from salus.fhir.folder import read_folder
from salus.node.folder import found, usual_names
from salus.node.gateway_side import GatewaySide
from salus.node.hosted import Hosted
from salus.node.network import Network
from salus.node.settings import Settings
from salus.sdk import consent
from salus.sdk.author import NewDocument
from salus.sdk.gateway import new_id
from salus.sdk.links import LinkPackage
from salus.sdk.packs import shipped_pack
from salus.sdk.people import Person, employ
from salus.sdk.reader import Reader, Wanted
from salus.sdk.wallet import Wallet, new_wallet

TREAT = Purpose("TREAT")
JURISDICTION = "us"
MEMBERS = 4


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient of all members, with an own wallet."""

    wallet: Wallet
    policy: PolicySet

    @property
    def subject(self) -> SubjectId:
        """Their handle."""
        return self.wallet.subject

    @property
    def wanted(self) -> Wanted:
        """Their whole record, for treatment."""
        return Wanted(self.wallet.subject, self.wallet.committee, TREAT)


Net = TypeVar("Net", bound=Hosted, covariant=True)


@dataclass(slots=True)
class Stage(Generic[Net]):
    """A running network, of whole members or of gateways alone, and the folder it lies in."""

    network: Net
    folder: Path
    sources: int = 0

    @property
    def names(self) -> tuple[MemberId, ...]:
        """All members."""
        return tuple(member.name for member in self.network.members)

    async def patient(self, rules: Sequence[ClearRule] = ()) -> Patient:
        """A new patient of whom every member is a writer."""
        fresh = new_wallet(self.network.genesis.chain, self.network.committee, JURISDICTION, self.names)
        wallet = replace(fresh, rules=tuple(rules))
        policy = await consent.create(self.network.members[0].gateway, wallet)
        for member in self.network.members:
            link = consent.link_of(wallet, member.name)
            await member.desk.keep(LinkPackage(link=link, policy=policy), local=wallet.subject.hex())
        return Patient(wallet, policy)

    async def reader(self, member: GatewaySide) -> Reader:
        """A clinician of a member."""
        return reader_of(await employ(member.gateway, "clinician", ("clinician",)))

    def documents(self, subject: SubjectId, count: int) -> list[NewDocument]:
        """The sample's documents for a patient, as many as wanted, each from a source of its own."""
        chosen = list(islice(cycle(sample_documents()), self.sources, self.sources + count))
        fresh = range(self.sources, self.sources + count)
        self.sources += count
        return [replaced(document, subject, f"bench/{number}") for document, number in zip(chosen, fresh, strict=True)]

    async def seal(self, member: GatewaySide, documents: Sequence[NewDocument]) -> list[RecordId]:
        """Seal documents in full batches and what remains."""
        records: list[RecordId] = []
        for start in range(0, len(documents), LEAVES_PER_BATCH):
            sealed = await member.author.seal(documents[start : start + LEAVES_PER_BATCH])
            records += sealed.records.values()
        return records


def reader_of(person: Person) -> Reader:
    """The person as a reader."""
    return Reader(person.key, person.credential_id, person.claims)


def everything(member: MemberId) -> tuple[ClearRule, ...]:
    """Rules under which a member may read a whole record: one in general, one that names each sensitive label."""
    general = ClearRule(rule_id=new_id(), effect=Effect.PERMIT, readers=(Who(member=member),), purposes=(TREAT,))
    named = (replace(general, rule_id=new_id(), terms=((term,),)) for term in explicit_terms())
    return (general, *named)


@cache
def explicit_terms() -> tuple[str, ...]:
    """Every term that a permit must name for some document of the sample."""
    return tuple(sorted({term for document in sample_documents() for term in document.explicit}))


@cache
def sample_documents() -> tuple[NewDocument, ...]:
    """The sample's documents with what an import finds in them; their subject is still open."""
    prepared = [document for _, done in read_folder(sample.FOLDER) for document in done.documents]
    return tuple(_new_document(document) for document in prepared)


def _new_document(document: Document) -> NewDocument:
    facts = seal_facts(shipped_pack(JURISDICTION), document.labels, frozenset({document.confidentiality}))
    return NewDocument(
        subject=bytes(16),
        data=document.raw,
        fhir_type=FhirType(document.resource_type),
        terms=document.terms,
        explicit=facts.explicit,
        bits=int(facts.bits),
        source="",
    )


def replaced(document: NewDocument, subject: SubjectId, source: str) -> NewDocument:
    """The same document of another patient, from another source."""
    return NewDocument(
        subject=subject,
        data=document.data,
        fhir_type=document.fhir_type,
        terms=document.terms,
        explicit=document.explicit,
        bits=document.bits,
        source=source,
    )


@contextmanager
def ground(folder: Path | None = None) -> Iterator[Path]:
    """A temporary folder (inside `folder`, if one is given) with a new network of four members, not yet running."""
    with tempfile.TemporaryDirectory(prefix="salus-bench-", dir=folder) as name:
        place = Path(name) / "network"
        found(place, usual_names(MEMBERS), jurisdiction=JURISDICTION)
        yield place


@asynccontextmanager
async def running(place: Path) -> AsyncIterator[Stage[Network]]:
    """The network that lies there."""
    async with Network(place, Settings()) as network:
        yield Stage(network, place)


@asynccontextmanager
async def stage(folder: Path | None = None) -> AsyncIterator[Stage[Network]]:
    """A fresh network, running; gone afterwards."""
    with ground(folder) as place:
        async with running(place) as scene:
            yield scene
