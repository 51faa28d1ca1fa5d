"""What holds of every policy, pack, reader and record: `decide` against its slow reference, and against itself."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salus.contracts.consent import (
    ClearRule,
    Decider,
    Effect,
    Pack,
    ReadRequest,
    Rule,
    blind_rule,
    decide,
    narrows,
    without,
)
from salus.contracts.consent.decide import Decision
from salus.core.ids import MemberId, TimeMs
from salus.core.wire import replace
from tests.contracts.consent.reference import reference_effect
from tests.contracts.consent.strategies import clear_rules, packs, records, requests, rule_sets
from tests.contracts.consent.world import (
    KEYS,
    MEMBERS,
    PLACES,
    ClearRecord,
    header_of,
    policy_of,
    policy_with,
)

few_times = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
moments = st.sampled_from((39, 40, 49, 50, 55, 60, 1000))
writers = st.sets(st.sampled_from(MEMBERS))


def both(packs: dict[str, Pack], request: ReadRequest, author: MemberId) -> tuple[Pack, ...]:
    return tuple(packs[place] for place in sorted({request.jurisdiction, PLACES[author]}))


def judge(
    rules: tuple[Rule, ...], packs: dict[str, Pack], request: ReadRequest, record: ClearRecord, at: TimeMs
) -> Decision:
    return decide(policy_with(rules), both(packs, request, record.author), request, header_of(record), at)


def blinded(rules: tuple[ClearRule, ...], members: set[MemberId] | None = None) -> tuple[Rule, ...]:
    keys = {member: KEYS[member] for member in (MEMBERS if members is None else sorted(members))}
    return tuple(blind_rule(rule, keys) for rule in rules)


@given(rule_sets(), packs(), requests(), records, moments)
@few_times
def test_a_blinded_decision_equals_the_clear_one_where_rules_carry_the_authors_tokens(
    rules: tuple[ClearRule, ...], packs: dict[str, Pack], request: ReadRequest, record: ClearRecord, at: int
) -> None:
    clear = reference_effect(policy_of(), rules, both(packs, request, record.author), request, record, at)
    assert judge(blinded(rules), packs, request, record, at).effect is clear


@given(rule_sets(), packs(), requests(), records, moments, writers)
@few_times
def test_a_blinded_decision_is_never_wider_where_rules_lack_tokens(
    rules: tuple[ClearRule, ...],
    packs: dict[str, Pack],
    request: ReadRequest,
    record: ClearRecord,
    at: int,
    members: set[MemberId],
) -> None:
    clear = reference_effect(policy_of(), rules, both(packs, request, record.author), request, record, at)
    held = judge(blinded(rules, members), packs, request, record, at)
    assert not held.permitted or clear is Effect.PERMIT


@given(rule_sets(), clear_rules(depth=0, effect=Effect.DENY), packs(), requests(), records, moments, writers)
@few_times
def test_adding_a_deny_never_widens(
    rules: tuple[ClearRule, ...],
    deny: ClearRule,
    packs: dict[str, Pack],
    request: ReadRequest,
    record: ClearRecord,
    at: int,
    members: set[MemberId],
) -> None:
    old = blinded(rules, members)
    new = (*old, *blinded((replace(deny, rule_id=b"an-added-deny---"),), members))
    assert narrows(policy_with(old), policy_with(new))
    assert judge(old, packs, request, record, at).permitted or not judge(new, packs, request, record, at).permitted


@given(rule_sets(), packs(), requests(), records, moments, writers, st.integers(0, 3))
@few_times
def test_removing_a_permit_never_widens(
    rules: tuple[ClearRule, ...],
    packs: dict[str, Pack],
    request: ReadRequest,
    record: ClearRecord,
    at: int,
    members: set[MemberId],
    which: int,
) -> None:
    old = blinded(rules, members)
    permits = [rule for rule in old if rule.effect is Effect.PERMIT]
    if not permits:
        return
    new = without(old, permits[which % len(permits)].rule_id)
    wider = judge(new, packs, request, record, at).permitted and not judge(old, packs, request, record, at).permitted
    assert narrows(policy_with(old), policy_with(new))
    assert not wider


@given(rule_sets(), rule_sets(), packs(), requests(), records, moments)
@few_times
def test_whatever_counts_as_narrowing_never_widens(
    first: tuple[ClearRule, ...],
    second: tuple[ClearRule, ...],
    packs: dict[str, Pack],
    request: ReadRequest,
    record: ClearRecord,
    at: int,
) -> None:
    old = blinded(first)
    new = (*old[: len(second)], *(rule for rule in blinded(second) if rule.rule_id not in {r.rule_id for r in old}))
    if narrows(policy_with(old), policy_with(new)):
        assert judge(old, packs, request, record, at).permitted or not judge(new, packs, request, record, at).permitted


@given(rule_sets(), packs(), requests(), records, moments, st.randoms(use_true_random=False))
@few_times
def test_order_and_unrelated_facts_never_matter(
    rules: tuple[ClearRule, ...],
    packs: dict[str, Pack],
    request: ReadRequest,
    record: ClearRecord,
    at: int,
    chance: random.Random,
) -> None:
    policy = policy_with(blinded(rules))
    usual = decide(policy, both(packs, request, record.author), request, header_of(record), at)
    other_policy = replace(
        policy, rules=_shuffled(policy.rules, chance), version=9, salt=b"s" * 32, guardians=(bytes(16),)
    )
    other_packs = tuple(
        replace(pack, rules=tuple(chance.sample(pack.rules, len(pack.rules))), version=8)
        for pack in reversed(both(packs, request, record.author))
    )
    other_request = replace(
        request,
        history=True,
        reason="other words" if request.reason.strip() else "",
        roles=tuple(reversed(request.roles)),
    )
    other_header = replace(
        header_of(record, index=7, padding=b"other"), size_bytes=99, key_com=b"k" * 32, blobs=(b"b" * 32,) * 2
    )
    padded_twice = replace(other_header, explicit=(*other_header.explicit, *other_header.explicit))
    assert decide(other_policy, other_packs, other_request, padded_twice, at) == usual


@given(rule_sets(), packs(), st.lists(requests(), min_size=1, max_size=3), st.lists(records, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_remembered_decision_equals_a_fresh_one_at_every_moment(
    rules: tuple[ClearRule, ...], packs: dict[str, Pack], asked: list[ReadRequest], clear: list[ClearRecord]
) -> None:
    policy = policy_with(blinded(rules), proxy_until=57)
    decider = Decider(policy, packs, PLACES)
    headers = [header_of(record, index=n) for n, record in enumerate(clear)]
    for at in (60, 39, 40, 44, 45, 49, 50, 54, 55, 56, 57, 59, 60, 50):
        for request in asked:
            fresh = [decide(policy, both(packs, request, h.record.author), request, h, at) for h in headers]
            assert decider.decide_all(request, headers, at) == fresh


def _shuffled(rules: tuple[Rule, ...], chance: random.Random) -> tuple[Rule, ...]:
    def mixed(rule: Rule) -> Rule:
        fields = {
            name: tuple(chance.sample(getattr(rule, name), len(getattr(rule, name))))
            for name in ("readers", "purposes", "fhir_types", "authors")
        }
        return replace(rule, exceptions=_shuffled(rule.exceptions, chance), **fields)

    return tuple(mixed(rule) for rule in chance.sample(rules, len(rules)))
