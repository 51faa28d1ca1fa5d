"""Bad input gets one precise refusal; good input keeps its bytes."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salus.fhir.bundle import Limits, read_bundle
from salus.fhir.errors import (
    BadDateError,
    BadTextError,
    ByteOrderMarkError,
    DuplicateKeyError,
    EmptyBundleError,
    FhirInputError,
    NotFhirError,
    NotJsonError,
    NotUtf8Error,
    SameIdTwiceError,
    TooDeepError,
    TooLargeError,
    UnknownTypeError,
)
from tests.fhir.build import bundle, observation, patient

GOOD = json.dumps(patient())
SECRET = "Xanthippe"


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


REFUSALS = [
    ("not JSON", b"hello", NotJsonError, "file"),
    ("cut short", GOOD[:-1].encode(), NotJsonError, "file"),
    ("a trailing comma", bundle('{"resourceType": "Patient",}'), NotJsonError, None),
    ("a leading zero", bundle('{"resourceType": "Patient", "multipleBirthInteger": 01}'), NotJsonError, None),
    ("two values", (GOOD + " " + GOOD).encode(), NotJsonError, "file"),
    ("NaN", b'{"resourceType": "Patient", "a": NaN}', NotJsonError, None),
    ("an array", b"[1, 2]", NotFhirError, "file"),
    ("a number", b"7", NotFhirError, "file"),
    ("no resourceType", b'{"a": 1}', NotFhirError, "resource"),
    ("resourceType of another kind", b'{"resourceType": 7}', NotFhirError, "resource"),
    ("an entry that is no resource", bundle(GOOD, '{"a": 1}'), NotFhirError, "entry[1]"),
    ("an entry that is null", bundle(GOOD, "null"), NotFhirError, "entry[1]"),
    ("entry that is no array", b'{"resourceType": "Bundle", "entry": 7}', NotFhirError, "bundle"),
    ("an id that is a number", b'{"resourceType": "Patient", "id": 7}', NotFhirError, "resource"),
    ("an unknown type", bundle(GOOD, '{"resourceType": "Wizard"}'), UnknownTypeError, "entry[1]"),
    ("a type of R5", b'{"resourceType": "ActorDefinition"}', UnknownTypeError, "resource"),
    ("duplicate keys", bundle(GOOD, '{"resourceType": "Patient", "a": 1, "a": 2}'), DuplicateKeyError, "entry[1]"),
    ("duplicate keys deep down", bundle('{"resourceType":"Basic","a":[{"b":{"c":1,"c":1}}]}'), DuplicateKeyError, None),
    ("a key doubled by an escape", b'{"resourceType": "Basic", "a": 1, "\\u0061": 2}', DuplicateKeyError, "resource"),
    ("duplicate keys beside quotes", b'{"resourceType":"Basic","a":"\\"\\\\","a":2}', DuplicateKeyError, "resource"),
    ("duplicate keys around resources", b'{"resourceType":"Bundle","entry":[{"resource":' + GOOD.encode()
     + b',"fullUrl":"urn:a","fullUrl":"urn:b"}]}', DuplicateKeyError, "bundle"),
    ("two resources in one entry", b'{"resourceType":"Bundle","entry":[{"resource":' + GOOD.encode()
     + b',"resource":{"resourceType":"Basic"}}]}', DuplicateKeyError, "bundle"),
    ("invalid UTF-8", b'{"resourceType": "Patient", "a": "\xff"}', NotUtf8Error, "byte 34"),
    ("UTF-8 of a surrogate", b'{"resourceType": "Patient", "a": "\xed\xa0\x80"}', NotUtf8Error, "byte 34"),
    ("a byte-order mark", b"\xef\xbb\xbf" + GOOD.encode(), ByteOrderMarkError, "byte 0"),
    ("UTF-16", GOOD.encode("utf-16"), ByteOrderMarkError, "byte 0"),
    ("deep nesting", b'{"resourceType": "Basic", "a": ' + nested(120).encode() + b"}", TooDeepError, "resource"),
    ("deep arrays", b'{"resourceType": "Basic", "a": ' + b"[" * 900 + b"]" * 900 + b"}", TooDeepError, "resource"),
    ("very deep nesting", bundle(nested(100_000)), TooDeepError, "file"),
    ("very deep arrays", b"[" * 200_000, TooDeepError, "file"),
    ("NUL in a string", bundle('{"resourceType": "Patient", "a": "x\\u0000"}'), BadTextError, "entry[0]"),
    ("a raw NUL in a string", b'{"resourceType": "Patient", "a": "x\x00"}', NotJsonError, None),
    ("half a surrogate pair", bundle('{"resourceType": "Patient", "a": "\\ud800"}'), BadTextError, None),
    ("the other half", bundle('{"resourceType": "Patient", "a": "\\udc00x"}'), BadTextError, None),
    ("a thirteenth month", bundle(patient(birthDate="2001-13-01")), BadDateError, "entry[0]"),
    ("30 February", bundle(observation(effectiveDateTime="2001-02-30T10:00:00Z")), BadDateError, "entry[0]"),
    ("hour 25", bundle(observation(effectivePeriod={"start": "2001-02-03T25:00:00Z"})), BadDateError, "entry[0]"),
    ("the year 0", bundle(patient(birthDate="0000")), BadDateError, "entry[0]"),
    ("no date at all", bundle(patient(birthDate="yesterday")), BadDateError, "entry[0]"),
    ("an empty file", b"", EmptyBundleError, "file"),
    ("blanks only", b" \n\n", EmptyBundleError, "file"),
    ("an empty bundle", bundle(), EmptyBundleError, "file"),
    ("a bundle without entry", b'{"resourceType": "Bundle"}', EmptyBundleError, "file"),
    ("requests only", b'{"resourceType": "Bundle", "entry": [{"request": {"url": "x"}}]}', EmptyBundleError, "file"),
    ("one id twice", bundle(patient("a"), observation("b"), patient("a")), SameIdTwiceError, "entry[2]"),
    ("one id twice in lines", f"{GOOD}\n{GOOD}\n".encode(), SameIdTwiceError, "line[2]"),
    ("a bad line", f'{GOOD}\n{{"a": 1}}\n'.encode(), NotFhirError, "line[2]"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "error", "place"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_bad_input_is_refused_with_its_reason_and_place(data, error, place) -> None:
    with pytest.raises(error) as caught:
        read_bundle(data)
    assert type(caught.value) is error
    if place is not None:
        assert caught.value.facts["place"] == place


def test_a_file_and_a_resource_above_their_limits_are_refused() -> None:
    data = bundle(GOOD)
    with pytest.raises(TooLargeError) as caught:
        read_bundle(data, limits=Limits(file_bytes_max=len(data) - 1))
    assert caught.value.facts["place"] == "file"
    with pytest.raises(TooLargeError) as caught:
        read_bundle(data, limits=Limits(resource_bytes_max=len(GOOD) - 1))
    assert caught.value.facts["place"] == "entry[0]"
    assert len(read_bundle(data, limits=Limits(len(data), len(GOOD))).entries) == 1


@pytest.mark.parametrize("text", ['"%s\\u0000"', '"%s", "a": 1', '"%s', '"\\ud800%s"'])
def test_no_error_repeats_what_the_document_says(text: str) -> None:
    with pytest.raises(FhirInputError) as caught:
        read_bundle(b'{"resourceType": "Patient", "a": ' + (text % SECRET).encode() + b"}")
    assert SECRET not in str(caught.value)
    assert caught.value.code.startswith("fhir.")


@pytest.mark.parametrize("number", ["1.00", "1e400", "-1E+9999", "0.10", "123456789012345678901234567890", "-0.0"])
def test_numbers_are_kept_as_written(number: str) -> None:
    raw = f'{{"resourceType": "Basic",\n "a":  {number}, "b": "1e400"}}'
    assert read_bundle(bundle(raw)).entries[0].raw == raw.encode()


@pytest.mark.parametrize("text", [r"\\u0000", r"\ud83d\ude00", r"a\"b:\\", "é 漢 😀", r"\/", r"\\\"", r"{\"a\":1}"])
def test_awkward_strings_are_no_fault(text: str) -> None:
    raw = f'{{"resourceType": "Basic", "a": "{text}"}}'
    assert read_bundle(raw.encode()).entries[0].raw == raw.encode()


def test_a_resource_within_another_place_does_not_confuse_where_it_stands() -> None:
    same = '{"resourceType":"OperationOutcome"}'
    data = f'{{"resourceType":"Bundle","x":{same},"entry":[{{"response":{{"outcome":{same}}},"resource":{same}}}]}}'
    assert [entry.raw for entry in read_bundle(data.encode()).entries] == [same.encode()]


def test_lines_and_single_resources_are_read_too() -> None:
    lines = json.dumps(patient("a")) + "\r\n\n" + json.dumps(patient("b"))
    assert [(e.place, e.id) for e in read_bundle(lines.encode()).entries] == [("line[1]", "a"), ("line[3]", "b")]
    single = json.dumps(patient("a"), indent=2) + "\n"
    entry = read_bundle(single.encode()).entries[0]
    assert (entry.place, entry.raw) == ("resource", single.strip().encode())
    listed = b'{"resourceType": "List", "entry": [{"item": {"reference": "x"}}]}'
    assert read_bundle(listed).entries[0].raw == listed


def test_entries_without_a_resource_are_noted() -> None:
    data = bundle(GOOD).replace(b'"entry": [', b'"entry": [{"request": {"method": "GET", "url": "x"}}, ')
    found = read_bundle(data)
    assert found.without_resource == ("entry[0]",)
    assert [entry.place for entry in found.entries] == ["entry[1]"]


def test_a_large_attachment_passes_whole() -> None:
    text = "QUJD" * (8 << 20)
    raw = f'{{"resourceType": "Binary", "contentType": "application/pdf", "data": "{text}"}}'.encode()
    assert read_bundle(bundle(raw.decode())).entries[0].raw == raw
    with pytest.raises(DuplicateKeyError):
        read_bundle(raw[:-1] + b', "data": "x"}')


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\"\\:{é", max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def _written(value: object, twice: list[bool]) -> str:
    """JSON text; the first object met while `twice` is not spent gets its first key written twice."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(k)} : {_written(v, twice)}" for k, v in value.items()]
        if pairs and not twice:
            twice.append(True)
            pairs.append(pairs[0])
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[ " + ", ".join(_written(each, twice) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=150, deadline=None)
@given(JSON_VALUES)
def test_a_duplicate_key_anywhere_is_refused_and_nothing_else(value: object) -> None:
    clean = f'{{"resourceType": "Basic", "x": {_written(value, [True])}}}'
    assert read_bundle(clean.encode()).entries[0].raw == clean.encode()
    doubled: list[bool] = []
    text = f'{{"resourceType": "Basic", "x": {_written(value, doubled)}}}'
    if doubled:
        with pytest.raises(DuplicateKeyError):
            read_bundle(text.encode())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.sampled_from(['{"a":', "[", '[{"a":']))
def test_any_depth_is_either_read_or_refused(levels: int, opening: str) -> None:
    closing = {"{": "}", "[": "]"}
    end = "".join(closing[c] for c in reversed(opening) if c in closing)
    text = f'{{"resourceType": "Basic", "x": {opening * levels}0{end * levels}}}'
    if levels > 101:
        with pytest.raises(TooDeepError):
            read_bundle(text.encode())
    elif levels < 50:
        assert read_bundle(text.encode()).entries[0].raw == text.encode()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5000), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_read_or_refused_never_a_crash(at: int, damage: bytes) -> None:
    data = bundle(patient(birthDate="2001-02-03"), observation(valueQuantity={"value": 1}))
    at %= len(data)
    broken = data[:at] + damage + data[at + len(damage) :]
    found = ()
    with suppress(FhirInputError):
        found = read_bundle(broken).entries
    assert all(entry.raw in broken for entry in found)
