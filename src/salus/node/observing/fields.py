"""What a line of a log, a span of a trace, or a label of a figure may say: these fields, each in one shape.

Whatever has another name, or another shape, is left out and counted. Numbers count, measure or point into a chain;
words come from the code itself (codes of errors, tags of messages, places in the source) or are members' public names.
No text that a person typed, and no id of a person, subject, request or record, has a field here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from salus.core.errors import IntegrityError, MalformedError, RefusalError, SalusError, UnavailableError
from salus.core.wire import Record

PARTS = ("ledger", "keeper", "gateway", "network", "supervisor")
OTHER = "other"
OK = "ok"
FAULT = "fault"
NUMBER_MAX = 1 << 53
FAMILIES: Mapping[type[SalusError], str] = {
    RefusalError: "refused",
    MalformedError: "malformed",
    UnavailableError: "unavailable",
    IntegrityError: "integrity",
}
_OUTCOMES = (OK, OTHER, FAULT, "cancelled")

Check = Callable[[object], bool]


def family_of(error: BaseException) -> str:
    """The word for an error's family; `fault` where it is in none."""
    return next((word for kind, word in FAMILIES.items() if isinstance(error, kind)), FAULT)


def code_of(said: str) -> str:
    """A code, if an error of this program bears it: a peer may say anything."""
    return said if _is_known(said, _codes, _every_code) else OTHER


def tag_of_request(said: str) -> str:
    """A message's tag, if there is such a message."""
    return said if _is_known(said, _tags, _every_tag) else OTHER


def allowed(fields: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Those that may be said, and how many may not."""
    kept = {name: value for name, value in fields.items() if is_allowed(name, value)}
    return kept, len(fields) - len(kept)


def is_allowed(name: str, value: object) -> bool:
    """Whether a field of this name may have this value."""
    check = FIELDS.get(name)
    return check is not None and check(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < NUMBER_MAX


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _text(pattern: str, length_max: int) -> Check:
    shape = re.compile(pattern)
    return lambda value: isinstance(value, str) and len(value) <= length_max and bool(shape.fullmatch(value))


def _one_of(*words: str) -> Check:
    return lambda value: value in words


def _code(value: object) -> bool:
    return isinstance(value, str) and (value in _OUTCOMES or code_of(value) == value)


def _request(value: object) -> bool:
    return isinstance(value, str) and (value == OTHER or tag_of_request(value) == value)


_MEMBER = _text(r"[a-z0-9][a-z0-9-]*", 32)
FIELDS: Mapping[str, Check] = {
    # Who and what.
    "member": _MEMBER,
    "peer": _MEMBER,
    "part": _one_of(*PARTS),
    "check": _text(r"[a-z_]+", 32),
    "request": _request,
    "code": _code,
    "family": _one_of(*FAMILIES.values(), FAULT),
    "version": _text(r"[0-9]+\.[0-9]+\.[0-9]+", 24),
    # Of a fault: the exception's type, and lines of source from the outermost to the innermost. Never its text.
    "error": _text(r"[A-Za-z_][A-Za-z0-9_]*", 64),
    "place": _text(r"[A-Za-z0-9_/.<>: ]+", 512),
    "logger": _text(r"[A-Za-z_][A-Za-z0-9_.]*", 64),
    # Of a trace: ids drawn at random for it alone.
    "trace": _text(r"[0-9a-f]{32}", 32),
    "span": _text(r"[0-9a-f]{16}", 16),
    "parent": _text(r"[0-9a-f]{16}", 16),
    # Where something stands, and how much of it.
    "height": _number,
    "asked": _number,
    "committee_seats": _number,
    "seat": _number,
    "answered": _number,
    "needed": _number,
    "members_up": _number,
    "count": _number,
    "seconds": _number,
    "wait_ms": _number,
    "size_bytes": _number,
    "size_bytes_max": _number,
    "errno": _number,
    "exit_code": _number,
    "restarts": _number,
    "port": _number,
    "process_id": _number,
    "log_roots": _number,
    "batches_made_durable": _number,
    "batches_dealt_again": _number,
    "ready": _flag,
    "catching_up": _flag,
}

_codes: set[str] = set()
_tags: set[str] = set()


def _is_known(said: str, known: set[str], every: Callable[[], Iterator[str]]) -> bool:
    if said not in known:
        known.update(every())  # What was loaded meanwhile has codes too.
    return said in known


def _every_code() -> Iterator[str]:
    return (kind.code for kind in _subclasses(SalusError))


def _every_tag() -> Iterator[str]:
    return (str(kind.__struct_config__.tag) for kind in _subclasses(Record) if kind.__struct_config__.tag)


def _subclasses(root: type[Any]) -> Iterator[type[Any]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _subclasses(kind)
