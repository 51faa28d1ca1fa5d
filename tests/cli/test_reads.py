"""What a reader is told beside the documents: who is away, who lied, what is known and cannot be read."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from salus.cli.actions.bundle import bundle_of
from salus.cli.actions.patients import new_patient
from salus.cli.actions.reads import Record, is_meant, log, read
from salus.cli.actions.summary import summary_of
from salus.cli.commands.records import _show_record
from salus.cli.home import Home, found_home
from salus.cli.identity import who
from salus.cli.output import Output, Screen
from salus.contracts.records.header import RecordId
from salus.core.ids import MemberId
from salus.node.settings import Settings
from salus.sdk.author import NewDocument
from salus.sdk.views import Accusation, Gap

RECORD = RecordId(MemberId("mercy"), bytes(range(16)), 17)


class Heard:
    """Keeps what was printed."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        if is_error:
            self.err += data
        else:
            self.out += data


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    found_home(tmp_path / "network")
    async with Home.open(tmp_path / "network", Settings(tend_every_s=None)) as home:
        yield home


def shown(record: Record) -> Heard:
    """A record as it is printed."""
    heard = Heard()
    _show_record(Output(heard, Screen(), as_json=False), record, as_bundle=False, document=None)
    return heard


def test_gaps_lies_and_absence_are_all_said() -> None:
    record = Record(
        rows=(),
        gaps=(Gap(RECORD, "blob_missing"), Gap(RECORD, "too_few_shares")),
        accusations=(
            Accusation(MemberId("northgate"), "bad_share", RECORD),
            Accusation(MemberId("northgate"), "bad_share", RECORD),
            Accusation(MemberId("lakeside"), "something_new"),
        ),
        absent=(MemberId("st-luke"),),
        height=3,
        is_stale=True,
    )
    heard = shown(record)
    notes = heard.err.decode()
    assert "Caught: northgate gave a bad share of a record (2)." in notes
    assert "Caught: lakeside something_new (1)." in notes
    assert "No answer from the keepers of st-luke" in notes
    assert "Stale:" in notes
    assert "2 records" in notes
    table = heard.out.decode()
    assert "no vault gave its ciphertext" in table
    assert "mercy/00010203/17" in table
    assert "0 documents of 0 hospitals, 2 gaps." in table


def test_an_empty_record_is_still_a_bundle() -> None:
    empty = Record((), (), (), (), 0, is_stale=False)
    assert json.loads(bundle_of(empty)) == {"resourceType": "Bundle", "type": "collection", "entry": []}


@pytest.mark.parametrize(
    ("typed", "means_it"),
    [
        ("mercy/00010203/17", True),
        ("mercy/0001", True),
        (f"mercy/{RECORD.batch_id.hex()}/17", True),
        ("mercy/00010203/1", False),
        ("mercy/0002", False),
        ("mercy/", False),
        ("mercy", False),
        ("st-luke/00010203/17", False),
    ],
)
def test_an_id_means_one_record(typed: str, means_it: bool) -> None:
    assert is_meant(RECORD, typed) is means_it


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"3", b"[" * 2_000])
def test_a_document_that_cannot_be_read_has_an_empty_line(data: bytes) -> None:
    assert summary_of(data).what == ""


@pytest.mark.parametrize(
    ("data", "date", "what"),
    [
        (
            b'{"resourceType":"Observation","effectiveDateTime":"2020-01-02T03:04:05Z","code":{"text":"Potassium"},'
            b'"valueQuantity":{"value":4.10,"unit":"mmol/L"}}',
            "2020-01-02",
            "Potassium: 4.10 mmol/L",
        ),
        (
            b'{"resourceType":"Encounter","period":{"start":"2019-05-03"},"type":[{"coding":[{"display":"Visit"}]}]}',
            "2019-05-03",
            "Visit",
        ),
        (b'{"resourceType":"Patient","name":[{"given":["Ada"],"family":"Hale"}]}', "", "Ada Hale"),
        (b'{"resourceType":"Patient","name":"Ada"}', "", ""),
        (b'{"resourceType":"Basic","code":[[["deep"]]],"text":"a\\nb"}', "", "deep"),
    ],
)
def test_a_document_is_told_in_one_line(data: bytes, date: str, what: str) -> None:
    summary = summary_of(data)
    assert (summary.date, summary.what) == (date, what)


async def test_a_member_that_is_down_is_named_and_the_record_is_whole(home: Home) -> None:
    patient = await new_patient(home, ["mercy", "st-luke"])
    subject = patient.wallet.subject
    documents = [NewDocument(subject, b"{}", "Observation", (), (), 0, f"Observation/{i}") for i in range(5)]
    await home.member("mercy").author.seal(documents)
    await home.network.take_down("northgate")
    record = await read(home, who("patient:1"), patient, via="st-luke")
    assert (len(record.rows), record.gaps, record.absent) == (5, (), ("northgate",))
    told = await log(home, patient)
    assert ("northgate", "absent") in [(fault.where, fault.what) for fault in told.faults]
    assert await read(home, who("patient:1"), patient, via="mercy")
