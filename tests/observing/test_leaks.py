"""Nothing of a patient in any log, figure, trace, page, error or command line, after a day of traffic.

The same search finds a leak that is put in on purpose, or it would prove nothing.
"""

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from salus.cli.home import found_home
from salus.node.site import free_ports
from tests.observing.day import (
    REASON,
    Day,
    command_lines,
    files,
    found_in,
    kill,
    long_day,
    needles,
    pages,
    ports_of,
    short_day,
    words_of,
)
from tests.observing.rules import figures_named, names_in
from tests.support.apart import apart, needs_cometbft

LEAK = """
from salus.keeper.answers import Answers
from salus.node.observing import fields, logs

fields.FIELDS["reason"] = lambda value: True
before = Answers._logged

def leaking(self, opening, *rest):
    logs.say("error", "error", reason=opening.reason)
    return before(self, opening, *rest)

Answers._logged = leaking
"""


@needs_cometbft
def test_a_day_between_members_leaves_nothing_of_a_patient_anywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "network"
    found_home(folder, apart=True)
    with apart(folder) as process_id:
        public = words_of({**files(folder), **pages(ports_of(folder)), **command_lines(process_id)})
        day = Day(folder, capfd)
        long_day(day, tmp_path)
        kill(folder, "keeper-lakeside")
        day.do("read", "--as", "clinician@st-luke", "--patient", "1")
        said = {**pages(ports_of(folder)), **command_lines(process_id)}
        _one_read_is_one_trace(said)
        _every_figure_that_is_named_is_there(said)
    said |= {**files(folder), **{f"told {number}": told for number, told in enumerate(day.told)}}
    hidden = needles(folder)
    assert len(hidden) > 2_000
    assert {"keeper.break_glass", "keeper.quota", "keeper.person", "cli.unknown_patient"} <= day.codes, day.codes
    assert any('"event":"refused"' in data.decode() for name, data in said.items() if name.startswith("logs/keeper"))
    assert found_in(said, hidden, public) == set()


def test_a_leak_that_is_put_in_on_purpose_is_found(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leak").mkdir()
    (tmp_path / "leak" / "sitecustomize.py").write_text(LEAK)
    for leaks in (False, True):
        if leaks:
            monkeypatch.setattr(sys, "path", [str(tmp_path / "leak"), *sys.path])
        folder = tmp_path / f"network-{leaks}"
        found_home(folder)
        (port,) = free_ports(1)
        with apart(folder, "--operator", str(port)) as process_id:
            public = words_of({**files(folder), **pages([port]), **command_lines(process_id)})
            day = Day(folder, capfd)
            short_day(day)
            said = {**pages([port]), **command_lines(process_id)}
        said |= {**files(folder), **{f"told {number}": told for number, told in enumerate(day.told)}}
        wanted = {("logs/network.log", REASON.encode())} if leaks else set()
        found = found_in(said, needles(folder), public)
        assert {one for one in found if one[1] == REASON.encode()} == wanted
        assert bool(found) is leaks


@pytest.mark.parametrize(
    ("place", "data"),
    [
        ("7102/metrics", b'salus_refusals_total{code="Exampleton",member="mercy"} 1'),
        ("7102/traces", b'{"spans":[{"trace":"00","name":"read","subject":"Exampleton"}]}'),
        ("logs/keeper-mercy.log", b'{"event":"error","time":"2026","place":"Exampleton"}'),
        ("told 1", b"salus: no record of Exampleton (number: 3)"),
        ("17/cmdline", b"salus\0read\0Exampleton\0"),
    ],
)
def test_the_search_looks_everywhere(place: str, data: bytes) -> None:
    assert found_in({place: data}, {b"Exampleton"}, set()) == {(place, b"Exampleton")}


def test_the_search_takes_no_figure_for_a_code() -> None:
    said = {
        "7102/metrics": b'salus_height{member="mercy"} 271649006',
        "logs/a.log": b'{"time":"2026-11-25T07:11:18.271649Z","trace":"27164900600000000000000000000000"}',
    }
    assert found_in(said, {b"271649006", b"271649"}, set()) == set()


def _one_read_is_one_trace(said: dict[str, bytes]) -> None:
    """Each read has one trace, and it leads over the gateway, the ledger process, and keepers of several members."""
    spans = [span for name, data in said.items() if name.endswith("/traces") for span in json.loads(data)["spans"]]
    by_trace = defaultdict(list)
    for span in spans:
        by_trace[span["trace"]].append(span)
    reads = [span for span in spans if span["name"] == "read"]
    assert len(reads) > 10
    assert len({span["trace"] for span in reads}) == len(reads)
    whole = [trace for trace in by_trace.values() if len({span["member"] for span in trace}) > 2]
    assert any({"gateway", "ledger", "keeper"} <= {span["part"] for span in trace} for trace in whole)
    for trace in whole:
        ids = {span["span"] for span in trace}
        first = [span for span in trace if span["parent"] is None]
        assert [span["name"] for span in first] == ["read"]
        assert all(span["parent"] in ids for span in trace if span["parent"] is not None)


def _every_figure_that_is_named_is_there(said: dict[str, bytes]) -> None:
    shown = {name for page, data in said.items() if page.endswith("/metrics") for name in names_in(data.decode())}
    assert figures_named() - shown == set()


def test_pages_answer_fast_enough_to_be_scraped(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    found_home(folder)
    (port,) = free_ports(1)
    with apart(folder, "--operator", str(port)):
        pages([port])
        began_s = time.monotonic()
        pages([port])
        assert time.monotonic() - began_s < 5
