"""A second, slow `decide`, written from the design's words over clear terms and real dates: the judge of the first."""

from salus.contracts.consent import ClearRule, Effect, Pack, PolicySet, Reader, ReadKind, ReadRequest
from salus.contracts.consent.pack import BitName, Layer, PackRule
from salus.contracts.consent.purposes import PARENTS
from salus.contracts.records.header import Bits
from salus.core.ids import Purpose, TimeMs
from tests.contracts.consent.world import ClearRecord

PERMIT, DENY = Effect.PERMIT, Effect.DENY
Verdict = tuple[Effect | None, frozenset[str]]


def covers(named: Purpose, asked: Purpose, effect: Effect) -> bool:
    """Does a rule that names this purpose reach the one asked?"""
    if named == asked:
        return True
    special = {"ETREAT", "BTG"} | ({"CLINTRL", "POPHLTH"} if effect is PERMIT else set())
    parent = PARENTS.get(asked)
    return asked not in special and parent is not None and covers(named, parent, effect)


def is_reader(reader: Reader, ask: ReadRequest) -> bool:
    staff = ask.kind is ReadKind.CLINICIAN
    checks = [
        (reader.member, staff and reader.member == ask.member),
        (reader.role, staff and reader.role in ask.roles),
        (reader.credential, staff and reader.credential == ask.credential),
        (reader.handle, reader.handle == ask.handle),
    ]
    return all(holds for wanted, holds in checks if wanted is not None)


def matches(rule: ClearRule, ask: ReadRequest, record: ClearRecord, at: TimeMs) -> bool:
    dated = rule.data_since is not None or rule.data_until is not None
    if dated and record.day is None and rule.effect is PERMIT:
        return False
    if dated and record.day is not None:
        if rule.data_since is not None and record.day < rule.data_since:
            return False
        if rule.data_until is not None and record.day >= rule.data_until:
            return False
    return (
        (rule.since is None or at >= rule.since)
        and (rule.until is None or at < rule.until)
        and (not rule.readers or any(is_reader(reader, ask) for reader in rule.readers))
        and (not rule.purposes or any(covers(p, ask.purpose, rule.effect) for p in rule.purposes))
        and (not rule.fhir_types or record.fhir_type in rule.fhir_types)
        and (not rule.authors or record.author in rule.authors)
        and all(any(term in record.terms for term in group) for group in rule.terms)
    )


def verdict(rule: ClearRule, ask: ReadRequest, record: ClearRecord, at: TimeMs) -> Verdict:
    if not matches(rule, ask, record, at):
        return None, frozenset()
    named = frozenset(term for group in rule.terms for term in group) if rule.effect is PERMIT else frozenset()
    inner = [v for v in (verdict(e, ask, record, at) for e in rule.exceptions) if v[0] is not None]
    if not inner:
        return rule.effect, named
    if any(effect is DENY for effect, _ in inner):
        return DENY, frozenset()
    return PERMIT, named.union(*(names for _, names in inner))


def pack_rule_matches(rule: PackRule, ask: ReadRequest, record: ClearRecord, at: TimeMs) -> bool:
    has = {name for name in BitName if record.bits & Bits[name.name]}
    return (
        (rule.since is None or at >= rule.since)
        and (rule.until is None or at < rule.until)
        and (not rule.kinds or ask.kind in rule.kinds)
        and (not rule.roles or bool(set(rule.roles) & set(ask.roles)))
        and (not rule.members or ask.member in rule.members)
        and (rule.own is None or rule.own == (ask.member == record.author))
        and (not rule.purposes or any(covers(p, ask.purpose, rule.effect) for p in rule.purposes))
        and (not rule.fhir_types or record.fhir_type in rule.fhir_types)
        and set(rule.with_bits) <= has
        and not set(rule.without_bits) & has
    )


def layer(packs: tuple[Pack, ...], which: Layer, ask: ReadRequest, record: ClearRecord, at: TimeMs) -> Effect | None:
    answers = []
    for pack in packs:
        effects = {r.effect for r in pack.rules if r.layer is which and pack_rule_matches(r, ask, record, at)}
        answers.append(DENY if DENY in effects else PERMIT if PERMIT in effects else None)
    return DENY if DENY in answers else PERMIT if set(answers) == {PERMIT} else None


def own_is_named(packs: tuple[Pack, ...], ask: ReadRequest, record: ClearRecord, at: TimeMs) -> bool:
    return all(any(r.names_explicit and pack_rule_matches(r, ask, record, at) for r in pack.rules) for pack in packs)


def patient_answer(rules: tuple[ClearRule, ...], ask: ReadRequest, record: ClearRecord, at: TimeMs) -> Verdict:
    said = [(rule, *verdict(rule, ask, record, at)) for rule in rules]
    set_aside = {rule.supersedes for rule, effect, _ in said if effect is PERMIT}
    if any(effect is DENY and rule.rule_id not in set_aside for rule, effect, _ in said):
        return DENY, frozenset()
    permits = [names for _, effect, names in said if effect is PERMIT]
    return (PERMIT, frozenset[str]().union(*permits)) if permits else (None, frozenset())


def reference_effect(
    policy: PolicySet,
    rules: tuple[ClearRule, ...],
    packs: tuple[Pack, ...],
    ask: ReadRequest,
    record: ClearRecord,
    at: TimeMs,
) -> Effect:
    """Permit or deny, by the design's section on consent; `rules` are the policy's, in clear."""
    if ask.kind is ReadKind.PATIENT:
        own = policy.custodian is None and any(d.handle == ask.handle for d in policy.devices)
        return PERMIT if own and not ask.held and ask.purpose != "BTG" else DENY
    if ask.kind is ReadKind.PROXY:
        live = any(p.handle == ask.handle and (p.until is None or at < p.until) for p in policy.proxies)
        if not live or ask.held or record.bits & Bits.NO_PROXY or ask.purpose == "BTG":
            return DENY
    if ask.kind is ReadKind.CLINICIAN and ask.credential is None:
        return DENY
    if layer(packs, Layer.IDENTITY, ask, record, at) is not PERMIT:
        return DENY
    if ask.purpose == "BTG":
        role = all(set(ask.roles) & set(pack.emergency_roles) for pack in packs)
        return PERMIT if role and ask.reason.strip() and not record.bits & Bits.NO_BREAK_GLASS else DENY
    if layer(packs, Layer.STATUTE, ask, record, at) is DENY:
        return DENY
    effect, names = patient_answer(rules, ask, record, at)
    if effect is DENY or (effect is PERMIT and names >= record.explicit):
        return effect
    default = layer(packs, Layer.DEFAULT, ask, record, at)
    if record.explicit:
        return PERMIT if default is PERMIT and own_is_named(packs, ask, record, at) else DENY
    return (
        PERMIT
        if PERMIT in (layer(packs, Layer.STATUTE, ask, record, at), default)
        and (default is not DENY or layer(packs, Layer.STATUTE, ask, record, at) is PERMIT)
        else DENY
    )
