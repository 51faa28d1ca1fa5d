"""The condensed tables agree with HL7's definitions."""

import json
from pathlib import Path

from salus.fhir.tables import DIRECTORY_ALWAYS, DIRECTORY_UNLESS_PATIENT, RESOURCE_TYPES, SUBJECT_PATHS
from tests.fhir.make_tables import TARGET, definitions, tables


def test_the_kept_table_is_what_the_definitions_yield(core_archive: Path) -> None:
    assert json.loads(TARGET.read_text()) == tables(definitions(core_archive))


def test_every_resource_type_is_a_patients_or_the_directorys() -> None:
    homeless = RESOURCE_TYPES - DIRECTORY_ALWAYS - set(SUBJECT_PATHS) - {"Patient"}
    # A nested bundle, an answer to a request and the parameters of one are no records of their own.
    assert homeless == {"Bundle", "OperationOutcome", "Parameters"}


def test_the_directory_never_takes_what_is_in_the_patient_compartment() -> None:
    compartment = json.loads(TARGET.read_text())["patient_compartment"]
    assert DIRECTORY_ALWAYS.isdisjoint(compartment)
    assert DIRECTORY_UNLESS_PATIENT & set(compartment) == {"Group", "Schedule"}
    assert DIRECTORY_ALWAYS < RESOURCE_TYPES
