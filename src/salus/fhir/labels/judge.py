"""Apply the label rules: one coding, one resource, or a whole import for the report of what no rule considered."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources

import msgspec

from salus.fhir.bundle import Bundle
from salus.fhir.dates import age_years
from salus.fhir.facts import Facts
from salus.fhir.strict import Coding
from salus.fhir.tables import DIRECTORY_ALWAYS

Labels = frozenset[str]
_NONE: Labels = frozenset()

_SENSITIVITY = frozenset({"http://terminology.hl7.org/CodeSystem/v3-ActCode", "http://hl7.org/fhir/v3/ActCode"})
_CONFIDENTIALITY = frozenset(
    {"http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "http://hl7.org/fhir/v3/Confidentiality"}
)
_ICD = "ICD10"
_CIEL = "https://openconceptlab.org/orgs/CIEL/sources/CIEL"
_CIEL_CHARS = 36  # OpenMRS pads a CIEL concept number with the letter A to the length of a UUID, under any system.


class ValueSet(msgspec.Struct, frozen=True):
    """Codes that earn one label, and who says so."""

    name: str
    label: str
    title: str
    source: str
    codes: dict[str, tuple[str, ...]]
    prefixes: dict[str, tuple[str, ...]]
    types: tuple[str, ...]  # Resource types that earn it whatever their codes.


class Minor(msgspec.Struct, frozen=True):
    """When services count as a minor's own."""

    label: str
    title: str
    source: str
    labels: tuple[str, ...]
    age_years_min: int
    age_years_max: int  # Half-open: from this age on, a person is of age.


class Rules(msgspec.Struct, frozen=True):
    """`rules.json`."""

    about: str
    systems: dict[str, tuple[str, ...]]
    ancestors: dict[str, tuple[str, ...]]
    implied: dict[str, tuple[str, ...]]  # Labels that records bring along, and ours that follow from them.
    minor: Minor
    sets: tuple[ValueSet, ...]


class Harmless(msgspec.Struct, frozen=True):
    """`harmless.json`."""

    about: str
    source: str
    systems_source: str
    systems: frozenset[str]
    prefixes: dict[str, tuple[str, ...]]
    codes: dict[str, frozenset[str]]


class Verdict(msgspec.Struct, frozen=True):
    """What the rules say of one code."""

    labels: Labels
    considered: bool
    clinical: bool  # Not merely administrative: worth naming in a consent.


_here = resources.files(__package__)
rules = msgspec.json.decode(_here.joinpath("rules.json").read_bytes(), type=Rules)
_harmless = msgspec.json.decode(_here.joinpath("harmless.json").read_bytes(), type=Harmless)

_short_names = {uri: short for short, uris in rules.systems.items() for uri in uris}


def _index() -> tuple[dict[Coding, Labels], dict[Coding, Labels], dict[str, Labels]]:
    exact: dict[Coding, Labels] = {}
    prefixes: dict[Coding, Labels] = {}
    types: dict[str, Labels] = {}
    for system, listed in _harmless.codes.items():
        exact.update({(system, code): _NONE for code in listed})
    for system, starts in _harmless.prefixes.items():
        prefixes.update({(system, start): _NONE for start in starts})
    for group in rules.sets:
        label = frozenset({group.label})
        for table, entries in ((exact, group.codes), (prefixes, group.prefixes)):
            for system, codes in entries.items():
                for code in codes:
                    table[system, code] = table.get((system, code), _NONE) | label
        for name in group.types:
            types[name] = types.get(name, _NONE) | label
    return exact, prefixes, types


_exact, _prefixes, _types = _index()
_prefix_chars_max = max(len(start) for _, start in _prefixes)


@lru_cache(maxsize=1 << 17)
def judge(system: str, code: str) -> Verdict:
    """What the rules say of one code. An exact entry decides before a prefix, a longer prefix before a shorter."""
    if len(code) == _CIEL_CHARS and code.rstrip("A").isdigit():
        system, code = _CIEL, code.rstrip("A")
    if system in _harmless.systems or system in _CONFIDENTIALITY:
        return Verdict(_NONE, considered=True, clinical=False)
    short = _short_names.get(system, system)
    if short == _ICD:
        code = code.replace(".", "").upper()
    labels = _exact.get((short, code))
    length = min(len(code), _prefix_chars_max)
    while labels is None and length:
        labels = _prefixes.get((short, code[:length]))
        length -= 1
    return Verdict(labels or _NONE, considered=labels is not None, clinical=True)


@lru_cache(maxsize=4096)
def ancestors_of(labels: Labels) -> Labels:
    """The labels with all that stand above them: who denies `ETH` denies `SUD`."""
    return labels.union(*(rules.ancestors.get(label, ()) for label in labels))


def labels_of(resource_type: str, facts: Facts) -> Labels:
    """Labels of one resource by its own codes and those it came with."""
    found = _types.get(resource_type, _NONE)
    for system, code in facts.codings:
        earned = judge(system, code).labels
        if earned:
            found |= earned
    for system, code in facts.security:
        if system in _SENSITIVITY:
            found = found.union((code,), rules.implied.get(code, ()))
    return found


def own_services(labels: Labels, *, date: str | None, birth_date: str | None) -> Labels:
    """The label of a minor's own services, where one of age to consent to them, yet a minor, received such."""
    minor = rules.minor
    if date is None or birth_date is None or labels.isdisjoint(minor.labels):
        return _NONE
    own = minor.age_years_min <= age_years(birth_date, date) < minor.age_years_max
    return frozenset({minor.label}) if own else _NONE


def confidentiality(facts: Facts, labels: Labels) -> str:
    """`N`, `R` or `V` of HL7 v3 Confidentiality: the highest of what the record says, its labels and our ignorance.

    Normal needs a reason: codes, all of them considered, and no free text that nobody has read.
    """
    given = {code for system, code in facts.security if system in _CONFIDENTIALITY}
    if "V" in given:
        return "V"
    known = bool(facts.codings) and all(judge(system, code).considered for system, code in facts.codings)
    return "R" if "R" in given or labels or facts.narrative or not known else "N"


def report_unconsidered(bundles: Iterable[Bundle]) -> Counter[Coding]:
    """Every code in patients' resources that no rule considered, with the number of resources that hold it."""
    found: Counter[Coding] = Counter()
    for bundle in bundles:
        for entry in bundle.entries:
            if entry.resource_type not in DIRECTORY_ALWAYS:
                found.update(coding for coding in entry.facts.codings if not judge(*coding).considered)
    return found
