"""What references point at, within one import and in the member's directory.

Nothing of a document changes but the text of a conditional reference (`Practitioner?identifier=system|value`), which
becomes the `Type/id` it stands for: it would mean nothing outside its transaction. `urn:uuid:` references stay, since
the full URL of their target is known. FHIR R4, 3.2.0.11.2 and 2.36.4.1.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import unquote

import msgspec
import orjson

from salus.fhir.bundle import Bundle, Entry
from salus.fhir.errors import AMBIGUOUS_REFERENCE, DANGLING_REFERENCE
from salus.fhir.tables import DIRECTORY_ALWAYS, RESOURCE_TYPES

# Starts plain, which makes it quick, and takes only references with a question mark.
_CONDITIONAL = re.compile(rb'"reference"\s*:\s*("[^"?]*\?(?:[^"\\]|\\.)*")')
_AMBIGUOUS = ""  # Stands in an identifier table for "more than one".


class Directory(msgspec.Struct, frozen=True):
    """What a member knows of resources outside the file at hand. Picklable, so that workers can hold one."""

    by_identifier: dict[str, str] = {}  # `Type|system|value` to `Type/id`; empty where several carry it.
    by_url: dict[str, str] = {}  # Full URL or `Type/id` to `Type/id`.
    birth_dates: dict[str, str] = {}  # By `Patient/id`.
    encounters: dict[str, tuple[str, str]] = {}  # By `Encounter/id`: its patient and its organisation, or "".
    patients: set[str] = set()  # `Patient/id`s.


class Target(msgspec.Struct, frozen=True):
    """Where a reference leads."""

    key: str | None  # `Type/id` (or what stands for it); None where nobody knows.
    resource_type: str | None
    problem: str | None = None  # Why it is in doubt.


_ELSEWHERE = Target(None, None)


def directory_of(bundles: Iterable[Bundle], known: Directory | None = None) -> Directory:
    """Gather organisations, practitioners, locations and the like, so that other files can refer to them.

    Patients and encounters are noted too: in NDJSON exports each type has a file of its own.
    """
    held = known or Directory()
    wider = Directory(
        dict(held.by_identifier), dict(held.by_url), dict(held.birth_dates), dict(held.encounters), set(held.patients)
    )
    for bundle in bundles:
        for entry in bundle.entries:
            if entry.id and entry.resource_type in DIRECTORY_ALWAYS:
                wider.by_url.update({name: entry.key for name in (entry.full_url, entry.key) if name})
                _add_identifiers(wider.by_identifier, entry)
            elif entry.id and entry.resource_type == "Patient":
                wider.patients.add(entry.key)
                _add_identifiers(wider.by_identifier, entry)
                if entry.facts.birth_date:
                    wider.birth_dates[entry.key] = entry.facts.birth_date
        _add_encounters(wider, bundle)
    return wider


def _add_encounters(directory: Directory, bundle: Bundle) -> None:
    resolver = Resolver(bundle, directory)
    for entry in bundle.entries:
        if entry.resource_type == "Encounter":
            subjects = [resolver.target(r) for group in entry.facts.subjects for r in group]
            patients = [target.key for target in subjects if target.resource_type == "Patient" and target.key]
            directory.encounters[entry.key] = (patients[0] if patients else "", resolver.organisation(entry) or "")


def _add_identifiers(table: dict[str, str], entry: Entry) -> None:
    for system, value in entry.facts.identifiers:
        for name in (f"{entry.resource_type}|{system}|{value}", f"{entry.resource_type}||{value}"):
            table[name] = entry.key if table.get(name, entry.key) == entry.key else _AMBIGUOUS


class Resolver:
    """Answers where references lead, for the time one bundle is being prepared."""

    def __init__(self, bundle: Bundle, directory: Directory) -> None:
        self._bundle = bundle
        self._directory = directory
        self._targets: dict[str, Target] = {}
        self._names: dict[str, Target] = {}
        for entry in bundle.entries:
            target = Target(entry.key, entry.resource_type)
            self._names.update({name: target for name in (entry.key, entry.full_url) if name})

    def target(self, reference: str) -> Target:
        """Where a reference as submitted leads."""
        known = self._targets.get(reference)
        if known is None:
            known = self._targets[reference] = self._look_up(reference)
        return known

    def _look_up(self, reference: str) -> Target:
        reference = reference.split("/_history/")[0]
        if reference in self._names:
            return self._names[reference]
        if reference.startswith("#"):
            return _ELSEWHERE
        listed = self._directory.by_url.get(reference)
        if listed is not None:
            return Target(listed, listed.split("/")[0])
        if "?" in reference:
            return self._condition(reference)
        kind, _, name = reference.partition("/")
        if kind in RESOURCE_TYPES and name:
            seen = reference in self._directory.patients or reference in self._directory.encounters
            return Target(reference, kind, None if seen else DANGLING_REFERENCE)
        if reference.startswith("urn:"):
            return Target(None, None, DANGLING_REFERENCE)
        return self._absolute(reference)

    def _absolute(self, reference: str) -> Target:
        """A resource of another server: known by its whole address, with the type that the address names."""
        parts = reference.rsplit("/", 2)
        kind = parts[1] if len(parts) == 3 and parts[1] in RESOURCE_TYPES else None
        return Target(reference if kind else None, kind)

    def _condition(self, reference: str) -> Target:
        kind, _, query = reference.partition("?")
        name, _, value = query.partition("=")
        token = unquote(value)
        if name != "identifier" or not token:
            return Target(None, kind, DANGLING_REFERENCE)
        wanted = f"{kind}|{token}" if "|" in token else f"{kind}||{token}"
        keys = {table[wanted] for table in (self._own_identifiers, self._directory.by_identifier) if wanted in table}
        if len(keys) == 1 and _AMBIGUOUS not in keys:
            return Target(keys.pop(), kind)
        return Target(None, kind, AMBIGUOUS_REFERENCE if keys else DANGLING_REFERENCE)

    @cached_property
    def _own_identifiers(self) -> dict[str, str]:
        table: dict[str, str] = {}
        for entry in self._bundle.entries:
            if entry.id:
                _add_identifiers(table, entry)
        return table

    def organisation(self, entry: Entry) -> str | None:
        """The first Organization among those an entry names as answerable."""
        targets = (self.target(reference) for reference in entry.facts.organisations)
        return next((target.key for target in targets if target.resource_type == "Organization" and target.key), None)

    def encounter(self, key: str) -> tuple[str, str]:
        """Patient and organisation of an encounter in another file, as far as the directory knows."""
        return self._directory.encounters.get(key, ("", ""))

    def birth_date(self, patient: str) -> str | None:
        """When a patient of another file was born, as far as the directory knows."""
        return self._directory.birth_dates.get(patient)

    def problems(self, entry: Entry) -> Iterator[str]:
        """Reasons why references of an entry are in doubt, one for each."""
        return (reason for reason in (self.target(r).problem for r in entry.facts.references) if reason)

    def resolved(self, entry: Entry) -> bytes:
        """The document's bytes with conditional references replaced; the very same bytes where it has none."""
        if not any("?" in reference for reference in entry.facts.references):
            return entry.raw
        return _CONDITIONAL.sub(self._rewritten, entry.raw)

    def _rewritten(self, found: re.Match[bytes]) -> bytes:
        if found.string[found.start() - 1 : found.start()] == b"\\":
            return found[0]  # Text that speaks of a reference: its quote is escaped.
        key = self.target(orjson.loads(found[1])).key
        return found[0] if key is None else found[0][: -len(found[1])] + orjson.dumps(key)
