"""What must never be on the ledger, in a log or in a message, looked for in every byte.

The ledger carries ids, keys and commitments by design. `CARRIED` names each field of what keepers and gateways hold
whose value stands there too, with the reason; the label of every other field must not turn up.
"""

import io
import logging
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Final

import msgspec

from salus.cli import sample
from salus.cli.drill.attack import Outcome, attack, must
from salus.cli.drill.pooling import everything_of
from salus.cli.drill.searching import is_searchable, ledger_files, ledger_rows, shared_labels, words_found
from salus.cli.drill.world import DOCUMENTS_A, Document, Patient, World, permit
from salus.core.errors import SalusError
from salus.core.ids import FhirType, MemberId
from salus.core.transport import Handler
from salus.core.wire import Record, replace
from salus.fhir.document import Document as FhirDocument
from salus.fhir.document import prepare_file
from salus.fhir.folder import read_folder
from salus.fhir.references import directory_of
from salus.sdk import consent
from salus.sdk.author import NewDocument
from salus.sdk.reader import Reader
from salus.sdk.wallet import new_wallet

CARRIED: Final[Mapping[str, str]] = {
    "batches.batch_id": "a batch's id: drawn at random, names the entry that makes its records final",
    "batches.root": "a batch's commitment to salted headers",
    "batches.share_root": "a batch's commitment to the shares dealt",
    "holdings.batch_id": "a batch's id",
    "holdings.root": "a batch's commitment to salted headers",
    "holdings.share_root": "a batch's commitment to the shares dealt",
    "Link.cell": "a cell's id: drawn at random, tied to the handle only by whoever has the handle's salt",
    "Link.committee": "a committee's id, public",
    "LogEntry.credential_id": "a credential's id: drawn at random; its status is public, whose it is is not",
    "LogEntry.released[1]": "a batch's id",
    "LogEntry.request_id": "a request's id: drawn at random, single use; its opening is not on the ledger",
    "meta.value": "roots of the own log: the newest is on the ledger, a commitment to keyed subjects and chained heads",
    "own.batch_id": "a batch's id",
    "Plan.batch_id": "a batch's id",
    "Plan.committee": "a committee's id, public",
    "Plan.root": "a batch's commitment to salted headers",
    "Plan.share_root": "a batch's commitment to the shares dealt",
    "Plan.tx_id": "the ledger's own name for the transaction",
    "plans.batch_id": "a batch's id",
    "policies.cell": "a cell's id",
    "policies.commitment": "a cell's commitment to a salted policy",
    "PolicySet.cell": "a cell's id",
    "PolicySet.chain": "the network's name, public",
    "Reader.credential": "a credential's id, where a rule names one",
    "RecordId.batch_id": "a batch's id",
    "sources.batch_id": "a batch's id",
    "Supersedes.batch_id": "a batch's id",
    "vault_receipts.batch_id": "a batch's id",
}
PUBLIC_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(sample.ORGANIZATIONS, "a member's public name"),
    "active": "the word for a credential's status",
    "emergency": "the word for a role, in the sentence of an error",
}
REASON = "found unconscious beside Exampleton station"


@attack("search of the ledger for what keepers hold", guard="salus.contracts.consent.policy.subject_handle")
async def values_on_ledger(world: World) -> Outcome:
    """Any 16 bytes of anything in any member's databases, opened with its keys, in any byte of any ledger."""
    await _lived(world, await world.new_patient(DOCUMENTS_A))
    rows = ledger_rows(world)
    labels = {label for member in world.network.members for label in shared_labels(rows, everything_of(member))}
    must({"PolicySet.cell", "RecordId.batch_id", "LogEntry.request_id"} <= labels, "what is there by design is found")
    stray = labels - CARRIED.keys()
    if stray:
        return Outcome("SUCCEEDED", f"on the ledger: {', '.join(sorted(stray))}")
    return Outcome("refused", f"{sum(map(len, rows))} bytes searched: {len(labels)} fields, all there by design")


@attack("search of the ledger for what patients' records say", guard="salus.cli.drill.world.new_wallet", harmful=True)
async def words_on_ledger(world: World) -> Outcome:
    """Names, numbers, addresses, codes, dates and texts of the shipped charts, handles and digests, in every ledger."""
    documents = sample_documents()
    patient = await _sealed(world, documents)
    await _lived(world, patient)
    rows = ledger_rows(world)
    words = sample_words(documents)
    found = words_found(rows, words) - PUBLIC_WORDS.keys()
    hidden = [form for secret in _secrets(world, patient) for form in _forms(secret)]
    haystacks = [*rows, *ledger_files(world)]
    shown = sum(any(form in hay for hay in haystacks) for form in hidden)
    must(len(words) > 1000, "the charts say something")
    if found or shown:
        return Outcome("SUCCEEDED", f"on the ledger: {len(found)} words, {shown} handles or digests")
    return Outcome("refused", f"{len(words)} words, {len(hidden)} forms of handles and digests: none on any ledger")


@attack("search of logs and messages for patients' data", guard="salus.sdk.author.Author._committee_of", harmful=True)
async def words_in_messages(world: World) -> Outcome:
    """Everything that is printed, logged or raised while people read, fail and are refused."""
    documents = sample_documents()
    with listening(world) as heard:
        patient = await _sealed(world, documents)
        await _refused_in_many_ways(world, patient, heard)
        await _lived(world, patient)
        heard.extend(repr(problem) for problem in _problems_of_bad_files())
    must(sum("keeper." in said for said in heard) > 2, "keepers refused and were heard")
    haystacks = [said.encode() for said in heard]
    words = sample_words(documents) | {REASON}
    found = words_found(haystacks, words) - PUBLIC_WORDS.keys()
    secrets = _secrets(world, patient)
    shown = sum(any(form in hay for hay in haystacks) for secret in secrets for form in _forms(secret))
    if found or shown:
        return Outcome("SUCCEEDED", f"said aloud: {len(found)} words, {shown} handles or digests")
    return Outcome("refused", f"{len(heard)} messages heard, none tells of a patient")


def sample_documents() -> list[FhirDocument]:
    """The charts that the project ships, as an import prepares them."""
    return [document for _, prepared in read_folder(sample.FOLDER) for document in prepared.documents]


def sample_words(documents: list[FhirDocument]) -> set[str]:
    """Every string in them, at any depth, and every term that a record is found by; of five bytes or more."""
    words = {term for document in documents for term in document.terms}
    for document in documents:
        words.update(_strings(msgspec.json.decode(document.raw)))
    return set(filter(is_searchable, words))


@contextmanager
def listening(world: World) -> Iterator[list[str]]:
    """Hear what is printed, what is logged, and every error on its way through a member's door."""
    heard: list[str] = []
    out, log = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for member in world.network.members:
        doors: dict[type[Record], Handler] = member.door._handlers
        for kind, answer in list(doors.items()):
            member.door.answer(kind, _overheard(answer, heard))
    try:
        with redirect_stdout(out), redirect_stderr(out):
            yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        heard += [*out.getvalue().splitlines(), *log.getvalue().splitlines()]


def _overheard(answer: Handler, heard: list[str]) -> Handler:
    async def listened(sender: MemberId, request: Any) -> Record:
        try:
            return await answer(sender, request)
        except SalusError as error:
            heard.extend(_said(error))
            raise

    return listened


def _said(error: SalusError) -> list[str]:
    """All that a log could get out of an error."""
    return [str(error), repr(error), repr(error.facts), *traceback.format_exception_only(error)]


async def _lived(world: World, patient: Patient) -> None:
    """A life: a grant, reads, an emergency, a correction, a withdrawal, a freeze, logs anchored."""
    mercy = world.network["mercy"]
    await world.allow(patient, permit("st-luke"))
    for reader in ("clinician@st-luke", "clinician@mercy"):
        await world.read(reader, patient)
    await world.read("emergency@st-luke", patient, "BTG", REASON)
    (wrong,) = await world.seal("mercy", patient, Document("wrong", FhirType("Observation"), "2024-02-03"))
    right = Document("right", FhirType("Observation"), "2024-02-04")
    sealed = await mercy.author.seal([world.sealable(patient, right, replaces=wrong)])
    await mercy.author.withdraw(sealed.records[0])
    await consent.freeze(mercy.gateway, patient.wallet)
    await consent.thaw(mercy.gateway, patient.wallet)
    await world.network.tend()


async def _sealed(world: World, documents: list[FhirDocument]) -> Patient:
    """The charts, each document sealed by the hospital that wrote it."""
    first = Document("first", FhirType("Observation"), "2024-01-02")
    patient = await world.new_patient(dict.fromkeys(sample.ORGANIZATIONS, (first,)))
    for name in sample.ORGANIZATIONS:
        own = [document for document in documents if document.organisation == f"Organization/{name}"]
        await world.network[name].author.seal([_new(patient, document) for document in own])
    return patient


def _new(patient: Patient, document: FhirDocument) -> NewDocument:
    return NewDocument(
        subject=patient.wallet.subject,
        data=document.raw,
        fhir_type=FhirType(document.resource_type),
        terms=document.terms,
        explicit=(),
        bits=0,
        source=document.source_id,
    )


async def _refused_in_many_ways(world: World, patient: Patient, heard: list[str]) -> None:
    """What people are told when something is refused or broken, each of it heard."""
    network = world.network
    stranger = new_wallet(network.genesis.chain, network.committee, "us", (MemberId("mercy"),))
    unlinked = [_new(world.a, document) for document in sample_documents()[:1]]
    clinician = world.reader("clinician@st-luke")
    unknown = Reader(stranger.device_key())
    wanted = world.wanted(patient, "BTG", REASON)
    attempts: list[Callable[[], Any]] = [
        lambda: network["st-luke"].author.seal(unlinked),
        lambda: network["st-luke"].reading(clinician, wanted).read(),
        lambda: network["st-luke"].reading(clinician, world.wanted(patient, "BTG", " ")).read(),
        lambda: network["northgate"].reading(unknown, world.wanted(patient)).read(),
        lambda: consent.change(network["mercy"].gateway, stranger, stranger),
        lambda: consent.freeze(network["mercy"].gateway, replace(patient.wallet, seed=bytes(32))),
        lambda: consent.send_link(network["mercy"].gateway, patient.wallet, patient.policy, MemberId("nobody"), "CODE"),
    ]
    for attempt in attempts:
        try:
            await attempt()
        except SalusError as error:
            heard.extend(_said(error))
        else:
            must(False, "what is to be refused is refused")


def _problems_of_bad_files() -> list[object]:
    """What an import says of charts that are cut short, doubled, misdated or not text."""
    whole = (sample.FOLDER / sample.FILES[0]).read_bytes()
    bad = {
        "cut": whole[: len(whole) // 2],
        "not-text": whole.replace(b"Ashdown", b"Ash\xffown"),
        "misdated": whole.replace(b'"birthDate": "', b'"birthDate": "x'),
        "doubled": whole.replace(b'"birthDate"', b'"gender": "male", "birthDate"'),
        "untyped": whole.replace(b'"resourceType": "Patient"', b'"resourceType": "Person of that name"'),
    }
    problems = [
        problem for name, data in bad.items() for problem in prepare_file(name, data, directory_of([])).problems
    ]
    must(len(problems) >= len(bad), "every bad file has its problem")
    return list(problems)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _secrets(world: World, patient: Patient) -> list[bytes]:
    """Handles, and digests of ciphertext."""
    headers = [
        value for member in world.network.members for label, value in everything_of(member) if label == "Header.blobs"
    ]
    return [one.wallet.subject for one in (patient, world.a, world.b)] + list(dict.fromkeys(headers))


def _forms(secret: bytes) -> tuple[bytes, ...]:
    """As bytes, and as a log or a JSON file would write them."""
    return secret, secret.hex().encode(), b64encode(secret).rstrip(b"=")
