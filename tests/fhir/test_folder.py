"""A folder is read in the right order, past whatever is broken in it."""

import gzip
import json
import lzma
from pathlib import Path

import pytest

from salus.fhir.bundle import Limits
from salus.fhir.errors import DecompressionError, TooLargeError, UnreadableFileError
from salus.fhir.folder import files_of, read_file, read_folder, survey
from tests.fhir.build import bundle, encounter, observation, organization, patient

ASKED = "Organization?identifier=https://example.org/ids|a"


def test_a_missing_folder_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError):
        files_of(tmp_path / "none")
    with pytest.raises(UnreadableFileError):
        read_file(tmp_path / "none.json")
    with pytest.raises(UnreadableFileError):
        read_file(tmp_path)


def test_a_huge_file_is_refused_by_its_size_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(TooLargeError) as caught:
        read_file(path)
    assert caught.value.facts["size_bytes"] == 1 << 30


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_bomb_stops_early_and_a_cut_or_false_archive_is_named(tmp_path: Path, suffix: str, pack) -> None:
    limits = Limits(file_bytes_max=4 << 20)
    path = tmp_path / f"x.json{suffix}"
    path.write_bytes(pack(bytes(64 << 20)))
    with pytest.raises(TooLargeError):
        read_file(path, limits=limits)
    for broken in (pack(b"x" * 5000)[:-9], b"no archive"):
        path.write_bytes(broken)
        with pytest.raises(DecompressionError):
            read_file(path, limits=limits)


def test_an_import_goes_on_past_bad_files_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{")
    (tmp_path / "b.json").write_bytes(bundle(patient(), observation(), {"resourceType": "Condition", "id": "c"}))
    (tmp_path / "c.json.gz").write_bytes(b"no archive")
    (tmp_path / "d.json").mkdir()
    (tmp_path / "e.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("not ours")
    found = {file.name: prepared for file, prepared in read_folder(tmp_path)}
    assert sorted(found) == ["a.json", "b.json", "c.json.gz", "e.json"]
    fatal = [(p.file, p.place, p.reason) for each in found.values() for p in each.problems if not p.warning]
    assert sorted(fatal) == [
        ("a.json", "file", "fhir.not_json"),
        ("b.json", "entry[2]", "fhir.no_patient"),
        ("c.json.gz", "file", "fhir.bad_compression"),
        ("e.json", "file", "fhir.unreadable"),
    ]
    assert len(found["b.json"].documents) == 2


def test_what_others_refer_to_comes_first_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(bundle(patient(), encounter("n", ASKED)))
    (tmp_path / "z.json.xz").write_bytes(lzma.compress(bundle(organization("a"))))
    order = [file.name for file in survey(tmp_path).files]
    assert order == ["z.json.xz", "a.json"]
    (_, _), (_, prepared) = read_folder(tmp_path)
    assert prepared.problems == ()
    assert {each.organisation for each in prepared.documents} == {"Organization/a"}


def test_ndjson_files_know_each_other(tmp_path: Path) -> None:
    about = {"about": "Patient/p"}
    rows = {
        "Encounter.ndjson": [encounter("n", "Organization/a", **about), encounter("m", "Organization/a", **about)],
        "Observation.ndjson": [observation(str(n), encounter={"reference": "Encounter/n"}, **about) for n in range(3)],
        "Organization.ndjson": [organization("a"), organization("b")],
        "Patient.ndjson": [patient("p", birthDate="2000-01-01"), patient("q")],
    }
    for name, resources in rows.items():
        (tmp_path / name).write_text("".join(json.dumps(each) + "\n" for each in resources))
    found = {file.name: prepared for file, prepared in read_folder(tmp_path)}
    assert [each.organisation for each in found["Observation.ndjson"].documents] == ["Organization/a"] * 3
    doubts = {(p.place, p.reason) for each in found.values() for p in each.problems}
    assert doubts == {("line[1]", "fhir.no_organisation"), ("line[2]", "fhir.no_organisation")}  # The patients.
