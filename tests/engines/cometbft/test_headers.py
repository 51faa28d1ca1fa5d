"""CometBFT's JSON: what is not of its shape is malformed, never a crash."""

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.engines.cometbft.headers import (
    UnreadableBlockError,
    number,
    read_light_block,
    read_time,
    read_validators,
    unbase64,
    unhex,
)
from tests.engines.cometbft.vectors import single_steps

SHOWN = single_steps()["MC4_4_faulty_TestSuccess.json"]["input"][1]["block"]
VALIDATORS = read_validators(SHOWN["validator_set"]["validators"])
TRUE = read_light_block(SHOWN["signed_header"], VALIDATORS)

Json = Any


def places(shown: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all leaves."""
    if isinstance(shown, dict):
        return [place for name in shown for place in places(shown[name], (*path, name))]
    if isinstance(shown, list):
        return [place for index, one in enumerate(shown) for place in places(one, (*path, index))]
    return [path]


def changed(path: tuple[Any, ...], change: Callable[[Any], Any]) -> Json:
    shown = copy.deepcopy(SHOWN["signed_header"])
    at = shown
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = change(at[path[-1]])
    return shown


@pytest.mark.parametrize(
    "value", [None, -1, 1 << 70, [], {}, "é", "zz", "9" * 30, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", 1.5, True]
)
def test_no_value_in_any_place_breaks_the_reader(value: Any) -> None:
    for path in places(SHOWN["signed_header"]):
        with suppress(UnreadableBlockError):
            block = read_light_block(changed(path, lambda _: value), VALIDATORS)
            assert block.header == TRUE.header, "The commit is of another block."


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
    )
)
def test_other_json_is_malformed(shown: Json) -> None:
    with pytest.raises(UnreadableBlockError):
        read_light_block(shown, VALIDATORS)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: {**one, "address": "00" * 20},
        lambda one: {**one, "voting_power": "0"},
        lambda one: {**one, "voting_power": "-1"},
        lambda one: {**one, "pub_key": {"type": "tendermint/PubKeySecp256k1", "value": one["pub_key"]["value"]}},
        lambda one: {**one, "pub_key": {"type": "tendermint/PubKeyEd25519", "value": "AAAA"}},
    ],
)
def test_validators_must_have_ed25519_keys_their_own_address_and_power(change: Callable[[Json], Json]) -> None:
    shown = SHOWN["validator_set"]["validators"]
    with pytest.raises(UnreadableBlockError):
        read_light_block(SHOWN["signed_header"], read_validators([change(shown[0]), *shown[1:]]))


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "١", "1" * 20, " 1"])
def test_numbers_are_digits(text: str) -> None:
    with pytest.raises(UnreadableBlockError):
        number(text)


@pytest.mark.parametrize(
    "text", ["", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00+01:00", "1970-01-01T00:00:00.1234567890Z"]
)
def test_times_are_rfc_3339_in_utc(text: str) -> None:
    with pytest.raises(UnreadableBlockError):
        read_time(text)


def test_times_keep_their_nanoseconds() -> None:
    assert read_time("1970-01-01T00:00:01Z") == 1_000_000_000
    assert read_time("2026-02-02T02:40:00.000000001Z") == 1_770_000_000_000_000_001
    assert read_time("1970-01-01T00:00:00.5Z") == 500_000_000


def test_bytes_are_hexadecimal_or_base_64() -> None:
    assert (unhex("0aFF"), unbase64("/w=="), unbase64(None)) == (b"\x0a\xff", b"\xff", b"")
    for text in ("0", "zz"):
        with pytest.raises(UnreadableBlockError):
            unhex(text)
    with pytest.raises(UnreadableBlockError):
        unbase64("/w=")
