"""Bytes of a file become entries, each with the exact bytes of its resource, or one precise refusal.

A file may be a Bundle of any type, a single resource, or NDJSON (one resource a line). A file with a fault is refused
whole, so that an import is never half a file. `strict.py` says how the bytes are read; `document.py` goes on from here.
"""

import re

import msgspec

from salus.core.ids import MIB_BYTES
from salus.fhir.errors import (
    ByteOrderMarkError,
    EmptyBundleError,
    NotFhirError,
    NotUtf8Error,
    SameIdTwiceError,
    TooDeepError,
    TooLargeError,
    UnknownTypeError,
)
from salus.fhir.facts import Facts, facts_of
from salus.fhir.strict import DEPTH_MAX, parse
from salus.fhir.tables import RESOURCE_TYPES

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ID_CHARS_MAX = 64
_NDJSON = re.compile(rb"\s*\{[^\n]*\}[ \t\r]*\n\s*\{")
_SPACE = b" \t\r\n"


class Limits(msgspec.Struct, frozen=True):
    """How much an import takes at once."""

    file_bytes_max: int = 512 * MIB_BYTES
    resource_bytes_max: int = 256 * MIB_BYTES


DEFAULT_LIMITS = Limits()


class Entry(msgspec.Struct, frozen=True):
    """One resource of a file."""

    place: str
    raw: bytes  # As submitted, byte for byte.
    resource_type: str
    id: str | None
    full_url: str | None
    facts: Facts
    key: str  # How it is called within the import: `Type/id`, else its `fullUrl`, else its place.


class Bundle(msgspec.Struct, frozen=True):
    """All resources of a file, and the places that held none."""

    entries: tuple[Entry, ...]
    without_resource: tuple[str, ...] = ()


class _ShellEntry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()  # Empty where there is none.
    fullUrl: str | None = None


class _Shell(msgspec.Struct):
    resourceType: str
    entry: list[_ShellEntry] | None = None


_shells = msgspec.json.Decoder(_Shell)


def read_bundle(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Read a whole file.

    Raises:
        TooLargeError: the file, or a resource in it, is above its limit.
        ByteOrderMarkError: it starts with a byte-order mark.
        NotUtf8Error: it is not UTF-8.
        NotJsonError, TooDeepError, BadTextError, DuplicateKeyError, NotFhirError, UnknownTypeError, BadDateError: at
            the first entry with that fault.
        EmptyBundleError: it holds no resource.
        SameIdTwiceError: two resources have one `fullUrl`, or one type and id.
    """
    if len(data) > limits.file_bytes_max:
        raise TooLargeError(place="file", size_bytes=len(data), size_bytes_max=limits.file_bytes_max)
    if data.startswith(_BYTE_ORDER_MARKS):
        raise ByteOrderMarkError(place="byte 0")
    _require_utf8(data)
    if not data or data.isspace():
        raise EmptyBundleError(place="file")
    bundle = _read_lines(data, limits) if _NDJSON.match(data) else _read_document(data, limits)
    if not bundle.entries:
        raise EmptyBundleError(place="file")
    _require_distinct(bundle.entries)
    return bundle


def _require_utf8(data: bytes) -> None:
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8Error(place=f"byte {error.start}") from None


def _read_lines(data: bytes, limits: Limits) -> Bundle:
    lines = ((f"line[{n}]", line.strip(_SPACE)) for n, line in enumerate(data.split(b"\n"), start=1))
    return Bundle(tuple(_read_entry(line, place, None, limits) for place, line in lines if line))


def _read_document(data: bytes, limits: Limits) -> Bundle:
    shell = _shell_of(data)
    if shell is None:
        return Bundle((_read_entry(data.strip(_SPACE), "resource", None, limits),))
    entries, empty, pieces, done = [], [], [], 0
    for index, item in enumerate(shell.entry or ()):
        place = f"entry[{index}]"
        raw = bytes(item.resource)
        if not raw:
            empty.append(place)
            continue
        entries.append(_read_entry(raw, place, item.fullUrl, limits))
        start = _find(data, raw, done)
        pieces.append(data[done:start])
        done = start + len(raw)
    pieces.append(data[done:])
    parse(b"{}".join(pieces), "bundle")  # What surrounds the resources must be as strict as they are.
    return Bundle(tuple(entries), tuple(empty))


def _find(data: bytes, raw: bytes, since: int) -> int:
    """Where these bytes stand; a short search first, since preparing one for a long needle costs more than it finds."""
    start = data.find(raw[:48], since)
    return start if data.startswith(raw, start) else data.index(raw, since)


def _shell_of(data: bytes) -> _Shell | None:
    """The frame of a Bundle; None for anything else, which is read as a single resource."""
    try:
        shell = _shells.decode(data)
    except RecursionError:
        raise TooDeepError(place="file", depth_max=DEPTH_MAX) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        tree, _ = parse(data, "file")  # Says what is wrong in its own words, or that it is JSON after all.
        if tree.get("resourceType") == "Bundle":
            raise NotFhirError(place="bundle") from None
        return None
    return shell if shell.resourceType == "Bundle" else None


def _read_entry(raw: bytes, place: str, full_url: str | None, limits: Limits) -> Entry:
    if len(raw) > limits.resource_bytes_max:
        raise TooLargeError(place=place, size_bytes=len(raw), size_bytes_max=limits.resource_bytes_max)
    tree, walk = parse(raw, place)
    kind, own_id = tree.get("resourceType"), tree.get("id")
    if not isinstance(kind, str):
        raise NotFhirError(place=place)
    if kind not in RESOURCE_TYPES:
        raise UnknownTypeError(place=place)
    if own_id is not None and not (isinstance(own_id, str) and 0 < len(own_id) <= _ID_CHARS_MAX):
        raise NotFhirError(place=place)
    key = f"{kind}/{own_id}" if own_id else full_url or place
    return Entry(place, raw, kind, own_id, full_url, facts_of(kind, tree, walk), key)


def _require_distinct(entries: tuple[Entry, ...]) -> None:
    seen: set[str] = set()
    for entry in entries:
        names = {name for name in (entry.full_url, entry.id and entry.key) if name}
        if names & seen:
            raise SameIdTwiceError(place=entry.place)
        seen |= names
