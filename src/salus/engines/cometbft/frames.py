"""Messages on a stream: each behind its length, an unsigned varint of base 128 with the lowest group first."""

from collections.abc import Iterator

from salus.core.errors import MalformedError

FRAME_BYTES_MAX = 100 << 20  # As CometBFT has it: the largest block, or a whole mempool on its way to a proposer.
_LENGTH_BYTES_MAX = 5


def framed(message: bytes) -> bytes:
    """A message behind its length."""
    size = len(message)
    if size < 0x80:
        return bytes((size,)) + message
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length) + message


class Frames:
    """Cuts a stream into messages, however it was cut into pieces on its way."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole by now, in order. Each call must be used up before the next one.

        Raises:
            MalformedError: a length is longer than any message may be.
        """
        held = self._held
        held += data
        at = 0
        try:
            while (place := _length(held, at)) is not None:
                size, start = place
                end = start + size
                if end > len(held):
                    return
                at = end
                yield bytes(held[start:end])
        finally:
            del held[:at]


def _length(held: bytearray, at: int) -> tuple[int, int] | None:
    """The length that begins here and where its message begins; None where it is not whole yet."""
    size = 0
    for number in range(_LENGTH_BYTES_MAX):
        if at + number >= len(held):
            return None
        byte = held[at + number]
        size |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            if size > FRAME_BYTES_MAX:
                break
            return size, at + number + 1
    raise MalformedError(reason="a frame is too long")
