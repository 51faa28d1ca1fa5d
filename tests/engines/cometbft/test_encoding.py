"""The encoder against protobuf's own rules: known bytes, and the reference library for every varint."""

import pytest
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, StringValue
from hypothesis import given
from hypothesis import strategies as st

from salus.engines.cometbft.encoding import (
    SECOND_NS,
    bytes_field,
    delimited,
    fixed_field,
    message_field,
    number_field,
    timestamp,
    varint,
)


@given(st.integers(0, (1 << 64) - 1))
def test_varints_are_protobufs(value: int) -> None:
    assert varint(value) == _VarintBytes(value)


@given(st.integers(0, (1 << 63) - 1), st.binary(max_size=300), st.text(max_size=200))
def test_fields_are_protobufs(number: int, data: bytes, text: str) -> None:
    assert number_field(1, number) == Int64Value(value=number).SerializeToString()
    assert bytes_field(1, data) == BytesValue(value=data).SerializeToString()
    assert bytes_field(1, text.encode()) == StringValue(value=text).SerializeToString()
    seconds, nanos = divmod(number, SECOND_NS)
    assert timestamp(number) == Timestamp(seconds=seconds, nanos=nanos).SerializeToString()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number_field(3, 0), ""),
        (bytes_field(3, b""), ""),
        (message_field(3, b""), "1a00"),
        (fixed_field(2, 0), ""),
        (fixed_field(2, 1), "110100000000000000"),
        (fixed_field(16, -1), "8101ffffffffffffffff"),
        (delimited(b"abc"), "03616263"),
    ],
)
def test_what_is_zero_is_left_out_and_a_message_never(written: bytes, expected: str) -> None:
    assert written.hex() == expected
