"""Splitting document keys among a committee's seats: Shamir's scheme over GF(2^8), polynomial x^8+x^4+x^3+x+1 (0x11b).

A whole batch is dealt at once: one blob holds the same thing (the keys, one coefficient, one seat's shares) of m
records, 32 bytes each, and is multiplied by a constant with one `bytes.translate` and added with one XOR of integers.
Coefficients follow from the key and its context, so a dealing can be repeated and checked by whoever has the key: a
share that differs names a liar. The scheme hides a key of full entropy from `threshold - 1` seats as long as SHAKE256
is a random function. Table look-ups do not run in constant time: nobody hostile may share the machine's caches.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import shake_256

from salus.crypto.errors import BadSharesError

KEY_BYTES = 32
SEATS_MAX = 255

_FIELD = 0x11B
_DOMAIN = b"salus.shares.coefficients/1\0"


def faulty(seats: int) -> int:
    """How many seats of a committee may lie or fall silent: f = (n - 1) // 3."""
    return (seats - 1) // 3


def quorum(seats: int) -> int:
    """How many seats' receipts make a batch sealed: q = n - f."""
    return seats - faulty(seats)


def threshold(seats: int) -> int:
    """How many seats' shares make a key: t = max(2f + 1, n // 2 + 1)."""
    return max(2 * faulty(seats) + 1, seats // 2 + 1)


def coefficients(key: bytes, context: bytes, threshold: int) -> bytes:
    """The polynomial of one key beyond its constant: 32 bytes for each power from 1 to `threshold - 1`.

    SHAKE256 of a fixed tag, the context and the 32-byte key: with both ends fixed, the parts cannot be confused.
    """
    return shake_256(_DOMAIN + context + key).digest(KEY_BYTES * (threshold - 1))


def deal(keys: bytes, higher: Sequence[bytes], seats: int) -> list[bytes]:
    """One blob of shares per seat, for seats 1 to `seats`; `higher[j]` holds the coefficients of power j + 1.

    Raises:
        BadSharesError: blobs of unequal length, or not 1 <= threshold <= seats <= 255.
    """
    if not len(higher) < seats <= SEATS_MAX or any(len(row) != len(keys) for row in higher):
        raise BadSharesError(seats=seats, threshold=len(higher) + 1)
    constant = int.from_bytes(keys, "little")
    return [_evaluate(constant, higher, seat).to_bytes(len(keys), "little") for seat in range(1, seats + 1)]


def deal_batch(keys: Sequence[bytes], contexts: Sequence[bytes], *, seats: int, threshold: int) -> list[bytes]:
    """Deal many keys, each with its own context: one blob per seat, 32 bytes per key in the order given.

    Raises:
        BadSharesError: not one context per key, a key not of 32 bytes, or not 1 <= threshold <= seats <= 255.
    """
    if len(keys) != len(contexts) or not 1 <= threshold <= seats or any(len(key) != KEY_BYTES for key in keys):
        raise BadSharesError(seats=seats, threshold=threshold)
    drawn = [coefficients(key, context, threshold) for key, context in zip(keys, contexts, strict=True)]
    starts = range(0, KEY_BYTES * (threshold - 1), KEY_BYTES)
    higher = [b"".join([row[start : start + KEY_BYTES] for row in drawn]) for start in starts]
    return deal(b"".join(keys), higher, seats)


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The keys behind these seats' blobs: interpolation at 0 through exactly the seats given.

    Too few seats, or one wrong blob, give wrong keys without a sign of it: compare with what commits to the keys.

    Raises:
        BadSharesError: no share, a seat outside 1 to 255, or blobs of unequal length.
    """
    size = len(next(iter(shares.values()), b""))
    if not shares or any(not 1 <= seat <= SEATS_MAX or len(blob) != size for seat, blob in shares.items()):
        raise BadSharesError(seats=len(shares))
    total = 0
    for seat, blob in shares.items():
        total ^= int.from_bytes(blob.translate(_times(_weight(seat, shares))), "little")
    return total.to_bytes(size, "little")


def _evaluate(constant: int, higher: Sequence[bytes], seat: int) -> int:
    total, power = constant, 1
    for row in higher:
        power = _times(seat)[power]
        total ^= int.from_bytes(row.translate(_times(power)), "little")
    return total


def _weight(seat: int, seats: Mapping[int, bytes]) -> int:
    """Lagrange's weight of a seat at 0: the product of other / (other - seat); in this field minus is XOR."""
    above, below = 1, 1
    for other in seats:
        if other != seat:
            above = _times(other)[above]
            below = _times(other ^ seat)[below]
    return _times(above)[_inverse(below)]


def _inverse(value: int) -> int:
    """The byte that `value` multiplies to 1; 0 has none and never arrives here, since seats differ."""
    return _times(value).index(1)


@lru_cache(maxsize=256)
def _times(factor: int) -> bytes:
    """The table that multiplies every byte by a factor. There are 256 of them, 64 KiB in all."""
    return bytes(_multiply(value, factor) for value in range(256))


def _multiply(left: int, right: int) -> int:
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left > 255:
            left ^= _FIELD
        right >>= 1
    return product
