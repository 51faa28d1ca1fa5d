"""Holds JSON against a schema, as far as our OpenAPI document uses JSON Schema; what else a schema says is an error."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_KINDS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_SAID_ELSEWHERE = {"description", "default", "required", "additionalProperties"}  # The last two with `properties`.


def wrong_with(value: Any, schema: Mapping[str, Any], at: str = "$") -> Iterator[str]:
    """What in a value is not as its schema says."""
    for word, said in schema.items():
        if word == "type":
            is_kind = isinstance(value, _KINDS[said]) and isinstance(value, bool) is (said == "boolean")
            if not is_kind:
                yield f"{at} is no {said}"
                return
        elif word == "properties":
            yield from _wrong_with_object(value, schema, at)
        elif word == "items":
            for number, item in enumerate(value):
                yield from wrong_with(item, said, f"{at}[{number}]")
        elif word == "anyOf":
            if all(any(True for _ in wrong_with(value, one, at)) for one in said):
                yield f"{at} is none of what it may be"
        elif word == "enum":
            if value not in said:
                yield f"{at} is not one of {said}"
        elif word == "const":
            if value != said:
                yield f"{at} is not {said}"
        elif word == "pattern":
            if re.search(said, value) is None:
                yield f"{at} does not match {said}"
        elif word == "minimum":
            if value < said:
                yield f"{at} is below {said}"
        elif word not in _SAID_ELSEWHERE:
            raise AssertionError(f"the schema says {word}, which is not understood here")


def _wrong_with_object(value: Mapping[str, Any], schema: Mapping[str, Any], at: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at} lacks {name}"
    more = schema.get("additionalProperties", True)
    for name, held in value.items():
        inner = schema["properties"].get(name, more)
        if inner is False:
            yield f"{at} has {name}"
        elif inner is not True:
            yield from wrong_with(held, inner, f"{at}.{name}")
