"""A decision made as far as it can be without terms: for one reader, one author, one type and one set of bits.

`plan_for` walks the layers in the order of `decide.py`; what is left to a record's terms is the patient's rules.
"""

from dataclasses import dataclass

from salus.contracts.consent.answers import Answer, Bound, answer, bind, of_type, words_of
from salus.contracts.consent.identity import identity_fault
from salus.contracts.consent.layers import Kin, LayerAnswer, layer_answer
from salus.contracts.consent.pack import Layer, Pack
from salus.contracts.consent.policy import PolicySet
from salus.contracts.consent.purposes import BTG
from salus.contracts.consent.reasons import Decision, Reason, ReasonCode
from salus.contracts.consent.requests import ReadKind, ReadRequest
from salus.contracts.consent.rules import Effect, Rule
from salus.contracts.records.header import Bits
from salus.core.ids import MemberId, TimeMs, Token

NO_REDISCLOSURE = "NORDSCLCD"  # HL7 v3 ActCode: no redisclosure without a consent directive.
TELL_PATIENT = "tell-patient"
REVIEW = "review"


def _deny(*reasons: Reason) -> Decision:
    return Decision(Effect.DENY, (), tuple(sorted(reasons, key=lambda reason: (reason.code.value, reason.rule))))


def _permit(obligations: frozenset[str], *reasons: Reason) -> Decision:
    ordered = tuple(sorted(reasons, key=lambda reason: (reason.code.value, reason.rule)))
    return Decision(Effect.PERMIT, tuple(sorted(obligations)), ordered)


WRONG_SUBJECT = _deny(Reason(ReasonCode.WRONG_SUBJECT))
_NOT_NAMED = _deny(Reason(ReasonCode.NOT_NAMED))


@dataclass(frozen=True, slots=True)
class Said:
    """The patient's rules that speak to one reader, at one moment, of one author's records."""

    rules: tuple[tuple[Rule, Bound], ...]
    words: frozenset[Token]  # All that they could match.


@dataclass(frozen=True, slots=True)
class Plan:
    """What remains to be asked of a record."""

    settled: Decision | None  # Set where terms cannot matter.
    rules: tuple[tuple[Rule, Bound], ...] = ()
    words: frozenset[Token] = frozenset()  # No other terms of a record can matter.
    duties: frozenset[str] = frozenset()  # Bound to every permit by the law.
    silence: Decision = WRONG_SUBJECT  # What holds where the patient is silent,
    silence_if_explicit: Decision = WRONG_SUBJECT  # and where the record must be named as well.

    def settle(self, terms: frozenset[Token], explicit: tuple[Token, ...]) -> Decision:
        """The decision for a record with these blinded terms; those among `words` suffice."""
        if self.settled is not None:
            return self.settled
        answers = [(rule, said) for rule, bound in self.rules if (said := answer(bound, terms)) is not None]
        permits = [(rule, said) for rule, said in answers if said.effect is Effect.PERMIT]
        set_aside = {rule.supersedes for rule, _ in permits}
        denies = [(r, said) for r, said in answers if said.effect is Effect.DENY and r.rule_id not in set_aside]
        if denies:
            return _deny(*(_refusal(rule, said) for rule, said in denies))
        if permits and all(any(token in said.names for _, said in permits) for token in explicit):
            duties = self.duties.union(*(said.obligations for _, said in permits))
            return _permit(duties, *(Reason(ReasonCode.PATIENT_PERMITS, rule.rule_id.hex()) for rule, _ in permits))
        # Permits that leave something unnamed count as silence, so that giving one never takes access away.
        silence = self.silence_if_explicit if explicit else self.silence
        return _NOT_NAMED if permits and not silence.permitted else silence


def said_to(policy: PolicySet, request: ReadRequest, at: TimeMs, author: MemberId) -> Said:
    """Bind the patient's rules: the costly step, the same for all types and bits of an author's records."""
    tried = ((rule, bind(rule, request, at, author=author)) for rule in policy.rules)
    rules = tuple((rule, bound) for rule, bound in tried if bound is not None)
    return Said(rules, frozenset[Token]().union(*(words_of(bound) for _, bound in rules)))


def plan_for(
    policy: PolicySet, packs: tuple[Pack, ...], request: ReadRequest, kin: Kin, at: TimeMs, said: Said
) -> Plan:
    """Walk the layers for these records, as far as that goes without terms. `said` is for their author."""
    fault = identity_fault(policy, packs, request, kin.bits, at)
    if fault is not None:
        return Plan(_deny(Reason(fault)))
    if request.kind is ReadKind.PATIENT:  # Their right, which no pack takes away.
        return Plan(_permit(frozenset(), Reason(ReasonCode.OWN_RECORD)))
    identity = layer_answer(packs, Layer.IDENTITY, request, kin, at)
    if identity.effect is Effect.DENY:
        return Plan(_deny(*identity.reasons(ReasonCode.IDENTITY_DENIES)))
    if identity.effect is None:
        return Plan(_deny(Reason(ReasonCode.IDENTITY_SILENT)))
    duties = identity.obligations | ({NO_REDISCLOSURE} if kin.bits & Bits.NO_REDISCLOSURE else frozenset())
    if request.purpose == BTG:
        return Plan(_break_glass(kin.bits, duties))
    return _weigh(said, packs, request, kin, at, duties)


def _break_glass(bits: Bits, duties: frozenset[str]) -> Decision:
    if bits & Bits.NO_BREAK_GLASS:
        return _deny(Reason(ReasonCode.CLOSED_TO_BREAK_GLASS))
    return _permit(duties | {TELL_PATIENT, REVIEW}, Reason(ReasonCode.BREAK_GLASS))


def _weigh(
    said: Said, packs: tuple[Pack, ...], request: ReadRequest, kin: Kin, at: TimeMs, duties: frozenset[str]
) -> Plan:
    statute = layer_answer(packs, Layer.STATUTE, request, kin, at)
    if statute.effect is Effect.DENY:
        return Plan(_deny(*statute.reasons(ReasonCode.STATUTE_DENIES)))
    default = layer_answer(packs, Layer.DEFAULT, request, kin, at)
    tried = ((rule, of_type(bound, kin.fhir_type)) for rule, bound in said.rules)
    return Plan(
        None,
        tuple((rule, bound) for rule, bound in tried if bound is not None),
        said.words,
        duties,
        _silence(statute, default, duties),
        _silence_if_explicit(statute, default, duties),
    )


def _silence(statute: LayerAnswer, default: LayerAnswer, duties: frozenset[str]) -> Decision:
    if statute.effect is Effect.PERMIT:
        return _permit(duties | statute.obligations, *statute.reasons(ReasonCode.STATUTE_PERMITS))
    if default.effect is Effect.DENY:
        return _deny(*default.reasons(ReasonCode.DEFAULT_DENIES))
    if default.effect is Effect.PERMIT:
        return _permit(duties | default.obligations, *default.reasons(ReasonCode.DEFAULT_PERMITS))
    return _deny(Reason(ReasonCode.NOBODY_PERMITS))


def _silence_if_explicit(statute: LayerAnswer, default: LayerAnswer, duties: frozenset[str]) -> Decision:
    if default.effect is Effect.PERMIT and default.names_explicit:
        return _permit(duties | default.obligations, *default.reasons(ReasonCode.DEFAULT_PERMITS))
    usual = _silence(statute, default, duties)
    return _NOT_NAMED if usual.permitted else usual


def _refusal(rule: Rule, said: Answer) -> Reason:
    code = ReasonCode.RULE_LACKS_TOKENS if said.lacks_tokens else ReasonCode.PATIENT_DENIES
    return Reason(code, rule.rule_id.hex())
