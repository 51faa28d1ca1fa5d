"""An import: what it refuses and goes on after, where documents go, and that doing it again changes nothing."""

import asyncio
from pathlib import Path

import pytest

from salus.cli.actions.reads import read
from salus.cli.demo.kept import Kept
from salus.cli.demo.measuring import read_back
from salus.cli.home import Home
from salus.cli.identity import StaffName
from salus.cli.importing import Imported, Progress, import_folder
from salus.cli.importing.places import FILE, Places, PlacesError
from salus.contracts.cells.messages import Create
from salus.core.ids import MIB_BYTES, MemberId
from salus.fhir.errors import UnreadableFileError
from salus.keeper.store import DiskError
from tests.cli_demo.bundles import bundle, chart, observation
from tests.cli_demo.conftest import Write

NAMES = [MemberId(name) for name in ("mercy", "st-luke", "lakeside", "northgate")]


async def test_an_import_refuses_a_folder_that_is_not_there(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError):
        await import_folder(home, tmp_path / "absent")


async def test_an_import_refuses_a_folder_without_fhir(home: Home, write: Write) -> None:
    with pytest.raises(UnreadableFileError):
        await import_folder(home, write())


@pytest.mark.parametrize("data", [b"[1, 2", b'{"resourceType": ["Org"]}', b'{"Organization/1": "stranger"}'])
def test_a_damaged_table_of_organisations_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(PlacesError):
        Places(tmp_path, NAMES)


async def test_an_import_goes_on_past_a_bad_file_and_names_it(home: Home, write: Write) -> None:
    good = chart("p", ("mercy", ["o1"]), ("lakeside", ["o2"]))
    report = await import_folder(home, write(a_bad=b"{", b_empty=b"", c_good=good))
    assert [(one.file, one.reason) for one in report.problems] == [
        ("a_bad.json", "fhir.not_json"),
        ("b_empty.json", "fhir.empty_bundle"),
    ]
    assert report.records_sealed == report.records_durable == 5
    assert not report.is_whole


async def test_a_resource_without_a_patient_is_left_out_and_named(home: Home, write: Write) -> None:
    stray = '{"resourceType": "Observation", "id": "stray", "status": "final", "code": {"text": "x"}}'
    data = chart("p", ("mercy", ["o1"])).replace(b'"entry": [', b'"entry": [{"resource": ' + stray.encode() + b"}, ")
    report = await import_folder(home, write(one=data))
    assert [(one.place, one.reason) for one in report.problems] == [("entry[0]", "fhir.no_patient")]
    assert (report.resources_in, report.records_sealed, report.directory_entries) == (5, 3, 1)


async def test_documents_go_to_the_member_that_provided_the_encounter(home: Home, write: Write) -> None:
    seen: list[Imported] = []
    path = write(one=chart("p", ("mercy", ["o1", "o2", "o3"]), ("lakeside", ["o4"])))
    report = await import_folder(home, path, on_imported=seen.append)
    at = {one.document.source: one.member for one in seen}
    assert {at[f"Observation/o{number}"] for number in (1, 2, 3)} == {"mercy"}
    assert at["Observation/o4"] == "lakeside"
    assert report.by_member == {"mercy": 5, "lakeside": 2}
    (patient,) = home.people.patients()
    assert (patient.custodian, set(patient.writers)) == ("mercy", {"mercy", "lakeside"})


class Full:
    """A disk that is full once, at one step."""

    def __init__(self, point: str) -> None:
        self._point = point

    def hit(self, point: str) -> None:
        """See `Faults.hit`."""
        if point == self._point:
            self._point = ""
            raise DiskError(reason="full")


async def test_an_import_that_linked_one_member_and_not_the_other_goes_on_when_it_is_repeated(
    home: Home, write: Write
) -> None:
    path = write(one=chart("p", ("mercy", ["o1"]), ("lakeside", ["o2"])))
    home.member("lakeside").store.faults = Full("author.links:before")
    with pytest.raises(DiskError):
        await import_folder(home, path)
    report = await import_folder(home, path)
    assert (report.problems, report.by_member) == ([], {"mercy": 3, "lakeside": 2})
    assert len(list(home.people.patients())) == 1


async def test_other_organisations_are_spread_and_stay_where_they_are(home: Home, write: Write) -> None:
    first = write("one", a=chart("p", ("alpha", ["o1"]), ("beta", ["o2"])))
    report = await import_folder(home, first)
    assert len(report.by_member) == 2
    places = Places(home.folder, NAMES)
    before = {name: places.of(f"Organization/{name}") for name in ("alpha", "beta")}
    await import_folder(home, write("two", b=chart("q", ("gamma", ["o3", "o4", "o5"]), ("alpha", ["o6"]))))
    places = Places(home.folder, NAMES)
    assert {name: places.of(f"Organization/{name}") for name in before} == before
    assert places.of("Organization/gamma") not in (None, before["alpha"])


async def test_an_import_can_be_repeated_without_doubles(home: Home, write: Write) -> None:
    path = write(one=chart("p", ("mercy", ["o1"]), ("lakeside", ["o2"])))
    first = await import_folder(home, path)
    entries = home.network["mercy"].directory.count()
    again = await import_folder(home, path)
    assert (first.records_sealed, again.records_sealed, again.repeated) == (5, 0, 5)
    assert (first.new_patients, again.new_patients, again.patients) == (1, 0, 1)
    assert home.network["mercy"].directory.count() == entries
    record = await read(home, StaffName("clinician", MemberId("mercy")), home.patient(1))
    assert len(record.rows) == 3


async def test_what_is_planned_and_not_final_is_not_said_to_be_here(home: Home, write: Write) -> None:
    await import_folder(home, write("one", a=chart("p", ("mercy", ["o1"]))))
    path = write("two", b=chart("p", ("mercy", ["o1", "o2"])))
    away = {MemberId("lakeside"), MemberId("northgate")}
    home.simulated.switchboard.off_line |= away
    reports = [await import_folder(home, path) for _ in range(2)]
    assert [report.is_whole for report in reports] == [False, False]
    assert {one.reason for report in reports for one in report.problems} == {"sdk.too_few_seats", "engine.not_final"}
    assert [report.repeated for report in reports] == [3, 3]
    home.simulated.switchboard.off_line -= away
    again = await import_folder(home, path)
    assert (again.is_whole, again.repeated) == (True, 4)
    record = await read(home, StaffName("clinician", MemberId("mercy")), home.patient(1), types=["Observation"])
    assert len(record.rows) == 2


async def test_a_changed_document_supersedes_the_older_version(home: Home, write: Write) -> None:
    data = chart("p", ("mercy", ["o1"]))
    await import_folder(home, write("one", a=data))
    report = await import_folder(home, write("two", a=data.replace(b"1.00", b"2.50")))
    assert (report.records_sealed, report.changed, report.repeated) == (1, 1, 2)
    record = await read(home, StaffName("clinician", MemberId("mercy")), home.patient(1), types=["Observation"])
    assert [b'"value": 2.50' in row.opened.data for row in record.rows] == [True]


async def test_two_versions_in_one_import_end_with_the_later_one(home: Home, write: Write) -> None:
    data = chart("p", ("mercy", ["o1"]))
    report = await import_folder(home, write(a=data, b=data.replace(b"1.00", b"2.50")))
    assert (report.records_sealed, report.changed, report.repeated) == (4, 1, 2)
    record = await read(home, StaffName("clinician", MemberId("mercy")), home.patient(1), types=["Observation"])
    assert [b'"value": 2.50' in row.opened.data for row in record.rows] == [True]


async def test_a_further_hospital_becomes_a_writer_with_a_second_writers_word(home: Home, write: Write) -> None:
    await import_folder(home, write("one", a=chart("p", ("mercy", ["o1"]), ("lakeside", ["o2"]))))
    report = await import_folder(home, write("two", b=chart("p", ("northgate", ["o3"]))))
    assert report.is_whole
    assert report.by_member["northgate"] == 2
    assert set(home.patient(1).writers) == {"mercy", "lakeside", "northgate"}


async def test_a_custodian_without_a_second_writer_cannot_add_one_at_once(home: Home, write: Write) -> None:
    await import_folder(home, write("one", a=chart("p", ("mercy", ["o1"]))))
    report = await import_folder(home, write("two", b=chart("p", ("northgate", ["o3"]))))
    assert {one.reason for one in report.problems} == {"transport.refused"}
    assert report.refused == 2


async def test_new_patients_of_several_custodians_share_the_blocks_they_wait_for(home: Home, write: Write) -> None:
    began = home.network.ledger.height
    report = await import_folder(
        home, write(**{f"of_{name}": chart(f"p-{name}", (name, [f"o-{name}"])) for name in NAMES})
    )
    assert report.is_whole
    assert {patient.custodian for patient in home.people.patients()} == set(NAMES)
    heights = range(began + 1, home.network.ledger.height + 1)
    accepted = (home.network.ledger.accepted(height) for height in heights)
    opening = [sum(isinstance(message, Create) for _, message in messages) for messages in accepted]
    assert sum(opening) == len(NAMES)
    assert sum(count > 0 for count in opening) <= 2


async def test_witnesses_are_writers_of_patients_with_one_author(home: Home, write: Write) -> None:
    await import_folder(home, write(a=chart("p", ("st-luke", ["o1"]))), witnesses=1)
    assert home.patient(1).writers == ("st-luke", "mercy")


async def test_what_has_no_id_is_told_apart_by_its_file(home: Home, write: Write) -> None:
    nameless = bundle('{"resourceType": "Patient"}')
    report = await import_folder(home, write(a=nameless, b=nameless))
    assert (report.patients, report.records_sealed) == (2, 2)


async def test_a_document_of_more_than_one_chunk_comes_back_whole(home: Home, write: Write) -> None:
    large = observation("large", "p", "visit-p-mercy").replace('"text": "x"', f'"text": "{"x" * (65 * MIB_BYTES)}"')
    data = chart("p", ("mercy", [])).replace(b'"entry": [', b'"entry": [{"resource": ' + large.encode() + b"}, ")
    kept = Kept()
    report = await import_folder(home, write(a=data), on_imported=kept.take)
    assert report.records_sealed == 3
    back = await read_back(home, kept)
    assert (back.documents, back.byte_equal) == (3, 3)


async def test_progress_is_told_and_ends_with_everything(home: Home, write: Write) -> None:
    told: list[Progress] = []
    files = {f"f{number}": chart(f"p{number}", ("mercy", [f"o{number}"])) for number in range(5)}
    report = await import_folder(home, write(**files), on_progress=told.append)
    assert [one.files_done for one in told] == [1, 2, 3, 4, 5, 5]
    assert (told[-1].documents, told[-1].records_sealed) == (15, report.records_sealed)


async def test_an_import_that_is_stopped_leaves_whole_batches_and_can_go_on(home: Home, write: Write) -> None:
    files = {f"f{number}": chart(f"p{number}", ("mercy", [f"o{number}"])) for number in range(40)}
    path = write(**files)

    def stop(progress: Progress) -> None:
        if progress.files_done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await import_folder(home, path, on_progress=stop)
    report = await import_folder(home, path)
    assert report.records_sealed + report.repeated == 120
    assert report.is_whole


async def test_an_import_with_too_few_keepers_up_says_so_and_finishes_later(home: Home, write: Write) -> None:
    path = write(a=chart("p", ("mercy", ["o1"])))
    await import_folder(home, path)
    changed = write("later", a=chart("p", ("mercy", ["o1", "o2"])))
    for name in ("lakeside", "northgate"):
        home.network.switchboard.off_line.add(MemberId(name))
    report = await import_folder(home, changed)
    assert {one.reason for one in report.problems} == {"sdk.too_few_seats"}
    home.network.switchboard.off_line.clear()
    await asyncio.sleep(0)
    again = await import_folder(home, changed)
    assert (again.is_whole, again.records_sealed, again.repeated) == (True, 0, 4)
    record = await read(home, StaffName("clinician", MemberId("mercy")), home.patient(1))
    assert len(record.rows) == 4
