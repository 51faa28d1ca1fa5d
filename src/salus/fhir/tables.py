"""Facts about FHIR R4, read once from `r4.json` (condensed by `tests/fhir/make_tables.py` from HL7's definitions)."""

from importlib import resources

import msgspec

Path = tuple[str, ...]


class _Tables(msgspec.Struct, frozen=True):
    source: str
    types: tuple[str, ...]
    patient_compartment: dict[str, tuple[str, ...]]
    date_elements: tuple[str, ...]


def words(text: str) -> tuple[str, ...]:
    """A list written as running text."""
    return tuple(text.split())


def _paths(*names: str) -> tuple[Path, ...]:
    return tuple(tuple(name.split(".")) for name in names)


_tables = msgspec.json.decode(resources.files(__package__).joinpath("r4.json").read_bytes(), type=_Tables)

RESOURCE_TYPES = frozenset(_tables.types)
DATE_ELEMENTS = frozenset(_tables.date_elements)

# R4 leaves these out of the patient compartment although each is about someone (elements per hl7.org/fhir/R4).
_ALSO_ABOUT = {
    "Binary": _paths("securityContext"),
    "BiologicallyDerivedProduct": _paths("collection.source"),
    "Contract": _paths("subject"),
    "Device": _paths("patient"),
    "DeviceMetric": _paths("source", "parent"),
    "EnrollmentResponse": _paths("request"),
    "GuidanceResponse": _paths("subject"),
    "Linkage": _paths("item.resource"),
    "MessageHeader": _paths("focus"),
    "PaymentNotice": _paths("request", "response"),
    "PaymentReconciliation": _paths("request", "detail.request"),
    "Slot": _paths("schedule"),
    "SupplyRequest": _paths("deliverTo"),
    "Task": _paths("for", "focus"),
    "VerificationResult": _paths("target"),
}
SUBJECT_PATHS: dict[str, tuple[Path, ...]] = {
    **{name: _paths(*paths) for name, paths in _tables.patient_compartment.items() if name != "Patient"},
    **_ALSO_ABOUT,
}

# What belongs to no patient: a member's own, clear, shared directory.
DIRECTORY_ALWAYS = frozenset(
    words(
        "Organization OrganizationAffiliation Practitioner PractitionerRole Location HealthcareService Endpoint "
        "InsurancePlan Medication MedicationKnowledge Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein "
        "SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification MedicinalProduct "
        "MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication "
        "MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged "
        "MedicinalProductPharmaceutical MedicinalProductUndesirableEffect ActivityDefinition CapabilityStatement "
        "CatalogEntry ChargeItemDefinition CodeSystem CompartmentDefinition ConceptMap DeviceDefinition "
        "EffectEvidenceSynthesis EventDefinition Evidence EvidenceVariable ExampleScenario GraphDefinition "
        "ImplementationGuide Library Measure MessageDefinition NamingSystem ObservationDefinition OperationDefinition "
        "PlanDefinition Questionnaire ResearchDefinition ResearchElementDefinition ResearchStudy RiskEvidenceSynthesis "
        "SearchParameter SpecimenDefinition StructureDefinition StructureMap Subscription TerminologyCapabilities "
        "TestReport TestScript ValueSet"
    )
)
# A patient's where they name one, else the directory's: a spare pump, a clinician's calendar, a ward's group.
DIRECTORY_UNLESS_PATIENT = frozenset({"Device", "DeviceMetric", "Group", "Schedule", "Slot", "VerificationResult"})
