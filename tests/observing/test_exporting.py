"""One read between members is one trace at whoever collects traces, and tells nothing of the patient."""

import base64
import importlib
import importlib.util
import io
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from salus.cli import sample
from salus.cli.home import found_home
from salus.node.folder import usual_names
from salus.node.observing import logs
from salus.node.observing.exporting import ENDPOINT_VARIABLE, Exporting, exporter
from salus.node.observing.fields import is_allowed
from salus.node.observing.logs import Logs
from salus.node.observing.traces import NAMES, Tracer
from tests.observing.day import REASON, Day, forms, found_in, handles, needles, words_of
from tests.support.apart import apart, needs_cometbft
from tests.support.collector import Collector, collector

needs_opentelemetry = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None, reason="OPENTELEMETRY IS NOT INSTALLED: `make setup` does it"
)
MEMBERS = {str(name) for name in usual_names(4)}
ASK = "keeper.ask/1"
Span = dict[str, Any]
RANDOM = {"traceId", "spanId", "parentSpanId"}
TIMES = {"startTimeUnixNano", "endTimeUnixNano"}
SAID = {"name", "kind", "attributes", "status", "flags"}


def test_without_a_place_nothing_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT_VARIABLE, raising=False)
    assert exporter() is None


@needs_opentelemetry
def test_spans_are_exported_as_they_are_and_a_flush_lets_the_last_ones_go() -> None:
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    with collector() as at:
        never_ms = 3_600_000  # By itself.
        processor = export.BatchSpanProcessor(otlp.OTLPSpanExporter(f"{at.endpoint}/v1/traces"), None, never_ms)
        exporting = Exporting(processor)
        tracer = Tracer(export=exporting)
        with (
            tracer.noting("read", {"member": "mercy", "reason": "Jane Doe"}),
            tracer.noting("call", {"peer": "lakeside"}),
        ):
            pass
        assert at.bodies == []
        exporting.flush()
        call, read = at.spans
    assert (read["name"], attributes(read)) == ("salus.read", {"salus.member": "mercy", "salus.code": "ok"})
    assert (call["name"], attributes(call)) == ("salus.call", {"salus.peer": "lakeside", "salus.code": "ok"})
    assert call["parentSpanId"] == read["spanId"]
    assert "parentSpanId" not in read
    assert call["traceId"] == read["traceId"]


@needs_opentelemetry
def test_a_collector_that_takes_nothing_holds_nobody_up() -> None:
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    let_go = threading.Event()

    class Stuck(export.SpanExporter):  # type: ignore[misc, name-defined]
        def export(self, _: object) -> object:
            let_go.wait(60)
            return export.SpanExportResult.SUCCESS

    exporting = Exporting(export.BatchSpanProcessor(Stuck(), None, 3_600_000))
    with Tracer(export=exporting).noting("read", {}):
        pass
    exporting.flush(0.05)
    assert not let_go.is_set(), "It came back though nothing was taken."
    let_go.set()


@needs_opentelemetry
def test_where_traces_go_is_said_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as at:
        monkeypatch.setenv(ENDPOINT_VARIABLE, at.endpoint)
        exporting = exporter()
        assert exporting is not None
        with Tracer(export=exporting).noting("read", {"member": "mercy"}):
            pass
        exporting.flush()
        assert [span["name"] for span in at.spans] == ["salus.read"]


def test_a_place_without_opentelemetry_is_told_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(logs, "_current", Logs(said, part="keeper"))
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert exporter() is None
    assert json.loads(said.getvalue())["event"] == "not_exported"


@needs_cometbft
@needs_opentelemetry
def test_a_read_between_members_is_one_trace_and_tells_nothing_of_the_patient(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "network"
    found_home(folder, apart=True)
    with collector() as at:
        monkeypatch.setenv(ENDPOINT_VARIABLE, at.endpoint)
        with apart(folder):  # That every process stops in order sends the last spans.
            day = Day(folder, capfd)
            day.do("import", str(sample.FOLDER))
            before = len(read_traces(at))
            assert day.do("read", "--as", "clinician@mercy", "--patient", "1")[0] == 0
            day.do("break-glass", "--as", "emergency@lakeside", "--patient", "1", "--reason", REASON)
        assert before == 0, "To import is not to read."
        first, *_ = reads = read_traces(at)
        assert len(reads) == 2
        for read in reads:
            is_one_trace(read)
        assert {attributes(span)["salus.member"] for span in first if "salus.member" in attributes(span)} == MEMBERS
        says_nothing_of_the_patient(at, folder)


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes by name."""
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def read_traces(at: Collector) -> list[list[Span]]:
    """The traces of all reads, the first one first."""
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(at.spans, key=lambda span: int(span["startTimeUnixNano"])):
        traces[span["traceId"]].append(span)
    return [trace for trace in traces.values() if any(span["name"] == "salus.read" for span in trace)]


def is_one_trace(trace: list[Span]) -> None:
    """It begins at a gateway; each keeper that was asked answers as a step of the call that asked it."""
    by_id = {span["spanId"]: span for span in trace}
    assert len(by_id) == len(trace)
    (first,) = [span for span in trace if "parentSpanId" not in span]
    assert (first["name"], attributes(first)["salus.part"]) == ("salus.read", "gateway")
    assert all(span["parentSpanId"] in by_id for span in trace if span is not first)
    calls = {span["spanId"]: attributes(span) for span in trace if is_step(span, "salus.call", "gateway", ASK)}
    answers = {span["parentSpanId"]: attributes(span) for span in trace if is_step(span, "salus.answer", "keeper", ASK)}
    assert {call["salus.peer"] for call in calls.values()} == MEMBERS, "All seats are asked, its own too."
    assert answers.keys() == calls.keys()
    assert all(answer["salus.member"] == calls[asked]["salus.peer"] for asked, answer in answers.items())
    assert any(is_step(span, "salus.submit", "ledger") for span in trace), "The request went onto the ledger."


def is_step(span: Span, name: str, part: str, request: str | None = None) -> bool:
    """Whether a span is this kind of step, in this part of a member."""
    said = attributes(span)
    return (span["name"], said.get("salus.part"), said.get("salus.request")) == (name, part, request)


def says_nothing_of_the_patient(at: Collector, folder: Path) -> None:
    """Each thing a span says is on the list; no word, code, date, handle or id of anybody is among them."""
    for resource in at.resources:
        assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "salus"}}]
    for span in at.spans:
        assert set(span) <= RANDOM | TIMES | SAID
        assert span["name"].removeprefix("salus.") in NAMES
        assert set(span["status"]) <= {"code"}
        assert all(is_allowed(key.removeprefix("salus."), value) for key, value in attributes(span).items())
    hidden, said = needles(folder), {"exported": "\n".join(sorted(texts(at))).encode()}
    assert len(hidden) > 1_000
    assert found_in(said, hidden, words_of({})) == set()
    assert found_in({"exported": said["exported"] + REASON.encode()}, hidden, words_of({})) != set(), (
        "It would be found."
    )
    drawn = {base64.b64decode(span[key]) for span in at.spans for key in RANDOM & set(span)}
    for secret in handles(folder):
        assert not any(form in body for form in forms(secret) for body in at.bodies)
        assert secret not in drawn


def texts(at: Collector) -> Iterator[str]:
    """Every text that came, but for what was drawn at random and for times."""
    for span in at.spans:
        yield from strings({key: value for key, value in span.items() if key not in RANDOM | TIMES})


def strings(value: object) -> Iterator[str]:
    """Every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
