"""The purposes of use, judged by HL7's own code system, and how far a named purpose reaches."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from salus.contracts.consent.purposes import PARENTS, reached_by
from salus.contracts.consent.rules import Effect
from salus.core.ids import Purpose

DATA = Path(os.environ.get("SALUS_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
CORE = DATA / "fhir-r4-core.tar.xz"


def below(concepts: list[dict[str, Any]], parent: str | None) -> Iterator[tuple[str, str | None]]:
    for concept in concepts:
        yield concept["code"], parent
        yield from below(concept.get("concept", []), concept["code"])


def concept_named(concepts: list[dict[str, Any]], code: str) -> dict[str, Any]:
    found = [c for c in concepts if c["code"] == code]
    found += [c for each in concepts for c in [concept_named(each.get("concept", []), code)] if c]
    return found[0] if found else {}


@pytest.mark.skipif(not CORE.exists(), reason=f"shared test data is absent: {CORE.name}")
def test_the_tree_is_the_one_hl7_published() -> None:
    with tarfile.open(CORE) as archive:
        member = archive.extractfile("CodeSystem-v3-ActReason.json")
        assert member is not None
        system = json.load(member)
    assert dict(below([concept_named(system["concept"], "PurposeOfUse")], None)) == PARENTS


@pytest.mark.parametrize(
    ("named", "asked", "permit", "deny"),
    [
        ("TREAT", "TREAT", True, True),
        ("TREAT", "COC", True, True),
        ("TREAT", "CLINTRL", False, True),
        ("TREAT", "POPHLTH", False, True),
        ("TREAT", "ETREAT", False, False),
        ("TREAT", "ERTREAT", False, False),
        ("TREAT", "BTG", False, False),
        ("ETREAT", "ERTREAT", True, True),
        ("ETREAT", "BTG", False, False),
        ("BTG", "BTG", True, True),
        ("CLINTRL", "CLINTRL", True, True),
        ("PurposeOfUse", "HTEST", True, True),
        ("PurposeOfUse", "POPHLTH", False, True),
        ("COC", "TREAT", False, False),
        ("HRESCH", "CLINTRCHPC", True, True),
        ("TREAT", "CLINTRCHPC", False, False),
    ],
)
def test_a_named_purpose_reaches(named: str, asked: str, permit: bool, deny: bool) -> None:
    reach = [Purpose(named) in reached_by(Purpose(asked), effect) for effect in (Effect.PERMIT, Effect.DENY)]
    assert reach == [permit, deny]


def test_an_unknown_purpose_is_reached_by_none_not_even_its_own_name() -> None:
    assert reached_by(Purpose("CURIOSITY"), Effect.PERMIT) == frozenset()
