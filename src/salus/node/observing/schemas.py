"""What the operator's port answers, as JSON Schema: for its OpenAPI document (`docs/reference/operator-api.json`)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from salus.node.observing.fields import PARTS
from salus.node.observing.findings import Finding, Severity
from salus.node.observing.judging import PartStatus
from salus.node.observing.traces import NAMES

Schema = Mapping[str, Any]


def _plain(kind: type[Any]) -> dict[str, Any]:
    """The schema of a flat class, without names that lead elsewhere. What it may hold beyond its fields: nothing."""
    _, named = msgspec.json.schema_components([kind])
    schema = dict(named[kind.__name__])
    del schema["title"]
    return {**schema, "required": sorted(schema["properties"]), "additionalProperties": False}


def _object(required: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(more or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list(of: Schema) -> dict[str, Any]:
    return {"type": "array", "items": dict(of)}


def _finding() -> dict[str, Any]:
    schema = _plain(Finding)
    schema["properties"] = {**schema["properties"], "severity": {"enum": [severity.value for severity in Severity]}}
    return schema


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_SPAN_ID = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_FIELDS = {  # Of `fields.py`, those that a step of a trace has.
    "member": _TEXT,
    "peer": _TEXT,
    "part": {"enum": list(PARTS)},
    "request": _TEXT,
}

STATUS: Schema = _object({"ready": {"type": "boolean"}, "parts": _list(_plain(PartStatus)), "wrong": _list(_finding())})
TRACES: Schema = _object(
    {
        "spans": _list(
            _object(
                {
                    "trace": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                    "span": _SPAN_ID,
                    "parent": {"anyOf": [_SPAN_ID, {"type": "null"}]},
                    "name": {"enum": sorted({*NAMES, "other"})},
                    "began_ms": _COUNT,
                    "took_ms": {"type": "number", "minimum": 0},
                    "code": _TEXT,
                },
                _FIELDS,
            )
        )
    }
)
