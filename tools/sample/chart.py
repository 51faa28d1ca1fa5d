"""A patient's chart as it grows: each word adds one FHIR R4 resource and answers with the reference to it."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from tools.sample.codes import RANGES, UNITS, category_of, coding, concept
from tools.sample.directory import MEMBERS, STAFF

NAMESPACE = UUID("6f1d2f0e-3c5b-5a7e-9d41-5a1b05a1b050")
UCUM = "http://unitsofmeasure.org"

Fields = dict[str, Any]
Reference = dict[str, str]


@dataclass(frozen=True)
class Visit:
    """One encounter: where it was, with whom, and from when to when."""

    reference: Reference
    member: str
    clinician: Reference
    start: str
    end: str


@dataclass
class Chart:
    """The entries of one patient's Bundle, in the order in which they were added."""

    name: str
    entries: list[Fields] = field(default_factory=list)
    patient: Reference = field(default_factory=dict)
    labels: list[Fields] = field(default_factory=list)  # `meta.security` of whatever is added next.

    def add(self, kind: str, key: str, fields: Fields, *, own_id: str | None = None) -> Reference:
        """Add a resource. Its id follows from chart, type and key; `own_id` is for what the members name themselves."""
        uuid = str(uuid5(NAMESPACE, key if own_id else f"{self.name}/{kind}/{key}"))
        resource: Fields = {"resourceType": kind, "id": own_id or uuid}
        if self.labels and not own_id:
            resource |= {"meta": {"security": self.labels}}
        resource |= {name: value for name, value in fields.items() if value not in (None, [], {})}
        request = {"method": "PUT", "url": f"{kind}/{own_id}"} if own_id else {"method": "POST", "url": kind}
        if any(entry["fullUrl"] == f"urn:uuid:{uuid}" for entry in self.entries):
            raise ValueError(f"twice in one chart: {kind} {key}")
        self.entries.append({"fullUrl": f"urn:uuid:{uuid}", "resource": resource, "request": request})
        return {"reference": f"urn:uuid:{uuid}"}

    def visit(
        self,
        key: str,
        start: str,
        minutes: int,
        clinician: str,
        kind: str,
        *,
        setting: str = "AMB",
        why: tuple[str, ...] = (),
    ) -> Visit:
        """An encounter with a clinician, at the hospital where that clinician works."""
        member = STAFF[clinician].member
        with_whom, where = self.staff(clinician), self.hospital(member)
        end = (datetime.fromisoformat(start) + timedelta(minutes=minutes)).isoformat()
        period = {"start": start, "end": end}
        reference = self.add(
            "Encounter",
            key,
            {
                "status": "finished",
                "class": coding("act", setting),
                "type": [concept(kind)],
                "subject": self.patient,
                "participant": [
                    {"type": [concept("participation:PPRF")], "period": period, "individual": with_whom},
                ],
                "period": period,
                "reasonCode": [concept(*why)] if why else None,
                "serviceProvider": where,
            },
        )
        return Visit(reference, member, with_whom, start, end)

    def staff(self, key: str) -> Reference:
        """A clinician of the members' directory."""
        return {"reference": f"urn:uuid:{uuid5(NAMESPACE, f'practitioner/{key}')}", "display": STAFF[key].display}

    def hospital(self, member: str) -> Reference:
        """An organisation of the members' directory."""
        return {"reference": f"urn:uuid:{uuid5(NAMESPACE, f'organization/{member}')}", "display": MEMBERS[member]}

    def observe(self, visit: Visit, loinc: str, value: Fields) -> Reference:
        """An observation of any kind at a visit: `value` names its `value[x]` or components."""
        return self.add(
            "Observation",
            f"{visit.start}/{visit.member}/{loinc}",
            {
                "status": "final",
                "category": [concept(f"observation:{category_of(loinc)}")],
                "code": concept(f"loinc:{loinc}"),
                "subject": self.patient,
                "encounter": visit.reference,
                "effectiveDateTime": visit.start,
                "issued": visit.end,
                "performer": [visit.clinician],
                **value,
            },
        )

    def measure(self, visit: Visit, loinc: str, value: str) -> Reference:
        """A measured quantity, its digits kept as written."""
        fields: Fields = {"valueQuantity": quantity(loinc, value)}
        if loinc in RANGES:
            low, high = RANGES[loinc]
            flag = "L" if Decimal(value) < Decimal(low) else "H" if Decimal(value) > Decimal(high) else "N"
            fields["interpretation"] = [concept(f"interpretation:{flag}")]
            fields["referenceRange"] = [{"low": quantity(loinc, low), "high": quantity(loinc, high)}]
        return self.observe(visit, loinc, fields)

    def measures(self, visit: Visit, **values: str) -> list[Reference]:
        """Several quantities; codes are written `l4548_4="7.10"`."""
        return [self.measure(visit, code[1:].replace("_", "-"), value) for code, value in values.items()]

    def pressure(self, visit: Visit, systolic: str, diastolic: str) -> Reference:
        """A blood pressure with its two components."""
        pair = (("8480-6", systolic), ("8462-4", diastolic))
        parts = [{"code": concept(f"loinc:{code}"), "valueQuantity": quantity(code, value)} for code, value in pair]
        return self.observe(visit, "85354-9", {"component": parts})

    def finding(self, visit: Visit, loinc: str, *, text: str | None = None, code: str | None = None) -> Reference:
        """A result that is words or a code, such as a negative test."""
        value = concept(code) if code else {"text": text}
        flag = {"interpretation": [concept("interpretation:NEG")]} if text == "Not detected" else {}
        return self.observe(visit, loinc, {"valueCodeableConcept": value, **flag})

    def report(self, visit: Visit, loinc: str, results: list[Reference], *, said: str | None = None) -> Reference:
        """A laboratory's or radiologist's report over results of the same visit."""
        service = "RAD" if loinc in ("36643-5", "18748-4") else "LAB"
        return self.add(
            "DiagnosticReport",
            f"{visit.start}/{visit.member}/{loinc}",
            {
                "status": "final",
                "category": [concept(f"diagnostics:{service}")],
                "code": concept(f"loinc:{loinc}"),
                "subject": self.patient,
                "encounter": visit.reference,
                "effectiveDateTime": visit.start,
                "issued": visit.end,
                "performer": [self.hospital(visit.member)],
                "result": results,
                "conclusion": said,
            },
        )

    def problem(
        self, visit: Visit, *codes: str, status: str = "active", until: str | None = None, chronic: bool = True
    ) -> Reference:
        """A diagnosis made at a visit."""
        return self.add(
            "Condition",
            f"{visit.start}/{codes[0]}",
            {
                "clinicalStatus": concept(f"condition:{status}"),
                "verificationStatus": concept("condition-verified:confirmed"),
                "category": [
                    concept(f"condition-category:{'problem-list-item' if chronic else 'encounter-diagnosis'}")
                ],
                "code": concept(*codes),
                "subject": self.patient,
                "encounter": visit.reference,
                "onsetDateTime": visit.start[:10],
                "abatementDateTime": until,
                "recordedDate": visit.start[:10],
                "recorder": visit.clinician,
            },
        )

    def prescribe(
        self, visit: Visit, rx: str, dose: str, *, reason: Reference | None = None, status: str = "active"
    ) -> Reference:
        """A prescription written at a visit."""
        return self.add(
            "MedicationRequest",
            f"{visit.start}/{rx}",
            {
                "status": status,
                "intent": "order",
                "medicationCodeableConcept": concept(f"rx:{rx}"),
                "subject": self.patient,
                "encounter": visit.reference,
                "authoredOn": visit.start,
                "requester": visit.clinician,
                "reasonReference": [reason] if reason else None,
                "dosageInstruction": [{"text": dose}],
            },
        )

    def immunise(self, visit: Visit, *vaccines: str) -> None:
        """Vaccines given at a visit, by CVX code."""
        for vaccine in vaccines:
            self.add(
                "Immunization",
                f"{visit.start}/{vaccine}",
                {
                    "status": "completed",
                    "vaccineCode": concept(f"cvx:{vaccine}"),
                    "patient": self.patient,
                    "encounter": visit.reference,
                    "occurrenceDateTime": visit.start,
                    "primarySource": True,
                    "performer": [{"actor": visit.clinician}],
                },
            )

    def procedure(
        self, visit: Visit, code: str, *, reason: Reference | None = None, until: str | None = None
    ) -> Reference:
        """Something done at a visit, or from it until a later time."""
        return self.add(
            "Procedure",
            f"{visit.start}/{code}",
            {
                "status": "completed",
                "code": concept(code),
                "subject": self.patient,
                "encounter": visit.reference,
                "performedPeriod": {"start": visit.start, "end": until or visit.end},
                "performer": [{"actor": visit.clinician}],
                "reasonReference": [reason] if reason else None,
            },
        )

    def document(self, visit: Visit, loinc: str, title: str, data: bytes, kind: str = "text/plain") -> Reference:
        """A document written at a visit, carried inline."""
        attachment = {"contentType": kind, "data": b64encode(data).decode(), "size": len(data), "title": title}
        return self.add(
            "DocumentReference",
            f"{visit.start}/{title}",
            {
                "status": "current",
                "docStatus": "final",
                "type": concept(f"loinc:{loinc}"),
                "subject": self.patient,
                "date": visit.end,
                "author": [visit.clinician],
                "custodian": self.hospital(visit.member),
                "content": [{"attachment": attachment}],
                "context": {
                    "encounter": [visit.reference],
                    "period": {"start": visit.start, "end": visit.end},
                },
            },
        )

    def plan(self, visit: Visit, code: str, about: list[Reference], text: str) -> Reference:
        """A care plan agreed at a visit."""
        return self.add(
            "CarePlan",
            f"{visit.start}/{code}",
            {
                "status": "active",
                "intent": "plan",
                "category": [concept(code)],
                "description": text,
                "subject": self.patient,
                "encounter": visit.reference,
                "period": {"start": visit.start[:10]},
                "author": visit.clinician,
                "addresses": about,
            },
        )

    def bundle(self) -> Fields:
        """The whole chart as a transaction."""
        name = str(uuid5(NAMESPACE, f"{self.name}/Bundle"))
        return {"resourceType": "Bundle", "id": name, "type": "transaction", "entry": self.entries}


def label(system: str, code: str) -> Fields:
    """A security label as a hospital sets it."""
    return dict(coding(system, code))


def quantity(loinc: str, value: str) -> Fields:
    """A number with the unit in which this code is measured."""
    unit = UNITS[loinc]
    return {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit}


def identifier(system: str, value: str) -> Fields:
    """An identifier under a reserved example domain."""
    return {"system": f"https://{system}.example.org/id", "value": value}
