"""FHIR Consent R4 in its two dialects, normalised to rules that `decide()` understands.

HL7's examples state the base in `policyRule` (OPTIN, OPTOUT) and what differs in the root provision; IHE PCF and HL7
FAST state the base in the root provision's `type`. Nested provisions are exceptions in both. What cannot be computed (a
contradiction, an unknown modifierExtension, an actor nobody can resolve, a reference to single data) is reported, and
the consent then denies the scope that it certainly covers, or new sharing if none is certain, until somebody has
looked.

Source: FHIR R4 6.2 Consent; IHE ITI Privacy Consent on FHIR 1.1; HL7 FAST Consent Management.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from salus.contracts.consent import ClearRule, Effect, Reader
from salus.contracts.consent.purposes import PARENTS
from salus.core.ids import DAY_MS, FhirType, MemberId, Purpose, TimeMs
from salus.core.wire import replace
from salus.fhir.dates import instant_ms

BASES = {"OPTIN": Effect.PERMIT, "OPTINR": Effect.PERMIT, "OPTOUT": Effect.DENY, "OPTOUTE": Effect.DENY}
RECIPIENTS = frozenset({"PRCP", "IRCP", "INF"})
SOURCES = frozenset({"CST", "AUT"})
READING = frozenset({"access", "use", "disclose"})
DEPTH_MAX = 4

Resolve = Callable[[str], Reader | None]
"""Who a reference names, as a reader; none where nobody knows."""
NewRuleId = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Normalised:
    """A consent as a rule, and what could not be computed of it."""

    rule: ClearRule
    problems: tuple[str, ...]  # Codes such as `unresolvable_actor`; empty where everything was understood.


@dataclass(slots=True)
class _Reading:
    resolve: Resolve
    new_id: NewRuleId
    problems: list[str] = field(default_factory=list)


def normalise(consent: Mapping[str, Any], resolve: Resolve, new_id: NewRuleId) -> Normalised:
    """Read a Consent resource. Never raises for what it says: what is not understood denies."""
    reading = _Reading(resolve, new_id)
    if "modifierExtension" in consent:
        reading.problems.append("unknown_modifier_extension")
    if consent.get("status") != "active":
        reading.problems.append("not_active")
    root: Mapping[str, Any] = consent.get("provision") or {}
    rule = _rule(_base(consent), root, reading)
    if not reading.problems:
        return Normalised(rule, ())
    return Normalised(_certain_denial(rule, reading), tuple(dict.fromkeys(reading.problems)))


def _base(consent: Mapping[str, Any]) -> Effect | None:
    codings = (consent.get("policyRule") or {}).get("coding") or []
    return next((BASES[coding["code"]] for coding in codings if coding.get("code") in BASES), None)


def _rule(base: Effect | None, root: Mapping[str, Any], reading: _Reading) -> ClearRule:
    stated = _effect(root)
    if base is None and stated is None:
        reading.problems.append("no_base")
        return _provision(root, Effect.DENY, reading, 0)
    if base is None or stated is base:
        assert stated is not None
        return _provision(root, stated, reading, 0)
    whole = ClearRule(rule_id=reading.new_id(), effect=base)
    if not root:
        return whole
    return replace(whole, exceptions=(_provision(root, _opposite(base), reading, 1),))


def _provision(provision: Mapping[str, Any], effect: Effect, reading: _Reading, depth: int) -> ClearRule:
    """One provision with its exceptions."""
    if "modifierExtension" in provision:
        reading.problems.append("unknown_modifier_extension")
    if provision.get("data"):
        reading.problems.append("single_data")
    actions = {code for one in provision.get("action") or [] for code in _codes(one)}
    if actions and not actions & READING:
        reading.problems.append("action_is_not_reading")
    readers, authors = _actors(provision, reading)
    since, until = _period(provision.get("period"), reading)
    data_since, data_until = _data_period(provision.get("dataPeriod"), reading)
    types, groups = _content(provision, reading)
    exceptions: list[ClearRule] = []
    for nested in provision.get("provision") or []:
        inner = _effect(nested) or _opposite(effect)
        if inner is effect:
            reading.problems.append("exception_repeats_its_base")
        if depth >= DEPTH_MAX:
            reading.problems.append("too_deep")
            break
        exceptions.append(_provision(nested, inner, reading, depth + 1))
    return ClearRule(
        rule_id=reading.new_id(),
        effect=effect,
        readers=readers,
        purposes=_purposes(provision, reading),
        terms=groups,
        data_since=data_since,
        data_until=data_until,
        fhir_types=types,
        authors=authors,
        since=since,
        until=until,
        exceptions=tuple(exceptions),
    )


def _actors(provision: Mapping[str, Any], reading: _Reading) -> tuple[tuple[Reader, ...], tuple[MemberId, ...]]:
    readers: list[Reader] = []
    authors: list[MemberId] = []
    for actor in provision.get("actor") or []:
        roles = _codes(actor.get("role") or {})
        known = reading.resolve((actor.get("reference") or {}).get("reference") or "")
        if known is None:
            reading.problems.append("unresolvable_actor")
        elif roles & RECIPIENTS:
            readers.append(known)
        elif roles & SOURCES and known.member is not None:
            authors.append(known.member)
        else:
            reading.problems.append("unknown_actor_role")
    return tuple(readers), tuple(authors)


def _purposes(provision: Mapping[str, Any], reading: _Reading) -> tuple[Purpose, ...]:
    codes = [coding.get("code", "") for coding in provision.get("purpose") or []]
    if any(code not in PARENTS for code in codes):
        reading.problems.append("unknown_purpose")
    return tuple(Purpose(code) for code in codes if code in PARENTS)


def _content(
    provision: Mapping[str, Any], reading: _Reading
) -> tuple[tuple[FhirType, ...], tuple[tuple[str, ...], ...]]:
    """FHIR types, and groups of terms: labels, then codes. A class that is no FHIR type cannot be computed."""
    classes = provision.get("class") or []
    types = [one.get("code", "") for one in classes if str(one.get("system", "")).endswith("resource-types")]
    if len(types) < len(classes):
        reading.problems.append("unknown_class")
    labels = tuple(_label(one) for one in provision.get("securityLabel") or [])
    codes = tuple(
        f"code:{coding.get('system', '')}|{coding.get('code', '')}"
        for concept in provision.get("code") or []
        for coding in concept.get("coding") or []
    )
    return tuple(FhirType(one) for one in types), tuple(group for group in (labels, codes) if group)


def _label(coding: Mapping[str, Any]) -> str:
    kind = "confidentiality" if str(coding.get("system", "")).endswith("v3-Confidentiality") else "label"
    return f"{kind}:{coding.get('code', '')}"


def _period(period: Mapping[str, Any] | None, reading: _Reading) -> tuple[TimeMs | None, TimeMs | None]:
    """When a provision is in force: milliseconds, the end being the first moment after the period."""
    if not period:
        return None, None
    since = None if "start" not in period else instant_ms(str(period["start"]))
    until = None if "end" not in period else instant_ms(str(period["end"]))
    if ("start" in period and since is None) or ("end" in period and until is None):
        reading.problems.append("unreadable_period")
        return None, None
    if until is not None and len(str(period["end"])) == len("2026-01-01"):
        until += DAY_MS  # A day means all of it.
    if since is not None and until is not None and since >= until:
        reading.problems.append("empty_period")
        return None, None
    return since, until


def _data_period(period: Mapping[str, Any] | None, reading: _Reading) -> tuple[date | None, date | None]:
    """When the data is from: whole days, the end being the first day after the period."""
    if not period:
        return None, None
    try:
        since = date.fromisoformat(str(period["start"])[:10]) if "start" in period else None
        until = date.fromisoformat(str(period["end"])[:10]) if "end" in period else None
    except ValueError:
        reading.problems.append("unreadable_period")
        return None, None
    after = None if until is None else date.fromordinal(until.toordinal() + 1)
    if since is not None and after is not None and since >= after:
        reading.problems.append("empty_period")
        return None, None
    return since, after


def _certain_denial(rule: ClearRule, reading: _Reading) -> ClearRule:
    """The scope that the consent certainly covers, denied; everything, if the root says nothing certain.

    A reader, a purpose or a time that was not understood would make the denial too narrow, so only what the data itself
    is narrows it: its types, terms and authors.
    """
    return ClearRule(
        rule_id=reading.new_id(),
        effect=Effect.DENY,
        terms=rule.terms if "unknown_class" not in reading.problems else (),
        fhir_types=rule.fhir_types if "unknown_class" not in reading.problems else (),
        authors=rule.authors if "unresolvable_actor" not in reading.problems else (),
    )


def _effect(provision: Mapping[str, Any]) -> Effect | None:
    stated = provision.get("type")
    return Effect(stated) if stated in ("permit", "deny") else None


def _opposite(effect: Effect) -> Effect:
    return Effect.DENY if effect is Effect.PERMIT else Effect.PERMIT


def _codes(concept: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(coding.get("code", "") for coding in concept.get("coding") or [])
