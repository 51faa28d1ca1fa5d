"""A jurisdiction's pack: its statutes and defaults as data, released by governance, its root on the ledger.

A pack's rules never test terms: what the law says of a kind of data, the sealing author turns into bits and `explicit`
(`sealing.py`). The shipped packs lie in `packs/`; this room reads no disk, so callers pass the bytes.
"""

from enum import Enum
from functools import cache
from typing import Annotated

import msgspec
from msgspec import Meta

from salus.contracts.consent.errors import PackError
from salus.contracts.consent.policy import Jurisdiction
from salus.contracts.consent.purposes import PARENTS
from salus.contracts.consent.requests import ReadKind
from salus.contracts.consent.rules import Effect
from salus.contracts.records.header import Bits
from salus.core.ids import Digest, FhirType, Name, Purpose, TimeMs, Unsigned
from salus.core.wire import encode
from salus.crypto.digests import tagged

Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Sentence = Annotated[str, Meta(min_length=1, max_length=400)]


class Layer(Enum):
    """Where a pack's rule speaks. Between statute and default stands the patient."""

    IDENTITY = "identity"  # Must permit.
    STATUTE = "statute"  # Its deny yields to break-glass alone.
    DEFAULT = "default"  # Yields to the patient.


class BitName(Enum):
    """A bit of a header, as packs write it."""

    NO_BREAK_GLASS = "no_break_glass"
    NO_PROXY = "no_proxy"
    NO_REDISCLOSURE = "no_redisclosure"
    RESTRICTED = "restricted"


# Packs are written and reviewed by people, hence JSON objects by name, not positional arrays.
class _Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a pack file holds."""


class PackRule(_Page, frozen=True):
    """One rule of law. A field that is empty or null does not constrain."""

    id: Identifier
    layer: Layer
    effect: Effect
    citation: Sentence
    sentence: Sentence
    kinds: tuple[ReadKind, ...] = ()
    roles: tuple[str, ...] = ()
    members: tuple[Name, ...] = ()
    own: bool | None = None  # Whether the reader's member is the record's author.
    purposes: tuple[Purpose, ...] = ()
    fhir_types: tuple[FhirType, ...] = ()
    with_bits: tuple[BitName, ...] = ()  # All of them set.
    without_bits: tuple[BitName, ...] = ()  # None of them set.
    since: TimeMs | None = None  # Time of decision, half-open.
    until: TimeMs | None = None
    obligations: tuple[str, ...] = ()
    names_explicit: bool = False  # Lets the author read what others may only after the patient named it.


class LabelRule(_Page, frozen=True):
    """What a sensitivity label adds to a record when its author seals it."""

    label: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9]{1,15}$")]
    citation: Sentence
    sentence: Sentence
    bits: tuple[BitName, ...] = ()
    explicit: bool = False  # A permit must name the label.


class Pack(_Page, frozen=True):
    """All that a jurisdiction adds to what patients say."""

    jurisdiction: Jurisdiction
    version: Unsigned
    emergency_roles: tuple[str, ...]
    rules: tuple[PackRule, ...]
    labels: tuple[LabelRule, ...]


def read_pack(data: bytes) -> Pack:
    """Read a pack file.

    Raises:
        PackError: not a pack; an id or label twice; an unknown purpose; an empty period; or `names_explicit` on a rule
            that is not a default permit for the author's own reading.
    """
    try:
        pack = msgspec.json.decode(data, type=Pack)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PackError(reason="not a pack") from None
    if len({rule.id for rule in pack.rules}) != len(pack.rules):
        raise PackError(reason="rule id twice")
    if len({rule.label for rule in pack.labels}) != len(pack.labels):
        raise PackError(reason="label twice")
    for rule in pack.rules:
        _check(rule)
    return pack


def pack_root(pack: Pack) -> Digest:
    """What the ledger holds of a pack. The layout of the file does not enter."""
    return tagged("consent.pack/1", encode(pack))


@cache
def bits_of(names: tuple[BitName, ...]) -> Bits:
    """Names as the header's bits."""
    bits = Bits(0)
    for name in names:
        bits |= Bits[name.name]
    return bits


def _check(rule: PackRule) -> None:
    if any(purpose not in PARENTS for purpose in rule.purposes):
        raise PackError(reason="unknown purpose", rule=rule.id)
    if rule.since is not None and rule.until is not None and rule.since >= rule.until:
        raise PackError(reason="empty period", rule=rule.id)
    own_default = rule.layer is Layer.DEFAULT and rule.effect is Effect.PERMIT and rule.own is True
    if rule.names_explicit and not own_default:
        raise PackError(reason="names_explicit is for the author's own reading", rule=rule.id)
