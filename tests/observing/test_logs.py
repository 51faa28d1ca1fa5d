"""The log: fields that are allowed, in JSON lines; never a text of somebody else's making."""

import asyncio
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from salus.cli.errors import WordError
from salus.core.errors import IntegrityError
from salus.keeper.errors import BreakGlassError, StaleError
from salus.node.observing import logs
from salus.node.observing.logs import Logs

SECRET = "Ashdown-Exampleton 1956-02-03"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def begun(stream: io.StringIO) -> Iterator[Logs]:
    """A log of the process, undone afterwards."""
    root = logging.getLogger()
    kept = (root.handlers, root.level, logging.raiseExceptions, sys.excepthook, sys.unraisablehook)
    with warnings.catch_warnings():
        yield logs.begin(stream, part="keeper", member="mercy")
    root.handlers, root.level, logging.raiseExceptions, sys.excepthook, sys.unraisablehook = kept
    logging.captureWarnings(False)
    logs._current = None


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_field_that_is_not_allowed_is_dropped_and_counted(stream: io.StringIO) -> None:
    log = Logs(stream, part="keeper", member="mercy")
    log.say("begun", port=7102, reason=SECRET, subject="00ff", event=SECRET)
    (said,) = lines(stream)
    assert {name: said[name] for name in said if name != "time"} == {
        "event": "begun",
        "level": "info",
        "part": "keeper",
        "member": "mercy",
        "port": 7102,
    }
    assert log.fields_dropped == 3


def test_what_cannot_be_written_is_lost_and_fails_nobody() -> None:
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    log = Logs(full, part="keeper")
    log.say_error(StaleError())
    log.say("begun")
    with pytest.raises(OSError, match="No space left"):
        full.close()
    assert log.errors == {("unavailable", StaleError.code): 1}


def test_an_event_that_is_not_named_is_told_as_other(stream: io.StringIO) -> None:
    Logs(stream).say(f"read the record of {SECRET}")
    assert lines(stream)[0]["event"] == "other"
    assert SECRET not in stream.getvalue()


def test_an_error_is_told_by_family_code_and_facts_that_have_a_field(stream: io.StringIO) -> None:
    log = Logs(stream, part="keeper")
    log.say_error(StaleError(height=7, asked=9))
    log.say_error(WordError(what="date", given=SECRET))
    first, second = lines(stream)
    assert (first["family"], first["code"], first["height"], first["asked"]) == ("unavailable", "keeper.stale", 7, 9)
    assert second["code"] == "cli.word"
    assert "given" not in second
    assert SECRET not in stream.getvalue()
    assert log.errors == {("unavailable", "keeper.stale"): 1, ("malformed", "cli.word"): 1}


def test_a_fault_is_told_by_type_and_place_never_by_its_text(stream: io.StringIO) -> None:
    log = Logs(stream)
    try:
        int(SECRET)
    except ValueError as error:
        log.say_error(error)
    (said,) = lines(stream)
    assert (said["event"], said["error"], said["family"]) == ("fault", "ValueError", "fault")
    assert said["place"].startswith("test_logs.py:")
    assert SECRET not in stream.getvalue()


def test_what_repeats_itself_is_told_once_and_counted(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(logs, "now_s", lambda: now)
    log = Logs(stream)
    for _ in range(50):
        log.say_error(BreakGlassError(minutes_max=60))
    assert len(lines(stream)) == 1
    now += 11
    log.say_error(BreakGlassError(minutes_max=60))
    assert [line.get("count") for line in lines(stream)] == [None, 50]
    assert log.errors["refused", "keeper.break_glass"] == 51


def test_what_was_told_is_remembered_within_bounds(stream: io.StringIO) -> None:
    log = Logs(stream)
    for height in range(2 * logs.REMEMBERED_MAX):
        log.say_sparingly("error", "error", height=height)
    assert len(log._told) <= logs.REMEMBERED_MAX


def test_libraries_keep_their_logger_and_place_and_lose_their_text(begun: Logs, stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("the patient %s", SECRET)
    try:
        raise KeyError(SECRET)
    except KeyError:
        logging.getLogger("some.library").exception(SECRET)
    logging.getLogger("some.library").info("not even told: %s", SECRET)
    logging.getLogger(SECRET).error("a logger named after a person")
    said = lines(stream)
    assert [(line["event"], line["level"], line.get("logger")) for line in said] == [
        ("library", "warning", "some.library"),
        ("library", "error", "some.library"),
        ("library", "error", None),
    ]
    assert said[1]["error"] == "KeyError"
    assert all("test_logs.py:" in line["place"] for line in said)
    assert SECRET not in stream.getvalue()
    assert begun.fields_dropped == 1


def test_an_exception_that_nobody_catches_is_told_in_the_same_way(begun: Logs, stream: io.StringIO) -> None:
    sys.excepthook(ValueError, ValueError(SECRET), None)
    assert lines(stream)[0]["error"] == "ValueError"
    assert SECRET not in stream.getvalue()


async def test_what_a_task_raises_is_told_in_the_same_way(begun: Logs, stream: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    logs.watch_loop(loop)
    loop.call_exception_handler({"message": SECRET, "exception": IntegrityError(member="mercy")})
    loop.call_exception_handler({"message": SECRET})
    assert [line["event"] for line in lines(stream)] == ["error", "fault"]
    assert SECRET not in stream.getvalue()


def test_without_a_log_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs._current is None
    logs.say("begun")
    logs.say_error(StaleError())
    assert tuple(capsys.readouterr()) == ("", "")
