"""What holds of every policy, pack, reader and record: `decide` against its slow reference, and against itself."""

import random
from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salus.contracts.consent import (
    ClearRule,
    Decider,
    Effect,
    Pack,
    PolicySet,
    ReadRequest,
    Rule,
    blind_rule,
    decide,
    narrows,
    without,
)
from salus.contracts.records.header import Header
from salus.core.ids import MemberId
from salus.core.wire import replace
from tests.contracts.consent.reference import reference_effect
from tests.contracts.consent.strategies import (
    MEETINGS,
    Meeting,
    clear_rules,
    packs,
    records,
    requests,
    rule_sets,
    wordy_rules,
)
from tests.contracts.consent.world import (
    KEYS,
    MEMBERS,
    PACKS,
    PLACES,
    ClearRecord,
    header_of,
    policy_of,
    policy_with,
)

few_times = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
moments = st.sampled_from((39, 40, 49, 50, 55, 60, 1000))
writers = st.sets(st.sampled_from(MEMBERS))


def both(packs: dict[str, Pack], request: ReadRequest, author: MemberId) -> tuple[Pack, ...]:
    return tuple(packs[place] for place in sorted({request.jurisdiction, PLACES[author]}))


def blinded(rules: tuple[ClearRule, ...], members: Iterable[MemberId] = MEMBERS) -> tuple[Rule, ...]:
    keys = {member: KEYS[member] for member in sorted(members)}
    return tuple(blind_rule(rule, keys) for rule in rules)


def opened(rules: tuple[Rule, ...], packs: dict[str, Pack] = PACKS) -> set[Meeting]:
    """The meetings in which the reader gets the record."""
    policy = policy_with(rules)
    return {m for m, header in zip(MEETINGS, HEADERS, strict=True) if _opens(policy, packs, m, header)}


def _opens(policy: PolicySet, packs: dict[str, Pack], m: Meeting, header: Header) -> bool:
    return decide(policy, both(packs, m.request, m.record.author), m.request, header, m.at).permitted


def opened_in_clear(rules: tuple[ClearRule, ...], packs: dict[str, Pack] = PACKS) -> set[Meeting]:
    """The same, by the slow reference."""
    return {
        m
        for m in MEETINGS
        if reference_effect(policy_of(), rules, both(packs, m.request, m.record.author), *m) is Effect.PERMIT
    }


HEADERS = tuple(header_of(meeting.record) for meeting in MEETINGS)


@given(rule_sets(), packs())
@few_times
def test_a_blinded_decision_equals_the_clear_one_where_rules_carry_the_authors_tokens(
    rules: tuple[ClearRule, ...], packs: dict[str, Pack]
) -> None:
    assert opened(blinded(rules), packs) == opened_in_clear(rules, packs)


@given(rule_sets(each=wordy_rules()) | rule_sets(), st.sets(st.sampled_from(MEMBERS), max_size=1))
@few_times
def test_a_blinded_decision_is_never_wider_where_rules_lack_tokens(
    rules: tuple[ClearRule, ...], members: set[MemberId]
) -> None:
    assert opened(blinded(rules, members)) <= opened_in_clear(rules)


@given(rule_sets(), clear_rules(depth=0, effect=Effect.DENY), writers)
@few_times
def test_adding_a_deny_never_widens(rules: tuple[ClearRule, ...], deny: ClearRule, members: set[MemberId]) -> None:
    old = blinded(rules, members)
    new = (*old, *blinded((replace(deny, rule_id=b"an-added-deny---"),), members))
    assert narrows(policy_with(old), policy_with(new))
    assert opened(new) <= opened(old)


@given(rule_sets(), writers)
@few_times
def test_removing_a_permit_never_widens(rules: tuple[ClearRule, ...], members: set[MemberId]) -> None:
    old = blinded(rules, members)
    set_aside = {rule.supersedes for rule in old}
    before = opened(old)
    for permit in (rule for rule in old if rule.effect is Effect.PERMIT):
        new = without(old, permit.rule_id)
        assert set_aside.isdisjoint(rule.rule_id for rule in permit.exceptions)
        assert narrows(policy_with(old), policy_with(new))
        assert opened(new) <= before


@given(rule_sets(most=3), st.data())
@few_times
def test_whatever_counts_as_narrowing_never_widens(rules: tuple[ClearRule, ...], data: st.DataObject) -> None:
    old = blinded(rules)
    kept = tuple(rule for rule in old if data.draw(st.booleans(), label="kept"))
    new = (*kept, *(refusal for rule in old if rule not in kept for refusal in rule.exceptions))
    if narrows(policy_with(old), policy_with(new)):
        assert opened(new) <= opened(old)


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
        policy, rules=_shuffled(policy.rules, chance), version=9, salt=b"s" * 32, guardians=(bytes(16),), memo=b"memo"
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
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
