"""What seats say alike: honest answers of one height differ in their shares alone, and are then checked once.

A pattern is taken from an answer that passed every check. Another answer that is the same, byte for byte but for the
shares, would pass the same checks with the same result: only its shares are left to look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from salus.core.wire import encode
from salus.keeper.messages import Answer, BatchProof, Item

SHARE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pattern:
    """An answer without its shares. Per item: what comes before the share, where that ends, what comes after it."""

    proofs: tuple[BatchProof, ...]
    parts: list[tuple[bytes, int, bytes]]

    def shares_of(self, answer: Answer) -> list[bytes] | None:
        """The shares of an answer that says the same, in the order of its items; none if it says anything else."""
        if len(answer.items) != len(self.parts) or answer.proofs != self.proofs:
            return None
        shares: list[bytes] = []
        for data, (before, at, after) in zip(answer.items, self.parts, strict=True):
            if data[:at] != before or data[at + SHARE_BYTES :] != after:
                return None
            shares.append(data[at : at + SHARE_BYTES])
        return shares


def pattern_of(answer: Answer, items: Sequence[Item]) -> Pattern | None:
    """The pattern of an answer with these items; none where an item is not in its one encoding or its share not of 32
    bytes: where the share lies would be anyone's guess."""
    parts: list[tuple[bytes, int, bytes]] = []
    for data, item in zip(answer.items, items, strict=True):
        if len(item.share) != SHARE_BYTES or encode(item) != data:
            return None
        end = len(data) - len(encode(item.share_hashes)) - len(encode(item.obligations))
        at = end - SHARE_BYTES
        parts.append((data[:at], at, data[end:]))
    return Pattern(answer.proofs, parts)
