"""One import from a folder to the ledger.

    1. A first look: which files there are, and what others refer to.
    2. File by file, prepared on another core, gathered into windows of a few thousand documents.
    3. Per window: new organisations are given to members, then patients found or made, directories filled.
    4. Documents into their members' batches; up to four of those are being sealed while the next window is read.

A bad file, a refused document, a member that is away: each is noted, and the import goes on. Doing all of it again is
harmless and finds nothing new.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter

from salus.cli.home import Home
from salus.cli.importing.batches import Batches, Incoming
from salus.cli.importing.patients import NOT_A_WRITER, Need, Patient, Patients
from salus.cli.importing.places import Places, counted
from salus.cli.importing.reading import look_over, prepared_files, readers
from salus.cli.importing.report import ImportReport, OnImported, OnProgress, Progress, Trouble
from salus.contracts.consent import Pack, SealFacts, is_writer, seal_facts
from salus.core.errors import SalusError
from salus.core.ids import MIB_BYTES, FhirType, MemberId, TimeMs
from salus.crypto.digests import digest
from salus.fhir.document import DirectoryEntry, Document
from salus.fhir.folder import File, Survey
from salus.fhir.worker import COLLECT_EVERY
from salus.node.hosted import Hosted
from salus.sdk.author import NewDocument
from salus.sdk.directory import Listing

WINDOW_DOCUMENTS = 4_096  # About a full batch for each of four members: fewer waits for blocks, fuller batches.
WINDOW_BYTES = 32 * MIB_BYTES


async def import_folder(
    home: Home,
    path: Path,
    *,
    on_progress: OnProgress | None = None,
    on_imported: OnImported | None = None,
    witnesses: int = 0,
) -> ImportReport:
    """Take a folder (or one file) of FHIR R4 into the network; what could not be taken is in the report.

    `witnesses`: how many writers a new patient has at least beside the custodian, so that somebody can confirm a claim.

    Raises:
        UnreadableFileError: there is no such folder, it cannot be read, or it holds no FHIR file.
        PlacesError: the network's table of organisations does not read.
    """
    started = perf_counter()
    seen = await look_over(path)
    run = _Import(home, seen, on_imported, witnesses)
    with _calm_collector(), readers(seen, home.network.hands) as by:
        try:
            await run.resume()
            async for file, prepared in prepared_files(by):
                run.report.add_problems(prepared.problems)
                run.report.files += 1
                run.report.rewritten += prepared.rewritten
                run.window.add(file, prepared.documents, prepared.directory_entries)
                if run.window.is_full:
                    await run.take_window()
                run.report.seconds = perf_counter() - started
                if on_progress is not None:
                    on_progress(run.progress(len(seen.files)))
            await run.take_window()
            await run.batches.finish()
        except BaseException:
            await run.batches.stop()  # Whole batches stay; what was not begun comes with the next import.
            raise
    run.report.seconds = perf_counter() - started
    run.close_report()
    if on_progress is not None:
        on_progress(run.progress(len(seen.files)))
    return run.report


_Read = tuple[str, str, Document]  # From which file, of which patient by the members' own number, and what.


@dataclass(slots=True)
class _Window:
    """Documents and directory entries that are looked at together."""

    documents: list[_Read] = field(default_factory=list)
    entries: list[DirectoryEntry] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.documents) >= WINDOW_DOCUMENTS or self.size_bytes >= WINDOW_BYTES

    def add(self, file: File, documents: tuple[Document, ...], entries: tuple[DirectoryEntry, ...]) -> None:
        called = {key: _local(file.name, key) for key in {document.subject_key for document in documents}}
        self.documents += [(file.name, called[document.subject_key], document) for document in documents]
        self.entries += entries
        self.size_bytes += sum(len(document.raw) for document in documents)


class _Import:
    """What one import works with."""

    def __init__(self, home: Home, seen: Survey, on_imported: OnImported | None, witnesses: int) -> None:
        self._network = network = home.network
        self._seen = seen
        names = [member.name for member in network.members]
        self.report = ImportReport(members=len(names))
        self.window = _Window()
        self.batches = Batches(network, self.report, on_imported)
        self._patients = Patients(home, witnesses)
        self._places = Places(network.folder, names)
        self._first = names[0]
        self._documents = 0
        self._facts = {name: _facts_at(network, name) for name in names}
        self._visits = _by_patient(seen.directory.encounters.values())

    async def resume(self) -> None:
        """Finish what an earlier import left half done, so that it counts as sealed."""
        for member in self._network.members:
            try:
                await member.author.resume()
            except SalusError:
                continue  # Too few members are up; the documents of those batches are refused as not final.

    async def take_window(self) -> None:
        """Step 3 and 4 for what has gathered."""
        window, self.window = self.window, _Window()
        if not window.documents and not window.entries:
            return
        self._documents += len(window.documents)
        self._places.learn(*counted(self._organisations(window)))
        await self._enter(window.entries)
        await self._patients.meet(self._needs(window))
        for name, incoming in self._sorted(window).items():
            await self.batches.add(name, incoming)

    def progress(self, files: int) -> Progress:
        """How far it is."""
        report = self.report
        done = self._documents + len(self.window.documents)
        return Progress(report.files, files, done, report.records_sealed, report.batches, report.seconds)

    def close_report(self) -> None:
        """What only the whole import knows."""
        self.report.patients = len(self._patients)
        self.report.new_patients = self._patients.new
        left_out = sum(trouble.count for trouble in self.report.problems if trouble.place != "file")
        taken = self._documents + self.report.directory_entries
        self.report.resources_in = taken + left_out - self.report.refused

    def _organisations(self, window: _Window) -> Iterator[tuple[str, str]]:
        for _, local, document in window.documents:
            if document.organisation:
                yield local, document.organisation
                yield from ((local, other) for other in self._visits.get(document.subject_key, ()))

    def _needs(self, window: _Window) -> dict[str, Need]:
        counts: dict[str, Counter[MemberId]] = {}
        evidence: dict[str, bytes] = {}
        for _, local, document in window.documents:
            evidence.setdefault(local, document.raw)
            count = counts.get(local)
            if count is None:
                count = counts[local] = Counter()
            member = self._places.of(document.organisation)
            if member is not None and document.resource_type != "Patient":
                count[member] += 1
        for local, count in counts.items():
            # Where each type has a file of its own, later files bring records of members that are known now.
            members = (self._places.of(organisation) for organisation in self._visits.get(local, ()))
            count.update(member for member in members if member is not None and member not in count)
            if not count:
                known = self._patients.find(local)
                count[self._first if known is None else known.usual] += 1
        return {local: Need(count, digest(evidence[local])) for local, count in counts.items()}

    def _sorted(self, window: _Window) -> dict[MemberId, list[Incoming]]:
        """Documents by the member that seals them; those that nobody may seal are noted."""
        found: dict[MemberId, list[Incoming]] = {name: [] for name in self._facts}
        now = self._network.members[0].clock()
        patients = {local: self._patients.find(local) for local in {local for _, local, _ in window.documents}}
        writers = {local: _writers(patient, self._facts, now) for local, patient in patients.items()}
        for file, local, document in window.documents:
            patient = patients[local]
            source = _source(file, document.source_id)
            self.report.bytes_in += len(document.raw)
            name = None if patient is None else self._author(document, patient)
            if patient is None or name is None or name not in writers[local]:
                self._refuse(file, source, self._patients.troubles.get(local, NOT_A_WRITER))
                continue
            facts = self._facts[name](document.labels, document.confidentiality)
            new = NewDocument(
                subject=patient.subject,
                data=document.raw,
                fhir_type=FhirType(document.resource_type),
                terms=document.terms,
                explicit=facts.explicit,
                bits=int(facts.bits),
                source=source,
            )
            found[name].append(Incoming(file, local, new))
        return self._as_before(found)

    def _author(self, document: Document, patient: Patient) -> MemberId:
        """Who seals a document. Every hospital's export holds the Patient itself; one of them keeps it."""
        if document.resource_type == "Patient":
            return patient.usual
        return self._places.of(document.organisation) or patient.usual

    def _as_before(self, found: dict[MemberId, list[Incoming]]) -> dict[MemberId, list[Incoming]]:
        """What another member sealed from the same source in an earlier import stays with that member."""
        sorted_anew: dict[MemberId, list[Incoming]] = {}
        for name, incoming in found.items():
            known_here = {local for local in {one.local for one in incoming} if self._patients.was_known(local)}
            if not known_here:
                sorted_anew.setdefault(name, []).extend(incoming)
                continue
            known = [one for one in incoming if one.local in known_here]
            moved: dict[int, MemberId] = {}
            for other in self._network.members:
                before = other.author.sealed_before([one.document for one in known])
                for one, (record, _) in zip(known, before, strict=True):
                    if record is not None and moved.get(id(one)) != name:
                        moved[id(one)] = other.name
            for one in incoming:
                sorted_anew.setdefault(moved.get(id(one), name), []).append(one)
        return sorted_anew

    def _refuse(self, file: str, source: str, code: str) -> None:
        self.report.refused += 1
        self.report.troubles.append(Trouble(file, source, code))

    async def _enter(self, entries: list[DirectoryEntry]) -> None:
        by_member: dict[MemberId, dict[str, Listing]] = {}
        for entry in entries:
            name = self._places.of(entry.organisation) or self._first
            listing = Listing(source=entry.source_id, fhir_type=entry.resource_type, raw=entry.raw)
            by_member.setdefault(name, {})[entry.source_id] = listing
        self.report.directory_entries += len(entries)
        for name, listings in by_member.items():
            member = self._network[name]
            await member.directory.enter(list(listings.values()), member.peers)


class _FactsAt:
    """What the law of a member's place adds to documents; few distinct questions, asked ten thousand times."""

    def __init__(self, pack: Pack) -> None:
        self._asked = lru_cache(4_096)(lambda labels, level: seal_facts(pack, labels, frozenset({level})))

    def __call__(self, labels: frozenset[str], confidentiality: str) -> SealFacts:
        return self._asked(labels, confidentiality)


def _facts_at(network: Hosted, name: MemberId) -> _FactsAt:
    return _FactsAt(network[name].pack)


def _local(file: str, key: str) -> str:
    """A patient's number at the members: their own id or address; a place in a file only together with the file."""
    return key if "/" in key or ":" in key else f"{file}#{key}"


_source = _local  # Documents are called in the same way.


def _writers(patient: Patient | None, names: Iterable[MemberId], now: TimeMs) -> frozenset[MemberId]:
    """Which members may write about a patient."""
    return frozenset(name for name in names if patient is not None and is_writer(patient.policy, name, now))


def _by_patient(encounters: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for patient, organisation in encounters:
        if patient and organisation:
            found.setdefault(patient, set()).add(organisation)
    return found


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Let the cyclic collector look less often: it costs a fifth of an import and finds next to nothing."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
