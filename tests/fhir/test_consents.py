"""FHIR Consent in both dialects, and what happens to what cannot be computed."""

import itertools
import json
import lzma
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from salus.contracts.consent import Effect, Reader
from salus.core.ids import MemberId
from salus.fhir.consents import Normalised, normalise
from salus.fhir.dates import instant_ms

DATA = Path(os.environ.get("SALUS_TEST_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
ARCHIVE = DATA / "fhir-r4-examples.tar.xz"
KNOWN = {
    "Organization/f001": Reader(member=MemberId("mercy")),
    "Practitioner/f204": Reader(member=MemberId("mercy"), role="nurse"),
    "Practitioner/13": Reader(member=MemberId("mercy"), role="clinician"),
}
ROLE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"


def read(consent: dict[str, Any]) -> Normalised:
    ids = (number.to_bytes(16, "big") for number in itertools.count(1))
    return normalise({"resourceType": "Consent", "status": "active", **consent}, KNOWN.get, lambda: next(ids))


def rule(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]}


def actor(role: str, reference: str) -> dict[str, Any]:
    return {"role": {"coding": [{"system": ROLE, "code": role}]}, "reference": {"reference": reference}}


NOT_COMPUTABLE = [
    ("no base at all", {"provision": {"purpose": [{"code": "TREAT"}]}}, "no_base"),
    ("an unknown modifier", {"policyRule": rule("OPTIN"), "modifierExtension": [{"url": "x"}]}, "unknown_modifier"),
    (
        "a modifier on a provision",
        {"policyRule": rule("OPTIN"), "provision": {"modifierExtension": [{"url": "x"}]}},
        "unknown_modifier",
    ),
    ("a draft", {"status": "draft", "policyRule": rule("OPTIN")}, "not_active"),
    ("a stranger", {"provision": {"type": "permit", "actor": [actor("PRCP", "Organization/no")]}}, "unresolvable"),
    (
        "an unknown role",
        {"provision": {"type": "permit", "actor": [actor("XYZ", "Organization/f001")]}},
        "unknown_actor",
    ),
    ("an unknown purpose", {"provision": {"type": "permit", "purpose": [{"code": "FUN"}]}}, "unknown_purpose"),
    ("single data", {"policyRule": rule("OPTIN"), "provision": {"data": [{"meaning": "related"}]}}, "single_data"),
    (
        "an exception that repeats its base",
        {"provision": {"type": "deny", "provision": [{"type": "deny"}]}},
        "exception_repeats_its_base",
    ),
    (
        "an empty period",
        {"provision": {"type": "permit", "period": {"start": "2026-02-01", "end": "2026-01-01"}}},
        "empty_period",
    ),
    (
        "a period nobody can read",
        {"provision": {"type": "permit", "period": {"start": "spring"}}},
        "unreadable_period",
    ),
    (
        "a class that is no type",
        {"provision": {"type": "permit", "class": [{"system": "urn:ietf:bcp:13", "code": "application/pdf"}]}},
        "unknown_class",
    ),
]


@pytest.mark.parametrize(
    ("consent", "problem"), [row[1:] for row in NOT_COMPUTABLE], ids=[r[0] for r in NOT_COMPUTABLE]
)
def test_what_cannot_be_computed_denies_and_is_named(consent: dict[str, Any], problem: str) -> None:
    found = read(consent)
    assert found.problems
    assert any(one.startswith(problem) for one in found.problems)
    assert found.rule.effect is Effect.DENY
    assert (found.rule.readers, found.rule.purposes, found.rule.exceptions) == ((), (), ())


def test_what_is_certain_of_an_unclear_consent_narrows_its_denial_to_the_data_it_speaks_of() -> None:
    found = read(
        {
            "provision": {
                "type": "permit",
                "actor": [actor("PRCP", "Organization/no")],
                "securityLabel": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}],
            }
        }
    )
    assert found.rule.terms == (("label:PSY",),)
    assert found.rule.effect is Effect.DENY


def test_opt_in_with_a_bare_provision_permits_all_but_that() -> None:
    found = read({"policyRule": rule("OPTIN"), "provision": {"actor": [actor("PRCP", "Practitioner/f204")]}})
    assert not found.problems
    assert (found.rule.effect, found.rule.readers) == (Effect.PERMIT, ())
    (exception,) = found.rule.exceptions
    assert (exception.effect, exception.readers) == (Effect.DENY, (KNOWN["Practitioner/f204"],))


def test_opt_out_with_a_custodian_permits_only_what_that_author_wrote() -> None:
    found = read({"policyRule": rule("OPTOUT"), "provision": {"actor": [actor("CST", "Organization/f001")]}})
    (exception,) = found.rule.exceptions
    assert (found.rule.effect, exception.effect, exception.authors) == (Effect.DENY, Effect.PERMIT, ("mercy",))


def test_a_typed_root_is_the_base_in_the_other_dialect() -> None:
    found = read(
        {
            "policyRule": rule("OPTIN"),
            "provision": {
                "type": "permit",
                "purpose": [{"code": "TREAT"}],
                "provision": [
                    {"type": "deny", "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Claim"}]}
                ],
            },
        }
    )
    assert not found.problems
    assert (found.rule.effect, found.rule.purposes) == (Effect.PERMIT, ("TREAT",))
    assert found.rule.exceptions[0].fhir_types == ("Claim",)


def test_a_period_covers_its_last_day_whole() -> None:
    found = read({"provision": {"type": "permit", "period": {"start": "2026-01-01", "end": "2026-01-31"}}})
    assert (found.rule.since, found.rule.until) == (instant_ms("2026-01-01"), instant_ms("2026-02-01"))


def test_every_consent_of_hl7s_examples_is_read_or_held_for_review() -> None:
    if not ARCHIVE.exists():
        pytest.skip("HL7's examples are not here; set SALUS_TEST_DATA")
    seen = 0
    with lzma.open(ARCHIVE) as packed, tarfile.open(fileobj=packed) as archive:
        for entry in archive:
            if not Path(entry.name).name.startswith("Consent-consent-example"):
                continue
            file = archive.extractfile(entry)
            assert file is not None
            found = read(json.load(file))
            seen += 1
            name = Path(entry.name).name
            if "notThis" in name:
                assert found.problems == ("single_data",)
            if "notThem" in name:
                assert not found.problems
            assert found.rule.effect is Effect.DENY or not found.problems
    assert seen >= 12
