"""The demo: it fails when something did not hold, and its figures have the shape that was agreed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from salus.cli import sample
from salus.cli.demo import measuring
from salus.cli.demo.kept import Kept
from salus.cli.demo.measuring import percentiles, read_back, verify_all
from salus.cli.demo.play import play
from salus.cli.demo.telling import Teller
from salus.cli.home import Home, found_home
from salus.cli.identity import StaffName
from salus.cli.importing import import_folder
from salus.cli.output import Output, Screen
from salus.core.ids import MemberId
from salus.core.wire import replace
from tests.cli_demo.bundles import chart
from tests.cli_demo.conftest import Write

DATA = Path(os.environ.get("SALUS_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
KEYS = [
    "members",
    "patients",
    "resources_in",
    "records_sealed",
    "records_durable",
    "sealed_per_s",
    "unified_read_ms",
    "grant_to_read_ms",
    "revoke_to_refusal_ms",
    "ledger_bytes_per_record",
    "ledger_bytes_per_consent",
    "verify",
    "roundtrip",
]


class Heard:
    """Takes down what a command said."""

    def __init__(self) -> None:
        self.out, self.err = b"", b""

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        if is_error:
            self.err += data
        else:
            self.out += data


def quiet() -> Teller:
    return Teller(Output(Heard(), Screen(), as_json=False))


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "salus.cli.main", "demo", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


async def test_a_document_that_does_not_come_back_is_counted(home: Home, write: Write) -> None:
    kept = Kept()
    await import_folder(home, write(a=chart("p", ("mercy", ["o1"]), ("lakeside", ["o2"]))), on_imported=kept.take)
    altered = next(iter(kept.digests))
    kept.digests[altered] = bytes(32)
    back = await read_back(home, kept)
    assert (back.documents, back.byte_equal) == (5, 4)


async def test_a_receipt_that_does_not_hold_is_counted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.people.staff(StaffName("clinician", MemberId("mercy")))
    assert verify_all(home).failures == 0
    first, second, *rest = home.network.genesis.members
    genesis = replace(home.network.genesis, members=(replace(first, keys=second.keys), second, *rest))
    monkeypatch.setattr(measuring, "read_genesis", lambda _folder: genesis)
    found = verify_all(home)
    assert found.receipts_checked == found.failures > 0


async def test_the_story_holds_on_the_sample(home: Home) -> None:
    heard = Heard()
    played = await play(home, sample.FOLDER, Teller(Output(heard, Screen(), as_json=False)), rounds=1)
    text = heard.out.decode()
    assert played.broken == ()
    assert list(played.figures) == KEYS
    assert played.figures["roundtrip"] == {"documents": 334, "byte_equal": 334}
    assert "mercy (bad share)" in text
    assert "4.1 mmol/L" in text
    assert 25 <= text.count("\n") <= 45


@pytest.mark.parametrize(
    ("members", "visits"),
    [
        (1, [("mercy", ["o1"])]),
        (2, [("mercy", ["o1"])]),
        (2, [("alpha", ["o1"]), ("beta", ["o2"])]),
        (3, [("alpha", ["o1"]), ("beta", ["o2"])]),
        (4, [("mercy", ["o1"])]),
        (4, [("alpha", ["o1"]), ("beta", ["o2"])]),
        (7, [("alpha", ["o1"]), ("beta", ["o2"]), ("gamma", ["o3", "o4"])]),
    ],
)
async def test_the_story_holds_with_any_number_of_members_and_authors(
    members: int, visits: list[tuple[str, list[str]]], write: Write, tmp_path: Path
) -> None:
    found_home(tmp_path / "network", members)
    async with Home.open(tmp_path / "network") as home:
        played = await play(home, write(a=chart("p", *visits)), quiet(), rounds=1)
    assert played.broken == ()
    assert played.figures["members"] == members


def test_the_demo_fails_when_something_was_not_taken_in(write: Write) -> None:
    done = run("--data", str(write(a=chart("p", ("mercy", ["o1"])), b=b"{")), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["records_sealed"] == 3
    assert "1 promise did not hold" not in done.stdout


def test_the_demo_refuses_a_folder_that_is_a_network_already(tmp_path: Path, write: Write) -> None:
    found_home(tmp_path / "kept", 4)
    done = run("--home", str(tmp_path / "kept"), "--data", str(write(a=chart("p", ("mercy", ["o1"])))))
    assert done.returncode not in (0, 1)
    assert "Traceback" not in done.stderr


def test_percentiles_take_the_nearest_rank() -> None:
    assert percentiles([]) == {"p50": 0.0, "p95": 0.0}
    assert percentiles([float(number) for number in range(1, 21)]) == {"p50": 10.0, "p95": 19.0}


@pytest.mark.parametrize("name", ["synthea-r4-2020", "synthea-r4-uscore"])
async def test_the_story_holds_on_shared_data(home: Home, name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"shared data is absent: {name}")
    played = await play(home, DATA / name, quiet(), rounds=1)
    assert played.broken == ()
    assert played.figures["roundtrip"] == {
        "documents": played.figures["records_sealed"],
        "byte_equal": played.figures["records_sealed"],
    }
