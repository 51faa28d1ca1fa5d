"""Sealing documents: padded so that length says little, encrypted with Cobblestone-256, which commits to its key.

Padding follows Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
PoPETs 2019, section 4): at most 12 % longer, and only O(log log size) bits of the size remain visible. Encrypted are
the size (8 bytes, big-endian), the document, zeros. Documents above 64 MiB are sealed in chunks, so that one part can
be fetched and opened alone; every chunk's context names its number and how many there are.

Cobblestone (C2SP chunked-encryption) draws its salt inside the library, so sealing is for the edges: no rule of the
chain may call it.
"""

from collections.abc import Sequence

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from salus.core.ids import MIB_BYTES
from salus.crypto.errors import BadKeyError, OversizeError, UnopenableError

KEY_BYTES = 32
CHUNK_BYTES = 64 * MIB_BYTES
PREFIX_BYTES = 8
PADDED_BYTES_MIN = 256  # Below, Padmé would tell small documents apart.


def padme(length: int) -> int:
    """The next length that Padmé allows: its low bits are zero, all but about log2(log2(length)) of them."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


def padded_size(size_bytes: int) -> int:
    """How many bytes are encrypted for a document, or chunk, of this size."""
    return max(PADDED_BYTES_MIN, padme(PREFIX_BYTES + size_bytes))


def chunk_count(size_bytes: int) -> int:
    """How many chunks a document of this size has: one, unless it is above 64 MiB."""
    return max(1, -(-size_bytes // CHUNK_BYTES))


def seal_document(key: bytes, context: bytes, data: bytes) -> bytes:
    """Seal a document of one chunk. A key seals one document, in one context.

    Raises:
        OversizeError: the document is above 64 MiB: `seal_chunks` takes it.
        BadKeyError: the key is not of 32 bytes.
    """
    if len(data) > CHUNK_BYTES:
        raise OversizeError(size_bytes=len(data))
    return _seal(key, _chunk_context(context, 0, 1), data)


def open_document(key: bytes, context: bytes, sealed: bytes, size_bytes: int) -> bytes:
    """The document of one chunk that `seal_document` sealed; `size_bytes` is what its header announces.

    Raises:
        BadKeyError: the key is not of 32 bytes.
        UnopenableError: another key or context, altered bytes, or another size than announced.
    """
    return _open(key, _chunk_context(context, 0, 1), sealed, size_bytes)


def seal_chunks(key: bytes, context: bytes, data: bytes) -> list[bytes]:
    """Seal a document of any size: one chunk up to 64 MiB, equal in form to `seal_document`'s.

    Raises:
        BadKeyError: the key is not of 32 bytes.
    """
    count = chunk_count(len(data))
    view = memoryview(data)
    starts = range(0, count * CHUNK_BYTES, CHUNK_BYTES)
    return [
        _seal(key, _chunk_context(context, number, count), view[start : start + CHUNK_BYTES])
        for number, start in enumerate(starts)
    ]


def open_chunk(key: bytes, context: bytes, sealed: bytes, *, number: int, size_bytes: int) -> bytes:
    """One chunk, counted from 0, of a document of `size_bytes` in all: enough for a range read.

    Raises:
        BadKeyError: the key is not of 32 bytes.
        UnopenableError: no such chunk; another key, context, number or count; altered bytes; or another size.
    """
    count = chunk_count(size_bytes)
    if not 0 <= number < count:
        raise UnopenableError(number=number, count=count)
    size = min(CHUNK_BYTES, size_bytes - number * CHUNK_BYTES)
    return _open(key, _chunk_context(context, number, count), sealed, size)


def open_chunks(key: bytes, context: bytes, sealed: Sequence[bytes], size_bytes: int) -> bytes:
    """The whole document that `seal_chunks` sealed.

    Raises:
        BadKeyError: the key is not of 32 bytes.
        UnopenableError: a chunk is missing, foreign, misplaced or altered, or the size is another than announced.
    """
    if len(sealed) != chunk_count(size_bytes):
        raise UnopenableError(number=len(sealed), count=chunk_count(size_bytes))
    if len(sealed) == 1:
        return _open(key, _chunk_context(context, 0, 1), sealed[0], size_bytes)
    chunks = [
        open_chunk(key, context, chunk, number=number, size_bytes=size_bytes) for number, chunk in enumerate(sealed)
    ]
    return b"".join(chunks)


def _chunk_context(context: bytes, number: int, count: int) -> bytes:
    # The last eight bytes have a fixed meaning, so no two contexts collide.
    return context + number.to_bytes(4, "big") + count.to_bytes(4, "big")


def _seal(key: bytes, context: bytes, data: bytes | memoryview) -> bytes:
    if len(key) != KEY_BYTES:
        raise BadKeyError(size_bytes=len(key))
    size = len(data)
    zeros = bytes(padded_size(size) - PREFIX_BYTES - size)
    encryptor = Cobblestone256Encryptor(key, context)
    return encryptor.update(b"".join((size.to_bytes(PREFIX_BYTES, "big"), data, zeros))) + encryptor.finalize()


def _open(key: bytes, context: bytes, sealed: bytes, size_bytes: int) -> bytes:
    if len(key) != KEY_BYTES:
        raise BadKeyError(size_bytes=len(key))
    decryptor = Cobblestone256Decryptor(key, context)
    try:
        padded = decryptor.update(sealed) + decryptor.finalize()
    except InvalidTag:
        raise UnopenableError(size_bytes=len(sealed)) from None
    end = PREFIX_BYTES + size_bytes
    announced = size_bytes.to_bytes(PREFIX_BYTES, "big")
    if len(padded) != padded_size(size_bytes) or not padded.startswith(announced) or padded[end:].strip(b"\0"):
        raise UnopenableError(size_bytes=size_bytes)
    return padded[PREFIX_BYTES:end]
