"""Canonical bytes: one value has one encoding, so that digests and signatures mean one thing.

Everything signed, hashed, stored or sent is a frozen `Struct` in MessagePack, positional (fields are an array in the
order they are declared), and carries a versioned tag. `decode` encodes again and compares: an integer written long, a
map, or a trailing field is `MalformedError`. Field sizes are part of their types (`core.ids`).
"""

from collections.abc import Iterable, Sequence, Sized
from enum import Enum
from typing import Any, TypeVar, cast

import msgspec

from salus.core.errors import MalformedError

T = TypeVar("T")


class Struct(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of all data that becomes bytes: frozen, positional.

    What is frozen and holds only such values cannot be part of a cycle, so the cyclic collector is spared them all.
    """

    def __repr__(self) -> str:
        """Type, field names and sizes: bytes may be secrets and text a person's, and both would end in a log."""
        shown = ", ".join(f"{name}={_harmless(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({shown})"


class Message(Struct, frozen=True):
    """What a party asks of the ledger. Subclasses carry a tag such as `cells.freeze/1`."""


class Record(Struct, frozen=True):
    """What a table keeps, or what members send each other. Subclasses carry a tag such as `cells.cell/1`."""


_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """The one encoding of a value."""
    return _encoder.encode(value)


_ARRAY_32 = b"\xdd"  # MessagePack's array with its length in four bytes.

_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def _decoder(shape: Any) -> msgspec.msgpack.Decoder[Any]:
    known = _decoders.get(shape)
    if known is None:
        known = _decoders[shape] = msgspec.msgpack.Decoder(shape)
    return known


def decode(shape: type[T], data: bytes) -> T:
    """Read a value of this shape.

    Raises:
        MalformedError: the bytes are not a value of this shape, or not its one encoding.
    """
    try:
        value = _decoder(shape).decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        raise MalformedError(reason=_shape_name(shape)) from None
    if _encoder.encode(value) != data:
        raise MalformedError(reason="not canonical")
    return cast(T, value)


def decode_all(shape: type[T], data: Sequence[bytes]) -> list[T]:
    """As `decode` for each, in one go: a batch has a thousand headers.

    Raises:
        MalformedError: one is not a value of this shape, or not its one encoding; `place` counts from 0.
    """
    try:
        values = cast(list[T], _decoder(list[shape]).decode(_ARRAY_32 + len(data).to_bytes(4, "big") + b"".join(data)))  # type: ignore[valid-type]
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        values = []
    # Each value against its own bytes: joined, one could take what is another's.
    if list(map(_encoder.encode, values)) == list(data):
        return values
    return [_decode_at(shape, one, place) for place, one in enumerate(data)]


def _decode_at(shape: type[T], data: bytes, place: int) -> T:
    try:
        return decode(shape, data)
    except MalformedError as error:
        raise MalformedError(reason=error.facts["reason"], place=place) from None


def reopen(shape: type[T], data: bytes) -> T:
    """Read what a key or a digest vouches for, or what is checked part by part: no second look at its form.

    Raises:
        MalformedError: the bytes are not a value of this shape.
    """
    try:
        return cast(T, _decoder(shape).decode(data))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        raise MalformedError(reason=_shape_name(shape)) from None


def reopen_all(shape: type[T], rows: Iterable[bytes]) -> list[T]:
    """As `reopen`, for many: faster than one by one.

    Raises:
        MalformedError: the bytes of one are not a value of this shape.
    """
    read = _decoder(shape).decode
    try:
        return [read(data) for data in rows]
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        raise MalformedError(reason=_shape_name(shape)) from None


def replace(value: T, **changes: object) -> T:
    """A copy with some fields changed."""
    return cast(T, msgspec.structs.replace(cast(Any, value), **changes))


def _harmless(value: object) -> str:
    if value is None or isinstance(value, bool | int | Enum | Struct):
        return repr(value)
    size = len(value) if isinstance(value, Sized) else 0
    return f"<{size} {'bytes' if isinstance(value, bytes) else type(value).__name__}>"


def _shape_name(shape: object) -> str:
    return f"not a {getattr(shape, '__name__', 'message')}"
