"""What an import needs to know of one resource, read off its tree once so that the tree need not be kept.

References stand here as submitted; `references.py` says what they point at.
"""

from collections.abc import Iterable

import msgspec

from salus.fhir.strict import Coding, Tree, Walk, values_at
from salus.fhir.tables import SUBJECT_PATHS, Path, words

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
_DATE_PATHS: tuple[Path, ...] = tuple(
    tuple(name.split("."))
    for name in words(
        "effectivePeriod.start effectiveDateTime effectiveInstant effectiveTiming.event performedPeriod.start "
        "performedDateTime occurrencePeriod.start occurrenceDateTime occurredPeriod.start occurredDateTime "
        "servicedPeriod.start servicedDate billablePeriod.start onsetPeriod.start onsetDateTime identifiedDateTime "
        "collection.collectedDateTime period.start context.period.start executionPeriod.start started whenHandedOver "
        "whenPrepared startDate start recordedDate authoredOn authored dateTime date dateWritten createdDateTime "
        "created issued sent received dateAsserted statusDate recorded"
    )
)
_NOT_CLINICAL = frozenset({"Patient", "RelatedPerson", "Person"})
# These are text or pictures by nature; of all others the codes tell what they hold.
_FREE_TEXT_TYPES = frozenset(
    words(
        "Binary ClinicalImpression Communication CommunicationRequest Composition DocumentManifest DocumentReference "
        "Media QuestionnaireResponse"
    )
)


def _by_head(paths: tuple[Path, ...]) -> dict[str, list[tuple[int, Path]]]:
    """Paths with their rank by first element, so that a resource is searched only for what it has."""
    table: dict[str, list[tuple[int, Path]]] = {}
    for ranked in enumerate(paths):
        table.setdefault(ranked[1][0], []).append(ranked)
    return table


_ENCOUNTERS, _ORGANISATIONS, _DATES = map(_by_head, (_ENCOUNTER_PATHS, _ORGANISATION_PATHS, _DATE_PATHS))
_HEADS = frozenset((*_ENCOUNTERS, *_ORGANISATIONS, *_DATES))


class Facts(msgspec.Struct, frozen=True, gc=False):
    """One resource, as far as filing, labelling and naming it go."""

    codings: tuple[Coding, ...]  # Anywhere in it but `meta`.
    categories: tuple[Coding, ...]
    security: tuple[Coding, ...]  # Of `meta.security`: labels it came with.
    references: tuple[str, ...]  # Anywhere in it, each once.
    subjects: tuple[tuple[str, ...], ...]  # References that may name its patient: a group an element, best first.
    encounters: tuple[str, ...]
    organisations: tuple[str, ...]  # References that may name the organisation answerable for it.
    identifiers: tuple[tuple[str, str], ...]  # System (may be empty) and value.
    date: str | None
    birth_date: str | None
    narrative: bool  # Holds text or an attachment that no rule can read.


def facts_of(resource_type: str, tree: Tree, walk: Walk) -> Facts:
    """Gather the facts of a parsed resource."""
    heads = [name for name in tree if name in _HEADS]
    meta = tree.get("meta")
    security = tuple(_codings(meta, ("security",))) if isinstance(meta, dict) and "security" in meta else ()
    birth_date = tree.get("birthDate") if resource_type == "Patient" else None
    return Facts(
        codings=tuple(each for each in walk.codings if each not in security) if security else walk.codings,
        categories=tuple(_codings(tree, ("category", "coding"))) if "category" in tree else (),
        security=security,
        references=walk.references,
        subjects=_groups(tree, SUBJECT_PATHS.get(resource_type, ())),
        encounters=_references(tree, _present(heads, _ENCOUNTERS)),
        organisations=_references(tree, _present(heads, _ORGANISATIONS)),
        identifiers=tuple(_identifiers(tree)) if "identifier" in tree else (),
        date=None if resource_type in _NOT_CLINICAL else _clinical_date(tree, heads),
        birth_date=birth_date if isinstance(birth_date, str) else None,
        narrative=resource_type in _FREE_TEXT_TYPES or "note" in tree,
    )


def _clinical_date(tree: Tree, heads: list[str]) -> str | None:
    """When what a resource tells happened, or began; FHIR's own precision. None where it does not say."""
    for path in _present(heads, _DATES):
        for value in values_at(tree, path):
            if isinstance(value, str):
                return value
    return None


def _present(heads: list[str], table: dict[str, list[tuple[int, Path]]]) -> list[Path]:
    """Those paths of a table that a resource may have, the most telling first."""
    found = [ranked for name in heads if name in table for ranked in table[name]]
    found.sort()
    return [path for _, path in found]


def _groups(tree: Tree, paths: tuple[Path, ...]) -> tuple[tuple[str, ...], ...]:
    groups = (_references(tree, (path,)) for path in paths if path[0] in tree)
    return tuple(group for group in groups if group)


def _references(tree: Tree, paths: Iterable[Path]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for path in paths:
        node = tree.get(path[0])
        plain = len(path) == 1 and type(node) is dict  # By far the most common.
        for held in (node,) if plain else values_at(node, path[1:]):
            reference = held.get("reference") if isinstance(held, dict) else None
            if isinstance(reference, str):
                found[reference] = None
    return tuple(found)


def _codings(tree: Tree, path: Path) -> list[Coding]:
    pairs = [(n.get("system"), n.get("code")) for n in values_at(tree, path) if isinstance(n, dict)]
    return [(system, code) for system, code in pairs if isinstance(system, str) and isinstance(code, str)]


def _identifiers(tree: Tree) -> list[tuple[str, str]]:
    pairs = [(n.get("system", ""), n.get("value")) for n in values_at(tree, ("identifier",)) if isinstance(n, dict)]
    return [(system, value) for system, value in pairs if isinstance(system, str) and isinstance(value, str)]
