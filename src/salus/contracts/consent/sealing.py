"""What the law of the author's place adds to a record, asked once, when the author seals it.

The author blinds `explicit` like its terms and pads it by repetition, which changes no decision (`padded`).
"""

from dataclasses import dataclass

from salus.contracts.consent.pack import Pack, bits_of
from salus.contracts.records.header import Bits
from salus.core.ids import Token

_RANK = "ULMNRV"  # HL7 v3 Confidentiality, from unrestricted to very restricted.
_EXPLICIT_BUCKET = 4


@dataclass(frozen=True, slots=True)
class SealFacts:
    """In clear, for the author alone: terms that permits must name, and the header's bits."""

    explicit: tuple[str, ...]
    bits: Bits


def seal_facts(pack: Pack, labels: frozenset[str], confidentiality: frozenset[str]) -> SealFacts:
    """What follows from a record's sensitivity labels (`PSY`, with their ancestors) and confidentiality codes.

    The codes of all that the record contains count, as a high-water mark; none, or an unknown one, is restricted.
    """
    matching = tuple(rule for rule in pack.labels if rule.label in labels)
    bits = Bits(0) if _is_open(confidentiality) else Bits.RESTRICTED
    for rule in matching:
        bits |= bits_of(rule.bits)
    return SealFacts(tuple(sorted(f"label:{rule.label}" for rule in matching if rule.explicit)), bits)


def padded(explicit: tuple[Token, ...]) -> tuple[Token, ...]:
    """Tokens sorted and repeated up to a multiple of four, so that their number tells less."""
    ordered = tuple(sorted(set(explicit)))
    missing = -len(ordered) % _EXPLICIT_BUCKET
    return tuple(sorted((*ordered, *ordered[-1:] * missing)))


def _is_open(confidentiality: frozenset[str]) -> bool:
    return bool(confidentiality) and all(code in set(_RANK[: _RANK.index("R")]) for code in confidentiality)
