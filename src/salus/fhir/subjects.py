"""Which patient a resource belongs to: the R4 patient compartment, and what follows from it.

The elements come from CompartmentDefinition/patient (`r4.json`). Where they name no patient but another resource of the
import (a Provenance its targets, a DeviceMetric its device), that resource's patient counts.
"""

from salus.fhir.bundle import Entry
from salus.fhir.errors import NO_PATIENT, SEVERAL_PATIENTS
from salus.fhir.references import Resolver
from salus.fhir.tables import DIRECTORY_ALWAYS, DIRECTORY_UNLESS_PATIENT

_HOPS_MAX = 4  # Payment → claim → patient is two; more than this is a circle.
DIRECTORY = "directory"  # In place of a patient: belongs to the member's directory.


def subjects_of(entries: tuple[Entry, ...], resolver: Resolver) -> tuple[dict[str, str], dict[str, str]]:
    """Sort the entries of an import by patient.

    Returns the patient's key (or `DIRECTORY`) by entry key, and the reason by entry key where there is none.
    """
    owners: dict[str, str] = {}
    reasons: dict[str, str] = {}
    waiting = list(entries)
    for _ in range(_HOPS_MAX):
        undecided = []
        for entry in waiting:
            owner = _owner(entry, resolver, owners)
            if owner is None:
                undecided.append(entry)
            elif owner == SEVERAL_PATIENTS:
                reasons[entry.key] = SEVERAL_PATIENTS
            else:
                owners[entry.key] = owner
        if len(undecided) == len(waiting):
            break
        waiting = undecided
    for entry in waiting:
        if entry.key in reasons:
            continue
        if entry.resource_type in DIRECTORY_UNLESS_PATIENT:
            owners[entry.key] = DIRECTORY
        elif entry.key not in owners:
            reasons[entry.key] = NO_PATIENT
    return owners, reasons


def _owner(entry: Entry, resolver: Resolver, owners: dict[str, str]) -> str | None:
    if entry.resource_type == "Patient":
        return entry.key
    if entry.resource_type in DIRECTORY_ALWAYS:
        return DIRECTORY
    for references in entry.facts.subjects:
        targets = [resolver.target(reference) for reference in references]
        named = {target.key for target in targets if target.resource_type == "Patient" and target.key}
        if named:
            return named.pop() if len(named) == 1 else SEVERAL_PATIENTS
    return _owner_through(entry, resolver, owners)


def _owner_through(entry: Entry, resolver: Resolver, owners: dict[str, str]) -> str | None:
    """The patient of the resources it speaks of. A relative's own record is not the patient's for being named."""
    spoken_of = [*(r for group in entry.facts.subjects for r in group), *entry.facts.encounters]
    found = set()
    for reference in spoken_of:
        target = resolver.target(reference)
        if target.key is None or target.resource_type == "RelatedPerson":
            continue
        owner = owners.get(target.key) or resolver.encounter(target.key)[0]
        if owner and owner != DIRECTORY:
            found.add(owner)
    if not found:
        return None
    return found.pop() if len(found) == 1 else SEVERAL_PATIENTS
