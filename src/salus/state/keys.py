"""Parts of a table's keys: each writes itself as bytes that sort as its values do, and reads itself back.

`Bytes` and `Integer` keep the order of their values. `Text` sorts by length first, so that no text is the beginning of
another and the parts behind it can be found again.
"""

from dataclasses import dataclass
from typing import Protocol

KeyPart = bytes | str | int

INTEGER_BYTES = 8
TEXT_BYTES_MAX = 255


class PartCodec(Protocol):
    """One part of a key. `write` raises ValueError for a value that does not fit, `read` for bytes that do not."""

    def write(self, part: KeyPart) -> bytes: ...

    def read(self, data: bytes, at: int) -> tuple[KeyPart, int]:
        """The part that begins at `at`, and where the next begins."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """Exactly `size_bytes` bytes, such as an id or a digest."""

    size_bytes: int

    def write(self, part: KeyPart) -> bytes:
        if not isinstance(part, bytes) or len(part) != self.size_bytes:
            raise ValueError(f"a key part is not {self.size_bytes} bytes")
        return part

    def read(self, data: bytes, at: int) -> tuple[KeyPart, int]:
        end = at + self.size_bytes
        if end > len(data):
            raise ValueError("a key ends within its bytes")
        return data[at:end], end


@dataclass(frozen=True, slots=True)
class Text:
    """Up to 255 bytes of UTF-8 behind their length, such as a member's name."""

    def write(self, part: KeyPart) -> bytes:
        data = part.encode() if isinstance(part, str) else None
        if data is None or len(data) > TEXT_BYTES_MAX:
            raise ValueError("a key part is not a short text")
        return bytes((len(data),)) + data

    def read(self, data: bytes, at: int) -> tuple[KeyPart, int]:
        if at >= len(data) or at + 1 + data[at] > len(data):
            raise ValueError("a key ends within its text")
        end = at + 1 + data[at]
        return data[at + 1 : end].decode(), end


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from 0 to 2^64 - 1, such as a height or a time."""

    def write(self, part: KeyPart) -> bytes:
        if not isinstance(part, int) or not 0 <= part < 1 << 8 * INTEGER_BYTES:
            raise ValueError("a key part is not an unsigned integer of 64 bits")
        return part.to_bytes(INTEGER_BYTES, "big")

    def read(self, data: bytes, at: int) -> tuple[KeyPart, int]:
        end = at + INTEGER_BYTES
        if end > len(data):
            raise ValueError("a key ends within its integer")
        return int.from_bytes(data[at:end], "big"), end
