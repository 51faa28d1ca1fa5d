"""Whose a resource is, who gives it, what it is called: over small bundles and over all shared data."""

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from salus.fhir.authors import assign
from salus.fhir.bundle import read_bundle
from salus.fhir.document import Document, Prepared, prepare, prepare_file
from salus.fhir.folder import read_file, read_folder, survey
from salus.fhir.references import Directory, directory_of
from tests.fhir.build import bundle, coded, encounter, observation, organization, patient

EMPTY = Directory()


def prepared(*resources: dict | str, directory: Directory = EMPTY) -> Prepared:
    return prepare(read_bundle(bundle(*resources)), directory, file="f")


def document(found: Prepared, source_id: str) -> Document:
    return next(each for each in found.documents if each.source_id == source_id)


def reasons(found: Prepared) -> list[tuple[str, str]]:
    return [(problem.place, problem.reason) for problem in found.problems if problem.reason != "fhir.no_organisation"]


def test_a_clinical_resource_without_a_patient_is_left_out_with_a_reason() -> None:
    orphan = {"resourceType": "Condition", "id": "c"}
    lost = observation("lost", about="urn:uuid:nobody")
    found = prepared(patient(), orphan, lost, observation())
    assert reasons(found) == [("entry[1]", "fhir.no_patient"), ("entry[2]", "fhir.no_patient")]
    assert [each.source_id for each in found.documents] == ["Patient/p", "Observation/o"]
    assert found.directory_entries == ()


def test_a_resource_of_two_patients_is_not_sealed_for_either() -> None:
    both = {
        "resourceType": "Appointment",
        "participant": [{"actor": {"reference": "urn:uuid:p"}}, {"actor": {"reference": "urn:uuid:q"}}],
    }
    assert reasons(prepared(patient("p"), patient("q"), both)) == [("entry[2]", "fhir.several_patients")]


def test_a_nested_bundle_never_reaches_the_directory() -> None:
    found = prepared(patient(), {"resourceType": "Bundle", "type": "collection"})
    assert reasons(found) == [("entry[1]", "fhir.no_patient")]
    assert found.directory_entries == ()


def test_dangling_references_are_warned_of_and_the_document_is_kept() -> None:
    raw = json.dumps(observation(encounter={"reference": "urn:uuid:gone"}, device={"reference": "Device/9"}))
    found = prepared(patient(), raw)
    assert document(found, "Observation/o").raw == raw.encode()
    problem = next(each for each in found.problems if each.reason == "fhir.dangling_reference")
    assert (problem.file, problem.place, problem.count, problem.warning) == ("f", "entry[1]", 2, True)


def test_a_patient_of_another_file_is_taken_at_its_word() -> None:
    found = prepared(observation(about="Patient/elsewhere"))
    assert document(found, "Observation/o").subject_key == "Patient/elsewhere"
    known = directory_of([read_bundle(bundle(patient("elsewhere")))])
    assert reasons(prepared(observation(about="Patient/elsewhere"), directory=known)) == []


def test_the_patient_is_found_through_what_a_resource_speaks_of() -> None:
    provenance = {"resourceType": "Provenance", "id": "v", "target": [{"reference": "urn:uuid:o"}]}
    device = {"resourceType": "Device", "id": "d", "patient": {"reference": "urn:uuid:p"}}
    metric = {"resourceType": "DeviceMetric", "id": "m", "source": {"reference": "urn:uuid:d"}}
    bare = {"resourceType": "Observation", "id": "e", "encounter": {"reference": "urn:uuid:n"}}
    spare = {"resourceType": "Device", "id": "s"}
    found = prepared(metric, provenance, bare, spare, patient(), observation(), device, encounter("n"))
    assert {each.subject_key for each in found.documents} == {"Patient/p"}
    assert len(found.documents) == 7
    assert [each.source_id for each in found.directory_entries] == ["Device/s"]


def test_who_provided_the_encounter_is_given_the_resource() -> None:
    a, b = organization("a"), organization("b")
    met = {"encounter": {"reference": "urn:uuid:n"}, "performer": [{"reference": "urn:uuid:b"}]}
    claim = {
        "resourceType": "Claim",
        "id": "c",
        "patient": {"reference": "urn:uuid:p"},
        "item": [{"encounter": [{"reference": "urn:uuid:n"}]}],
    }
    found = prepared(
        a,
        b,
        patient(),
        encounter("n", "urn:uuid:a"),
        observation("of-encounter", **met),
        observation("own", performer=[{"reference": "urn:uuid:b"}]),
        observation("usual"),
        claim,
    )
    given = {each.source_id: each.organisation for each in found.documents}
    assert given == {
        "Patient/p": "Organization/a",
        "Encounter/n": "Organization/a",
        "Observation/of-encounter": "Organization/a",
        "Observation/own": "Organization/b",
        "Observation/usual": "Organization/a",
        "Claim/c": "Organization/a",
    }


def test_conditional_references_alone_are_rewritten() -> None:
    directory = directory_of([read_bundle(bundle(organization("a")))])
    asked = "Organization?identifier=https://example.org/ids|a"
    raw = (
        '{"resourceType":"Encounter","id":"n", "subject" : {"reference":"urn:uuid:p"},\n "length":{"value":1.00},'
        f'"serviceProvider":{{"reference" :  "{asked.replace("/", chr(92) + "/")}"}},'
        f'"text":{{"div":"\\"reference\\": \\"{asked}\\""}},"x":{{"note":"{asked}"}}}}'
    )
    found = prepared(patient(), raw, directory=directory)
    changed = document(found, "Encounter/n")
    head, tail = raw.split('"reference" :  "', 1)
    assert changed.raw.decode() == head + '"reference" :  "Organization/a"' + tail.split('"', 1)[1]
    assert (changed.organisation, changed.rewritten, found.rewritten) == ("Organization/a", True, 1)
    assert document(found, "Patient/p").raw == json.dumps(patient()).encode()


def test_a_conditional_reference_that_fits_none_or_several_stays_as_it_is() -> None:
    twin = {**organization("b"), "identifier": organization("a")["identifier"]}
    directory = directory_of([read_bundle(bundle(organization("a"), twin))])
    for query, reason in [("a", "fhir.ambiguous_reference"), ("zz", "fhir.dangling_reference")]:
        raw = json.dumps(encounter("n", f"Organization?identifier=https://example.org/ids%7C{query}"))
        found = prepared(patient(), raw, directory=directory)
        assert document(found, "Encounter/n").raw == raw.encode()
        assert reasons(found) == [("entry[1]", reason)]


def test_terms_name_labels_codes_categories_practitioners_and_dates() -> None:
    seen = observation(
        code=coded("http://loinc.org", "75626-2"),
        category=[coded("http://terminology.hl7.org/CodeSystem/observation-category", "survey")],
        effectiveDateTime="2019-05-03T10:00:00Z",
        performer=[{"reference": "urn:uuid:d"}],
    )
    found = prepared(patient(), seen, {"resourceType": "Practitioner", "id": "d"})
    assert document(found, "Observation/o").terms == (
        "category:http://terminology.hl7.org/CodeSystem/observation-category|survey",
        "code:http://loinc.org|75626-2",
        "confidentiality:R",
        "date:2019",
        "date:2019-05",
        "date:2019-05-03",
        "label:ETH",
        "label:SUD",
        "practitioner:Practitioner/d",
    )
    assert "date:undated" in document(found, "Patient/p").terms


def test_organisations_are_spread_evenly_and_always_alike() -> None:
    counts = {f"o{n}": n for n in range(1, 30)}
    members = ["a", "b", "c", "d"]
    mapping = assign(counts, members)
    assert assign(dict(reversed(counts.items())), members) == mapping
    load = Counter()
    for organisation, member in mapping.items():
        load[member] += counts[organisation]
    assert max(load.values()) - min(load.values()) <= 29
    together = assign({"x": 10, "y": 10, "z": 1}, ["a", "b"], [{"x": 10, "z": 1}, {"y": 10}])
    assert together["x"] != together["z"]


def _scattered(documents: list[Document], members: list[str]) -> list[set[str]]:
    by_patient: dict[str, Counter] = {}
    for each in documents:
        by_patient.setdefault(each.subject_key, Counter())[each.organisation] += 1
    counts = Counter(each.organisation for each in documents)
    mapping = assign(counts, members, by_patient.values())
    load = Counter()
    for organisation, size in counts.items():
        load[mapping[organisation]] += size
    assert max(load.values()) < 1.5 * min(load.values())
    return [{mapping[name] for name in records} for records in by_patient.values()]


def test_synthea_2020_is_taken_in_whole_byte_for_byte_and_scattered(synthea_2020: Path) -> None:
    documents, taken = [], 0
    for file, found in read_folder(synthea_2020):
        assert found.problems == ()
        assert found.rewritten == 0
        source = {entry.key: entry.raw for entry in read_bundle(read_file(file.path)).entries}
        assert {each.source_id: each.raw for each in (*found.documents, *found.directory_entries)} == source
        assert len({each.subject_key for each in found.documents}) == 1
        documents += found.documents
        taken += len(source)
    assert (taken, len(documents)) == (6410, 6334)
    assert all(len(members) >= 2 for members in _scattered(documents, ["a", "b", "c", "d"]))


def test_synthea_us_core_resolves_its_conditional_references_and_changes_nothing_else(synthea_uscore: Path) -> None:
    documents, listed = [], 0
    for file, found in read_folder(synthea_uscore):
        assert found.problems == ()
        source = {entry.key: entry for entry in read_bundle(read_file(file.path)).entries}
        for each in found.documents:
            entry = source[each.source_id]
            assert each.rewritten == any("?" in reference for reference in entry.facts.references)
            assert each.raw == entry.raw if not each.rewritten else _same_but_references(entry.raw, each.raw)
        documents += found.documents
        listed += len(found.directory_entries)
    assert (len(documents), listed, sum(each.rewritten for each in documents)) == (3178, 4764, 2046)
    assert sum("HIV" in each.labels for each in documents) > 300
    assert all(len(members) >= 2 for members in _scattered(documents, ["a", "b", "c", "d"]))


def _same_but_references(before: bytes, after: bytes) -> bool:
    old, new = json.loads(before), json.loads(after)

    def same(one: object, other: object, key: str = "") -> bool:
        if isinstance(one, dict) and isinstance(other, dict):
            return list(one) == list(other) and all(same(one[name], other[name], name) for name in one)
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(same, one, other))
        return one == other or (key == "reference" and "?" in str(one) and "?" not in str(other))

    return same(old, new)


def test_hl7s_examples_are_taken_in_byte_for_byte(examples: dict[str, bytes]) -> None:
    refused, kinds = {}, Counter()
    for name, data in sorted(examples.items()):
        found = prepare_file(name, data, EMPTY)
        kinds.update(problem.reason for problem in found.problems)
        fatal = [problem for problem in found.problems if problem.place == "file" or not problem.warning]
        if fatal and not found.documents and not found.directory_entries:
            refused[name] = fatal[0].reason
        assert all(each.raw in data for each in (*found.documents, *found.directory_entries))
    whole_files = {name: reason for name, reason in refused.items() if reason != "fhir.no_patient"}
    assert whole_files == {
        "Bundle-bundle-references.json": "fhir.same_id_twice",  # Has Patient/45 in two versions.
        "Bundle-bundle-request-medsallergies.json": "fhir.empty_bundle",  # GET requests only.
        "Bundle-bundle-request-simplesummary.json": "fhir.empty_bundle",
        **{name: reason for name, reason in whole_files.items() if reason == "fhir.several_patients"},
    }
    assert (kinds["fhir.no_patient"], kinds["fhir.several_patients"]) == (126, 4)


def test_workers_give_the_same_as_the_calling_process(synthea_2020: Path) -> None:
    seen = survey(synthea_2020)
    file = seen.files[0]
    data = read_file(file.path)
    with ProcessPoolExecutor(1) as workers:
        there = workers.submit(prepare_file, file.name, data, seen.directory).result()
    assert there == prepare_file(file.name, data, seen.directory)
