"""To which organisation a resource is given, and which member stands for which organisation.

The organisation that provided the encounter is the author of what happened in it; else the one the resource names;
else the one that wrote most of the patient's record. An import for a demo or a test then maps the organisations it
meets onto the members there are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from salus.fhir.bundle import Entry
from salus.fhir.references import Resolver
from salus.fhir.subjects import DIRECTORY

_TOGETHER_WEIGHT = 4  # How much more it costs to put two organisations of one patient together than to load a member.


def organisations_of(entries: tuple[Entry, ...], owners: Mapping[str, str], resolver: Resolver) -> dict[str, str]:
    """The organisation's key by entry key, for each patient's resource where any is known."""
    own = {entry.key: resolver.organisation(entry) for entry in entries}
    found: dict[str, str] = {}
    for entry in entries:
        if owners.get(entry.key, DIRECTORY) != DIRECTORY:
            known = _of_encounter(entry, own, resolver) or own[entry.key]
            if known:
                found[entry.key] = known
    usual = _most_frequent(found, owners)
    for key, owner in owners.items():
        if owner in usual:
            found.setdefault(key, usual[owner])
    return found


def _of_encounter(entry: Entry, own: Mapping[str, str | None], resolver: Resolver) -> str | None:
    if entry.resource_type == "Encounter":
        return None  # Its own provider comes before that of the stay it is part of.
    for reference in entry.facts.encounters:
        target = resolver.target(reference)
        if target.resource_type == "Encounter" and target.key:
            known = own.get(target.key) or resolver.encounter(target.key)[1]
            if known:
                return known
    return None


def _most_frequent(found: Mapping[str, str], owners: Mapping[str, str]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = {}
    for key, organisation in found.items():
        counts.setdefault(owners[key], Counter())[organisation] += 1
    return {owner: min(count, key=lambda name: (-count[name], name)) for owner, count in counts.items()}


def assign(
    counts: Mapping[str, int],
    members: Sequence[str],
    patients: Iterable[Mapping[str, int]] = (),
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Map organisations onto members: the largest first, each to the member with least to do so far.

    `patients` gives, per patient, records by organisation: organisations that share patients are kept apart, so that
    records stay scattered. Those in `known` stay where they are. The same input gives the same mapping, whatever the
    order of its parts.
    """
    shared = _shared(patients)
    load = dict.fromkeys(members, 0)
    held: dict[str, list[str]] = {member: [] for member in members}
    mapping: dict[str, str] = {}
    for organisation, member in (known or {}).items():
        mapping[organisation] = member
        load[member] += counts.get(organisation, 0)
        held[member].append(organisation)
    for organisation in sorted(counts.keys() - mapping.keys(), key=lambda name: (-counts[name], name)):
        together = shared.get(organisation, Counter[str]())
        costs = {m: load[m] + _TOGETHER_WEIGHT * sum(together.get(other, 0) for other in held[m]) for m in members}
        member = min(members, key=lambda name: (costs[name], load[name], members.index(name)))
        mapping[organisation] = member
        load[member] += counts[organisation]
        held[member].append(organisation)
    return mapping


def _shared(patients: Iterable[Mapping[str, int]]) -> dict[str, Counter[str]]:
    """How many records two organisations hold of the same patients: the lesser of the two, summed."""
    shared: dict[str, Counter[str]] = {}
    for records in patients:
        for one, size in records.items():
            for other, other_size in records.items():
                if one != other:
                    shared.setdefault(one, Counter())[other] += min(size, other_size)
    return shared
