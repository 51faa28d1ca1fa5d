"""JSON that means one thing: parse a document and refuse whatever two readers could read differently.

Three tricks keep it near the speed of the parser. *Duplicate keys*: a parser drops a repeated key, so strings go
missing; a text has exactly two unescaped quotes per string, hence text and re-written tree must have equally many.
*Depth*: the walk that gathers facts goes level by level, so it counts levels without recursion. *Numbers* are never
taken from the tree; those too large for a float are blotted out in the copy that is parsed, not in the document.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from salus.fhir.dates import is_date
from salus.fhir.errors import BadDateError, BadTextError, DuplicateKeyError, NotFhirError, NotJsonError, TooDeepError
from salus.fhir.tables import DATE_ELEMENTS

Tree = dict[str, Any]
Coding = tuple[str, str]  # System and code.

DEPTH_MAX = 100  # FHIR's own examples stay below 25; the writer used here stops at 254.
_LONG_BYTES = 1 << 20
_STRING_OR_NUMBER = re.compile(rb'("(?:[^"\\]|\\.)*")|-?[0-9][0-9.]*[eE][-+]?[0-9]+')
# A long run of base64 that is a value, not a key: no two of its strings need comparing.
_ATTACHMENT = re.compile(rb'(?<!\\)"[A-Za-z0-9+/=]{4096,}"(?!\s*:)')
_NUL = re.compile(rb"\\u0000")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Walk(msgspec.Struct, frozen=True):
    """What one pass over a tree finds, wherever it stands, in the order of levels."""

    codings: tuple[Coding, ...]
    references: tuple[str, ...]


def parse(text: bytes, place: str) -> tuple[Tree, Walk]:
    """Read one JSON object of UTF-8 bytes.

    Raises:
        BadTextError: a string holds NUL or half of a surrogate pair.
        NotJsonError: the bytes are not JSON.
        NotFhirError: the JSON is no object.
        TooDeepError: nested deeper than `DEPTH_MAX`.
        DuplicateKeyError: an object names a key twice.
        BadDateError: an element that holds dates holds none of the calendar.
    """
    if len(text) > _LONG_BYTES:
        text = _ATTACHMENT.sub(b'""', text)
    escaped = b"\\" in text
    if escaped and _NUL.search(text.replace(b"\\\\", b"")):
        raise BadTextError(place=place)
    tree = _loads(text, place)
    if not isinstance(tree, dict):
        raise NotFhirError(place=place)
    walk = _walk(tree, place)
    if _strings_doubled(text, escaped=escaped) != _strings_doubled(orjson.dumps(tree), escaped=escaped):
        raise DuplicateKeyError(place=place)
    return tree, walk


def _loads(text: bytes, place: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # A number beyond floats is no fault; anything else is found again below.
    try:
        return orjson.loads(_STRING_OR_NUMBER.sub(lambda found: found[1] or b"0", text))
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg or "ecursion" in error.msg:
            raise TooDeepError(place=place, depth_max=DEPTH_MAX) from None
        if "surrogate" in error.msg and _SURROGATE.search(text.replace(b"\\\\", b"")):
            raise BadTextError(place=place) from None
        raise NotJsonError(place=place, byte=error.pos) from None


def _strings_doubled(text: bytes, *, escaped: bool) -> int:
    """Quotes that open or close a string: all but escaped ones."""
    if not escaped:
        return text.count(b'"')
    text = text.replace(b"\\\\", b"")
    return text.count(b'"') - text.count(b'\\"')


_WATCHED = DATE_ELEMENTS | {"code", "reference"}


def _walk(tree: Tree, place: str) -> Walk:
    """Go down level by level. An array stands on the level of its owner, unless it lies in another array."""
    codings: list[tuple[Any, str]] = []
    references: list[str] = []
    objects: list[Tree] = [tree]
    arrays: list[list[Any]] = []
    depth = 0
    while objects or arrays:
        depth += 1
        if depth > DEPTH_MAX:
            raise TooDeepError(place=place, depth_max=DEPTH_MAX)
        below: list[Tree] = []
        for node in objects:
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if key in _WATCHED:
                        if key == "reference":
                            references.append(value)
                        elif key == "code":
                            codings.append((node.get("system"), value))
                        elif not is_date(value) and tree.get("resourceType") != "GraphDefinition":
                            # Its `start` is a type, the one name that holds a date everywhere else.
                            raise BadDateError(place=place)
                elif kind is dict:
                    below.append(value)
                elif kind is list:
                    arrays.append(value)
        objects, arrays = below, _open(arrays, below)
    coded = (coding for coding in codings if type(coding[0]) is str)
    return Walk(tuple(dict.fromkeys(coded)), tuple(dict.fromkeys(references)))


def _open(arrays: list[list[Any]], objects: list[Tree]) -> list[list[Any]]:
    """Add the objects of some arrays to a level; the arrays in them are left for the next."""
    inner: list[list[Any]] = []
    for array in arrays:
        for value in array:
            kind = type(value)
            if kind is dict:
                objects.append(value)
            elif kind is list:
                inner.append(value)
    return inner


def values_at(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Everything that stands at a path of element names, through arrays."""
    if isinstance(node, list):
        for item in node:
            yield from values_at(item, path)
    elif not path:
        yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from values_at(node[path[0]], path[1:])
