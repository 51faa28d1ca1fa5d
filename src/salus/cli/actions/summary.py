"""One line on a document: when, what. Only for whoever may read it: nothing of it goes into a log or an error."""

from dataclasses import dataclass
from typing import Any

import msgspec

_WHAT = (
    "code",
    "medicationCodeableConcept",
    "vaccineCode",
    "type",
    "class",
    "category",
    "serviceType",
    "specialty",
    "scope",
    "title",
    "description",
)
_DATES = (
    "effectiveDateTime",
    "effectivePeriod",
    "performedDateTime",
    "performedPeriod",
    "occurrenceDateTime",
    "onsetDateTime",
    "period",
    "started",
    "authoredOn",
    "date",
    "recordedDate",
    "billablePeriod",
    "servicedDate",
    "created",
    "issued",
    "recorded",
    "birthDate",
)
_WIDTH_MAX = 72
_DECODER = msgspec.json.Decoder(dict[str, Any], float_hook=str)  # Decimals stay as they were written.


@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """What a table shows of a document."""

    date: str
    what: str
    source: str  # `Type/id`, as the author calls it.


def summary_of(data: bytes) -> Summary:
    """The line for one document; empty where it is no JSON object."""
    try:
        tree = _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return Summary("", "", "")
    source = f"{tree.get('resourceType', '')}/{tree.get('id', '')}"
    return Summary(_date(tree), " ".join((_what(tree) + _value(tree)).split())[:_WIDTH_MAX], source)


def _date(tree: dict[str, Any]) -> str:
    for name in _DATES:
        value = tree.get(name)
        if isinstance(value, dict):
            value = value.get("start")
        if isinstance(value, str):
            return value[:10]
    return ""


def _what(tree: dict[str, Any]) -> str:
    if tree.get("resourceType") == "Patient":
        return _name(tree)
    return next((text for name in _WHAT if (text := _text(tree.get(name)))), "")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return next((text for one in value if (text := _text(one))), "")
    if isinstance(value, dict):
        coding = value.get("coding")
        shown = value.get("text") or value.get("display") or (_text(coding) if coding else "") or value.get("code")
        return shown if isinstance(shown, str) else ""
    return value if isinstance(value, str) else ""


def _value(tree: dict[str, Any]) -> str:
    quantity = tree.get("valueQuantity")
    if isinstance(quantity, dict) and "value" in quantity:
        return f": {quantity['value']} {quantity.get('unit') or quantity.get('code') or ''}"
    shown = _text(tree.get("valueCodeableConcept")) or _text(tree.get("valueString"))
    return f": {shown}" if shown else ""


def _name(tree: dict[str, Any]) -> str:
    names = tree.get("name")
    first = names[0] if isinstance(names, list) and names and isinstance(names[0], dict) else {}
    given = first.get("given")
    parts = [*(given if isinstance(given, list) else []), first.get("family")]
    return str(first.get("text") or " ".join(part for part in parts if isinstance(part, str)))
