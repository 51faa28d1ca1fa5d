"""What an import needs to know of one resource, read off its tree once so that the tree need not be kept.

References stand here as submitted; `references.py` says what they point at.
"""

import msgspec

from salus.fhir.strict import Coding, Tree, Walk, values_at
from salus.fhir.tables import SUBJECT_PATHS, Path

_ENCOUNTER_PATHS: tuple[Path, ...] = (
    ("encounter",),
    ("context", "encounter"),
    ("context",),
    ("item", "encounter"),
    ("partOf",),
)
# Who is answerable for a resource, the most telling first. Whatever is no Organization is passed over later.
_ORGANISATION_PATHS: tuple[Path, ...] = (
    ("serviceProvider",),
    ("custodian",),
    ("managingOrganization",),
    ("performer", "actor"),
    ("performer",),
    ("provider",),
    ("organization",),
    ("requester",),
    ("recorder",),
    ("author",),
    ("sender",),
    ("source",),
    ("agent", "onBehalfOf"),
    ("agent", "who"),
    ("insurer",),
    ("payor",),
    ("generalPractitioner",),
)
# The clinical date: when it happened, before when it was written down. A patient's birth date is none.
_DATE_PATHS: tuple[tuple[Path, ...], ...] = tuple(
    tuple((name, *rest) for rest in ([], ["start"], ["event"], ["collectedDateTime"], ["period", "start"]))
    for name in (
        "effectivePeriod effectiveDateTime effectiveInstant effectiveTiming performedPeriod performedDateTime "
        "occurrencePeriod occurrenceDateTime occurredPeriod occurredDateTime servicedPeriod servicedDate billablePeriod "
        "onsetPeriod onsetDateTime identifiedDateTime collection period context executionPeriod started whenHandedOver "
        "whenPrepared startDate start recordedDate authoredOn authored dateTime date dateWritten createdDateTime "
        "created issued sent received dateAsserted statusDate recorded"
    ).split()
)
_DATE_RANK = {paths[0][0]: rank for rank, paths in enumerate(_DATE_PATHS)}
_NOT_CLINICAL = frozenset({"Patient", "RelatedPerson", "Person"})


class Facts(msgspec.Struct, frozen=True):
    """One resource, as far as filing, labelling and naming it go."""

    codings: tuple[Coding, ...]  # Anywhere in it but `meta`.
    categories: tuple[Coding, ...]
    security: tuple[Coding, ...]  # Of `meta.security`: labels it came with.
    references: tuple[str, ...]  # Anywhere in it, each once.
    subjects: tuple[str, ...]  # References through which it may belong to a patient, the most telling first.
    encounters: tuple[str, ...]
    organisations: tuple[str, ...]  # References that may name the organisation answerable for it.
    identifiers: tuple[tuple[str, str], ...]  # System (may be empty) and value.
    date: str | None
    birth_date: str | None
    narrative: bool  # Holds text or an attachment that no rule can read.


def facts_of(resource_type: str, tree: Tree, walk: Walk) -> Facts:
    """Gather the facts of a parsed resource."""
    security = tuple(_codings(tree, ("meta", "security")))
    own_labels = frozenset(security)
    birth_date = tree.get("birthDate") if resource_type == "Patient" else None
    return Facts(
        codings=tuple(coding for coding in walk.codings if coding not in own_labels),
        categories=tuple(_codings(tree, ("category", "coding"))) if "category" in tree else (),
        security=security,
        references=walk.references,
        subjects=_references(tree, SUBJECT_PATHS.get(resource_type, ())),
        encounters=_references(tree, _ENCOUNTER_PATHS),
        organisations=_references(tree, _ORGANISATION_PATHS),
        identifiers=tuple(_identifiers(tree)),
        date=None if resource_type in _NOT_CLINICAL else clinical_date(tree),
        birth_date=birth_date if isinstance(birth_date, str) else None,
        narrative=resource_type in _FREE_TEXT_TYPES or "note" in tree,
    )


# These are text or pictures by nature; of all others the codes tell what they hold.
_FREE_TEXT_TYPES = frozenset(
    "Binary ClinicalImpression Communication CommunicationRequest Composition DocumentManifest DocumentReference Media "
    "QuestionnaireResponse".split()
)


def clinical_date(tree: Tree) -> str | None:
    """When what a resource tells happened, or began; FHIR's own precision. None where it does not say."""
    for rank in sorted(_DATE_RANK[name] for name in tree if name in _DATE_RANK):
        for path in _DATE_PATHS[rank]:
            for value in values_at(tree, path):
                if isinstance(value, str):
                    return value
    return None


def _references(tree: Tree, paths: tuple[Path, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for path in paths:
        node = tree.get(path[0])
        if node is None:
            continue
        for held in (node,) if len(path) == 1 and type(node) is dict else values_at(node, path[1:]):
            reference = held.get("reference") if isinstance(held, dict) else None
            if isinstance(reference, str):
                found[reference] = None
    return tuple(found)


def _codings(tree: Tree, path: Path) -> list[Coding]:
    pairs = [(n.get("system"), n.get("code")) for n in values_at(tree, path) if isinstance(n, dict)]
    return [(system, code) for system, code in pairs if isinstance(system, str) and isinstance(code, str)]


def _identifiers(tree: Tree) -> list[tuple[str, str]]:
    if "identifier" not in tree:
        return []
    pairs = [(n.get("system", ""), n.get("value")) for n in values_at(tree, ("identifier",)) if isinstance(n, dict)]
    return [(system, value) for system, value in pairs if isinstance(system, str) and isinstance(value, str)]
