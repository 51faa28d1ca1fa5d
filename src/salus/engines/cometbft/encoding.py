"""Protobuf as CometBFT hashes and signs it: the few field kinds that occur, in one deterministic form.

As in proto3, a field that is zero or empty is left out; a message that may not be absent is written even when empty.
Fields are joined by the caller in the order of their numbers. Nothing here reads.
"""

SECOND_NS = 1_000_000_000

_VARINT = 0
_FIXED64 = 1
_BYTES = 2
_SHORT = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """An unsigned integer, seven bits to a byte, the lowest first."""
    if value < len(_SHORT):
        return _SHORT[value]
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def number_field(number: int, value: int) -> bytes:
    """An integer that is not negative."""
    return _key(number, _VARINT) + varint(value) if value else b""


def fixed_field(number: int, value: int) -> bytes:
    """An `sfixed64`: eight bytes, the lowest first."""
    return _key(number, _FIXED64) + value.to_bytes(8, "little", signed=True) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Bytes, or text in UTF-8."""
    return message_field(number, value) if value else b""


def message_field(number: int, body: bytes) -> bytes:
    """A message inside a message, written even when it is empty."""
    return _key(number, _BYTES) + varint(len(body)) + body


def timestamp(time_ns: int) -> bytes:
    """The body of a `google.protobuf.Timestamp`."""
    return number_field(1, time_ns // SECOND_NS) + number_field(2, time_ns % SECOND_NS)


def delimited(body: bytes) -> bytes:
    """A message behind its length."""
    return varint(len(body)) + body


def _key(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)
