"""A process's log: JSON lines on standard error, of fields that `fields.py` allows and events that are named here.

    {"event": "refused", "level": "warning", "time": "…", "part": "keeper", "code": "keeper.person", …}

An error is told by family and code; a fault of ours by its exception's type and the lines of source it came through,
never by its text. What libraries log keeps its logger, level and place in the source; its text is dropped, since nobody
knows what is in it. What repeats itself is told once in a while, with how often.
"""

import asyncio
import logging
import sys
import traceback
from collections import Counter
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from time import monotonic as now_s
from typing import Any, TextIO

import orjson

import salus
from salus.core.errors import SalusError
from salus.node.observing.fields import allowed, code_of, family_of

EVENTS = frozenset(
    {
        "begun",  # A process serves.
        "ended",  # It stops, as asked.
        "failed",  # It stops, because what it stands on has failed.
        "error",  # Something did not succeed, and is tried again or left.
        "refused",  # A door answered a request with an error.
        "fault",  # An exception of no family: a mistake in the program.
        "library",  # A library logged something.
        "ready",  # A check of readiness changed.
        "not_exported",  # Somebody says where traces are to go, and OpenTelemetry is not installed.
        "port_taken",  # The operator's port cannot be had: the process serves without it.
        "departed",  # Its member has left the network.
        "exited",  # A process ended and will be started again.
        "brought_up",  # A folder of first light has today's form now.
        "other",  # An event that is not named here, which is a mistake in the program.
    }
)
EVERY_S = 10.0  # How often the same thing is told.
REMEMBERED_MAX = 1_024
FRAMES_MAX = 8
_PACKAGE = Path(salus.__file__).resolve().parent.parent


class Logs:
    """One process's log."""

    def __init__(self, stream: TextIO, **always: str) -> None:
        import structlog  # Not before there is a log: commands that only look for one should not wait for it.

        self.errors: Counter[tuple[str, str]] = Counter()  # By family and code, told or not.
        self.fields_dropped = 0
        self._always = always
        self._told: dict[tuple[object, ...], tuple[float, int]] = {}  # When, and how often since.
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                self._allow,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.JSONRenderer(serializer=_json),
            ],
        )

    def say(self, event: str, level: str = "info", /, **fields: object) -> None:
        """Tell of an event. On a full disk the line is lost, and nothing else."""
        with suppress(OSError):
            getattr(self._log, level)(event if event in EVENTS else "other", said={**self._always, **fields})

    def say_sparingly(self, event: str, level: str, /, **fields: object) -> None:
        """As `say`, but the same at most once in a while: then `count` says how often it was."""
        now, key = now_s(), (event, *sorted(fields.items(), key=lambda field: field[0]))
        told_s, times = self._told.get(key, (-EVERY_S, 0))
        if now - told_s < EVERY_S:
            self._told[key] = (told_s, times + 1)
            return
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[key] = (now, 0)
        self.say(event, level, **fields, **({"count": times + 1} if times else {}))

    def say_error(self, error: BaseException, event: str = "error", /, **fields: object) -> None:
        """Tell of an error: family, code and those of its facts that have a field; of a fault, where it happened."""
        if isinstance(error, SalusError):
            facts, _ = allowed(error.facts)
            said = {"family": family_of(error), "code": code_of(error.code)}
            self.errors[said["family"], said["code"]] += 1
            self.say_sparingly(event, "error", **{**facts, **said, **fields})
        else:
            self.errors[family_of(error), "fault"] += 1
            shown = {"error": type(error).__name__, "place": place_of(error)}
            self.say_sparingly("fault", "critical", family=family_of(error), **shown, **fields)

    def _allow(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        kept, dropped = allowed(line["said"])
        self.fields_dropped += dropped
        return {"event": line["event"], "level": line["level"], **kept}


class _Routed(logging.Handler):
    """What libraries log, without its text."""

    def __init__(self, logs: Logs) -> None:
        super().__init__(logging.WARNING)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        place = f"{record.module}.py:{record.lineno}" if error is None else place_of(error)
        kind = {} if error is None else {"error": type(error).__name__}
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._logs.say_sparingly("library", level, logger=record.name, place=place, **kind)


_current: Logs | None = None


def begin(stream: TextIO | None = None, **always: str) -> Logs:
    """Let this process's log begin: `say` and `say_error` go there, and what libraries and the interpreter say."""
    global _current
    _current = logs = Logs(stream or sys.stderr, **always)
    root = logging.getLogger()
    root.handlers, root.level = [_Routed(logs)], logging.WARNING
    logging.raiseExceptions = False  # A handler that fails would print the record.
    logging.captureWarnings(True)
    sys.excepthook = lambda _kind, error, _trace: logs.say_error(error, "failed")
    sys.unraisablehook = lambda found: logs.say_error(found.exc_value or RuntimeError(), "error")
    return logs


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let what nobody waits for be told in the same way."""

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        say_error(context.get("exception") or RuntimeError())

    loop.set_exception_handler(handle)


def say(event: str, level: str = "info", /, **fields: object) -> None:
    """Tell of an event, if this process has a log."""
    if _current is not None:
        _current.say(event, level, **fields)


def say_sparingly(event: str, level: str, /, **fields: object) -> None:
    """See `Logs.say_sparingly`."""
    if _current is not None:
        _current.say_sparingly(event, level, **fields)


def say_error(error: BaseException, event: str = "error", /, **fields: object) -> None:
    """Tell of an error, if this process has a log."""
    if _current is not None:
        _current.say_error(error, event, **fields)


def place_of(error: BaseException) -> str:
    """The lines of source that an exception came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    return " ".join(f"{_file(frame.filename)}:{frame.lineno}" for frame in frames)


def _file(path: str) -> str:
    found = Path(path)
    return found.relative_to(_PACKAGE).as_posix() if found.is_relative_to(_PACKAGE) else found.name


def _json(said: object, **_: object) -> str:
    return orjson.dumps(said).decode()
