"""From a bundle to what the sealing author takes: documents, directory entries, and what could not be taken.

Steps: (1) whose is each resource; (2) which organisation gives it; (3) its labels, by its own codes, (4) then by what
it tells of others; (5) its terms. `prepare_file` does all this from bytes to plain data and can run in a worker.
"""

from collections.abc import Mapping

import msgspec

from salus.fhir.authors import organisations_of
from salus.fhir.bundle import DEFAULT_LIMITS, Bundle, Entry, Limits, read_bundle
from salus.fhir.errors import NO_ORGANISATION, NOT_A_RESOURCE, FhirInputError, Problem
from salus.fhir.labels import confidentiality, labels_of, own_services
from salus.fhir.references import Directory, Resolver
from salus.fhir.subjects import DIRECTORY, subjects_of
from salus.fhir.tables import words
from salus.fhir.terms import terms_of

Labels = frozenset[str]

# These tell what happened in an encounter, whatever their own codes; a bill or a note betrays the rest of the visit.
_TELLS_ENCOUNTER = frozenset(
    words("ClinicalImpression Claim Composition DocumentReference Encounter ExplanationOfBenefit Media")
)
_TELLS_NOTHING = frozenset({"Patient", "Encounter"})  # Being linked to these says nothing of what they hold.
# A patient links to relatives' records, and a provenance to hundreds: they show no more than that those exist.
_LINKS_WITHOUT_TELLING = frozenset({"AuditEvent", "Patient", "Provenance"})


class Document(msgspec.Struct, frozen=True):
    """One resource of a patient, ready to be sealed."""

    raw: bytes
    resource_type: str
    source_id: str  # `Type/id`, else the full URL: what makes an import repeatable without doubles.
    subject_key: str  # The patient, as called within the import.
    organisation: str | None  # Whose record it is; None where nobody is known.
    terms: tuple[str, ...]
    labels: frozenset[str]
    confidentiality: str  # `N`, `R` or `V`.
    date: str | None
    rewritten: bool = False  # Conditional references were resolved: `raw` is not byte for byte what came in.


class DirectoryEntry(msgspec.Struct, frozen=True):
    """One resource that belongs to no patient."""

    raw: bytes
    resource_type: str
    source_id: str
    organisation: str | None


class Prepared(msgspec.Struct, frozen=True):
    """All of one file."""

    documents: tuple[Document, ...]
    directory_entries: tuple[DirectoryEntry, ...]
    problems: tuple[Problem, ...]

    @property
    def rewritten(self) -> int:
        """How many documents had references resolved."""
        return sum(document.rewritten for document in self.documents)


def prepare_file(name: str, data: bytes, directory: Directory, limits: Limits = DEFAULT_LIMITS) -> Prepared:
    """Read and prepare a whole file; a file that cannot be read yields its one problem and nothing else."""
    try:
        bundle = read_bundle(data, limits=limits)
    except FhirInputError as error:
        return Prepared((), (), (Problem(name, str(error.facts.get("place", "file")), error.code),))
    return prepare(bundle, directory, file=name)


def prepare(bundle: Bundle, directory: Directory, *, file: str = "") -> Prepared:
    """Sort, label and name the resources of a bundle. What belongs to nobody is left out with a problem."""
    resolver = Resolver(bundle, directory)
    owners, reasons = subjects_of(bundle.entries, resolver)
    organisations = organisations_of(bundle.entries, owners, resolver)
    labels = _labels(bundle, owners, resolver)
    documents, listed = [], []
    problems = [Problem(file, place, NOT_A_RESOURCE) for place in bundle.without_resource]
    for entry in bundle.entries:
        if entry.key in reasons:
            problems.append(Problem(file, entry.place, reasons[entry.key]))
            continue
        problems.extend(_doubts(entry, resolver, file))
        raw = resolver.resolved(entry)
        if owners[entry.key] == DIRECTORY:
            organisation = entry.key if entry.resource_type == "Organization" else resolver.organisation(entry)
            listed.append(DirectoryEntry(raw, entry.resource_type, entry.key, organisation))
            continue
        if entry.key not in organisations:
            problems.append(Problem(file, entry.place, NO_ORGANISATION))
        documents.append(_document(entry, raw, owners, organisations, labels[entry.key], resolver))
    return Prepared(tuple(documents), tuple(listed), tuple(problems))


def _document(
    entry: Entry,
    raw: bytes,
    owners: Mapping[str, str],
    organisations: Mapping[str, str],
    labels: Labels,
    resolver: Resolver,
) -> Document:
    level = confidentiality(entry.facts, labels)
    return Document(
        raw=raw,
        resource_type=entry.resource_type,
        source_id=entry.key,
        subject_key=owners[entry.key],
        organisation=organisations.get(entry.key),
        terms=terms_of(entry.facts, labels, level, resolver),
        labels=labels,
        confidentiality=level,
        date=entry.facts.date,
        rewritten=raw is not entry.raw,
    )


def _doubts(entry: Entry, resolver: Resolver, file: str) -> list[Problem]:
    counts: dict[str, int] = {}
    for reason in resolver.problems(entry):
        counts[reason] = counts.get(reason, 0) + 1
    return [Problem(file, entry.place, reason, count) for reason, count in counts.items()]


def _labels(bundle: Bundle, owners: Mapping[str, str], resolver: Resolver) -> dict[str, Labels]:
    """Labels by entry key: each entry's own, then the high-water mark of what it speaks of."""
    entries = [entry for entry in bundle.entries if owners.get(entry.key, DIRECTORY) != DIRECTORY]
    born = {entry.key: entry.facts.birth_date for entry in entries if entry.resource_type == "Patient"}
    own: dict[str, Labels] = {}
    for entry in entries:
        patient = owners[entry.key]
        found = labels_of(entry.resource_type, entry.facts)
        birth_date = (born.get(patient) or resolver.birth_date(patient)) if found else None
        own[entry.key] = found | own_services(found, date=entry.facts.date, birth_date=birth_date)
    visits = _labels_of_visits(entries, own, resolver)
    return {entry.key: own[entry.key].union(*_told(entry, own, visits, resolver)) for entry in entries}


def _labels_of_visits(entries: list[Entry], own: Mapping[str, Labels], resolver: Resolver) -> dict[str, Labels]:
    visits: dict[str, Labels] = {}
    for entry in entries:
        if own[entry.key]:
            for key in _encounters(entry, resolver):
                visits[key] = visits.get(key, frozenset()) | own[entry.key]
    return visits


def _encounters(entry: Entry, resolver: Resolver) -> list[str]:
    if entry.resource_type == "Encounter":
        return [entry.key]
    keys = (resolver.target(reference).key for reference in entry.facts.encounters)
    return [key for key in keys if key]


def _told(entry: Entry, own: Mapping[str, Labels], visits: Mapping[str, Labels], resolver: Resolver) -> list[Labels]:
    told = []
    if visits and entry.resource_type in _TELLS_ENCOUNTER:
        told = [visits[key] for key in _encounters(entry, resolver) if key in visits]
    if entry.resource_type not in _LINKS_WITHOUT_TELLING:
        for reference in entry.facts.references:
            target = resolver.target(reference)
            if target.key and target.resource_type not in _TELLS_NOTHING:
                told.append(own.get(target.key, frozenset()))
    return told
