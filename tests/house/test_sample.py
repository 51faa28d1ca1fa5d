"""The shipped sample: what its generator writes, whole in its references, and what the demo's story needs of it."""

import base64
import json
import re
import struct
import zlib
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from salus.cli import sample
from tools import make_sample
from tools.sample.codes import DISPLAYS, SYSTEMS
from tools.sample.text import to_json

CHARTS = {name: (sample.FOLDER / name).read_text(encoding="utf-8") for name in sample.FILES}


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads(CHARTS[name], parse_float=Decimal)["entry"]


def resources(name: str) -> dict[str, dict[str, Any]]:
    return {entry["resource"]["id"]: entry["resource"] for entry in entries(name)}


def every(value: Any, key: str) -> list[Any]:
    """All values under a key, at any depth."""
    if isinstance(value, list):
        return [found for item in value for found in every(item, key)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [found for item in value.values() for found in every(item, key)]


def codings(value: Any) -> list[dict[str, str]]:
    """Everything in a resource that has a code and a system, apart from units of measure."""
    if isinstance(value, list):
        return [found for item in value for found in codings(item)]
    if not isinstance(value, dict):
        return []
    here = [value] if "code" in value and isinstance(value["code"], str) and "value" not in value else []
    return here + [found for item in value.values() for found in codings(item)]


def attachment(name: str, document: str) -> bytes:
    return base64.b64decode(resources(name)[document]["content"][0]["attachment"]["data"], validate=True)


def member_of(name: str, resource: dict[str, Any]) -> str | None:
    """The id of the organisation that provided the encounter of a resource, or that encounter itself."""
    by_url = {entry["fullUrl"]: entry["resource"] for entry in entries(name)}
    visit = resource if resource["resourceType"] == "Encounter" else None
    for reference in [resource.get("encounter"), *resource.get("context", {}).get("encounter", [])]:
        visit = by_url[reference["reference"]] if reference else visit
    return by_url[visit["serviceProvider"]["reference"]]["id"] if visit else None


def test_the_generator_refuses_one_key_twice() -> None:
    chart = make_sample.Chart("x")
    chart.add("Goal", "same", {})
    with pytest.raises(ValueError, match="Goal same"):
        chart.add("Goal", "same", {})


def test_the_writer_refuses_a_float() -> None:
    with pytest.raises(TypeError):
        to_json({"value": 7.1})


def test_the_writer_keeps_the_digits_of_a_decimal() -> None:
    assert to_json({"value": Decimal("7.10")}) == '{\n  "value": 7.10\n}'


def test_the_shipped_files_are_what_the_generator_writes() -> None:
    assert make_sample.files() == CHARTS


@pytest.mark.parametrize("name", sample.FILES)
def test_every_reference_leads_to_an_entry_of_the_same_file(name: str) -> None:
    urls = [entry["fullUrl"] for entry in entries(name)]
    assert len(urls) == len(set(urls))
    references = every(entries(name), "reference")
    assert len(references) > 300
    assert set(references) <= set(urls)


@pytest.mark.parametrize("name", sample.FILES)
def test_every_code_carries_its_system_and_display(name: str) -> None:
    found = codings([entry["resource"] for entry in entries(name)])
    assert len(found) > 300
    assert [code for code in found if not code.get("system") or not code.get("display")] == []


def test_every_code_of_the_table_is_used() -> None:
    used = {(code["system"], code["code"]) for name in CHARTS for code in codings(entries(name))}
    unused = [
        (system, code) for system, codes in DISPLAYS.items() for code in codes if (SYSTEMS[system], code) not in used
    ]
    assert unused == []


@pytest.mark.parametrize("name", sample.FILES)
def test_each_patient_lies_at_all_four_hospitals(name: str) -> None:
    counts = Counter(member_of(name, resource) for resource in resources(name).values())
    del counts[None]
    assert set(counts) == set(sample.ORGANIZATIONS)
    assert min(counts.values()) >= 12
    assert 140 <= sum(counts.values()) <= 180


@pytest.mark.parametrize(("name", "patient"), [("adult.json", sample.ADULT), ("child.json", sample.CHILD)])
def test_every_clinical_resource_is_of_the_one_patient(name: str, patient: str) -> None:
    (url,) = [entry["fullUrl"] for entry in entries(name) if entry["resource"]["id"] == patient]
    shared = {"Organization", "Practitioner", "Patient", "Provenance"}
    clinical = [found for found in resources(name).values() if found["resourceType"] not in shared]
    assert clinical
    assert [r["id"] for r in clinical if (r.get("subject") or r.get("patient"))["reference"] != url] == []


def test_the_wrong_potassium_stands_as_it_was_typed() -> None:
    wrong = resources("adult.json")[sample.WRONG_POTASSIUM]
    assert wrong["code"]["coding"][0]["code"] == "2823-3"
    assert str(wrong["valueQuantity"]["value"]) == "7.1"
    assert member_of("adult.json", wrong) == "lakeside"


def test_the_misfiled_radiograph_is_the_childs_in_the_adults_chart() -> None:
    misfiled = resources("adult.json")[sample.MISFILED_RADIOGRAPH]
    assert b"Girl of twelve" in attachment("adult.json", sample.MISFILED_RADIOGRAPH)
    assert member_of("adult.json", misfiled) == "mercy"


@pytest.mark.parametrize(
    ("name", "document", "loinc", "member"),
    [
        ("adult.json", sample.PSYCHIATRY_NOTE, "34788-0", "st-luke"),
        ("adult.json", sample.ALCOHOL_NOTE, "11506-3", "northgate"),
        ("adult.json", sample.DISCHARGE_LETTER, "18842-5", "mercy"),
        ("child.json", sample.ADOLESCENT_NOTE, "11488-4", "northgate"),
    ],
)
def test_a_document_the_story_points_at_is_there(name: str, document: str, loinc: str, member: str) -> None:
    found = resources(name)[document]
    assert found["type"]["coding"][0]["code"] == loinc
    assert member_of(name, found) == member


def test_the_hiv_test_is_negative_and_bears_no_label() -> None:
    test = resources("adult.json")[sample.HIV_TEST]
    assert test["valueCodeableConcept"]["text"] == "Not detected"
    assert "meta" not in test


def test_the_programme_and_the_adolescent_visit_bear_their_labels() -> None:
    labels = {name: [label["code"] for label in every(entries(name), "security") for label in label] for name in CHARTS}
    assert set(labels["adult.json"]) == {"R", "ETH"}
    assert set(labels["child.json"]) == {"R"}


def test_digits_that_a_laboratory_wrote_are_kept() -> None:
    for text in ("7.10", "1.00", "39.10", "90.80"):
        assert len(re.findall(rf'"value": {re.escape(text)},', CHARTS["adult.json"])) == 1, text


def test_the_letter_is_a_pdf_whose_table_points_at_its_objects() -> None:
    data = attachment("adult.json", sample.DISCHARGE_LETTER)
    start = int(data.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    table = data[start:].splitlines()
    assert table[0] == b"xref"
    for number, line in enumerate(table[3:8], start=1):
        assert data[int(line[:10]) :].startswith(b"%d 0 obj" % number)
    assert data.endswith(b"%%EOF\n")


def test_the_eye_ground_is_a_png_of_its_size() -> None:
    data, place, chunks = attachment("adult.json", sample.EYE_GROUND), 8, {}
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        name, body, check = (
            data[place + 4 : place + 8],
            data[place + 8 : place + 8 + size],
            data[place + 8 + size :][:4],
        )
        assert zlib.crc32(name + body) == int.from_bytes(check, "big")
        chunks[name], place = body, place + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (width + 1)
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
