"""What the packs answer, layer by layer, about records that share author, type and bits. Packs never see terms.

Where author and reader live under different packs, both apply: one deny denies, and a permit needs both.
"""

from dataclasses import dataclass

from salus.contracts.consent.answers import in_force
from salus.contracts.consent.pack import Layer, Pack, PackRule, bits_of
from salus.contracts.consent.purposes import reached_by
from salus.contracts.consent.reasons import Reason, ReasonCode
from salus.contracts.consent.requests import ReadRequest
from salus.contracts.consent.rules import Effect
from salus.contracts.records.header import Bits
from salus.core.ids import FhirType, MemberId, TimeMs


@dataclass(frozen=True, slots=True)
class Kin:
    """What records share that the packs answer alike."""

    author: MemberId
    fhir_type: FhirType
    bits: Bits


@dataclass(frozen=True, slots=True)
class LayerAnswer:
    """One layer of all packs. `effect` is None where it is silent; `rules` are those that made it so."""

    effect: Effect | None
    rules: tuple[str, ...] = ()
    obligations: frozenset[str] = frozenset()
    names_explicit: bool = False

    def reasons(self, code: ReasonCode) -> tuple[Reason, ...]:
        """Each rule as a reason under this code."""
        return tuple(Reason(code, rule) for rule in self.rules)


def layer_answer(packs: tuple[Pack, ...], layer: Layer, request: ReadRequest, kin: Kin, at: TimeMs) -> LayerAnswer:
    """Permit, deny or silence of one layer."""
    matching = {
        pack.jurisdiction: tuple(r for r in pack.rules if r.layer is layer and _matches(r, request, kin, at))
        for pack in packs
    }
    denies = sorted(f"{place}/{r.id}" for place, rules in matching.items() for r in rules if r.effect is Effect.DENY)
    if denies:
        return LayerAnswer(Effect.DENY, tuple(denies))
    if not all(matching.values()):
        return LayerAnswer(None)
    permits = [rule for rules in matching.values() for rule in rules]
    return LayerAnswer(
        Effect.PERMIT,
        tuple(sorted(f"{place}/{rule.id}" for place, rules in matching.items() for rule in rules)),
        frozenset(duty for rule in permits for duty in rule.obligations),
        names_explicit=all(any(rule.names_explicit for rule in rules) for rules in matching.values()),
    )


def _matches(rule: PackRule, request: ReadRequest, kin: Kin, at: TimeMs) -> bool:
    with_bits, without_bits = bits_of(rule.with_bits), bits_of(rule.without_bits)
    return (
        in_force(rule.since, rule.until, at)
        and (not rule.kinds or request.kind in rule.kinds)
        and (not rule.roles or any(role in rule.roles for role in request.roles))
        and (not rule.members or request.member in rule.members)
        and (rule.own is None or rule.own is (request.member == kin.author))
        and (not rule.purposes or not reached_by(request.purpose, rule.effect).isdisjoint(rule.purposes))
        and (not rule.fhir_types or kin.fhir_type in rule.fhir_types)
        and kin.bits & with_bits == with_bits
        and not kin.bits & without_bits
    )
