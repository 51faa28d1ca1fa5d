"""A policy that cannot mean what it says is refused, in the order the docstring gives."""

import pytest

from salus.contracts.consent import (
    AuthorTerms,
    Effect,
    PolicySet,
    Rule,
    Writer,
    check_policy,
    commitment,
    device_handle,
    is_subject_of,
    is_writer,
    proxy_handle,
    subject_handle,
    writers_without_tokens,
)
from salus.contracts.consent.errors import (
    AuthorTermsError,
    DepthError,
    GroupError,
    PeriodError,
    PurposeError,
    RuleCountError,
    RuleIdError,
    SupersedesError,
)
from salus.contracts.consent.policy import RULES_MAX
from salus.core.errors import MalformedError
from salus.core.ids import Purpose
from salus.core.wire import decode, encode, replace
from tests.contracts.consent.world import AT, MERCY, MOTHER, PHONE, RIGA, policy_with

TOKEN = bytes(16)
MERCYS = AuthorTerms(MERCY, ((TOKEN,),))


def rule(number: int, **fields: object) -> Rule:
    return replace(Rule(number.to_bytes(16, "big"), Effect.PERMIT), **fields)


def nested(depth: int, **fields: object) -> Rule:
    return rule(100 + depth, exceptions=(nested(depth - 1, **fields),)) if depth else rule(99, **fields)


REFUSED: list[tuple[tuple[Rule, ...], type[MalformedError]]] = [
    ((nested(5),), DepthError),
    (tuple(rule(n) for n in range(RULES_MAX + 1)), RuleCountError),
    ((rule(1), rule(1)), RuleIdError),
    ((rule(1, exceptions=(rule(1),)),), RuleIdError),
    ((rule(1, supersedes=rule(1).rule_id),), SupersedesError),
    ((rule(2), rule(1, exceptions=(rule(3, supersedes=rule(2).rule_id),))), SupersedesError),
    ((rule(1, purposes=(Purpose("CURIOSITY"),)),), PurposeError),
    ((rule(1, since=5, until=5),), PeriodError),
    ((rule(1, terms=(MERCYS, MERCYS)),), AuthorTermsError),
    ((rule(1, terms=(MERCYS, AuthorTerms(RIGA, ((TOKEN,), (TOKEN,))))),), AuthorTermsError),
    ((rule(1, terms=(AuthorTerms(MERCY, ()),)),), GroupError),
    ((rule(1, terms=(AuthorTerms(MERCY, ((),)),)),), GroupError),
    # Where two apply, the first wins; and what is wrong deep inside is found too.
    ((nested(5, purposes=(Purpose("CURIOSITY"),)), rule(99)), DepthError),
    ((rule(1, purposes=(Purpose("CURIOSITY"),), since=5, until=5),), PurposeError),
    ((nested(4, since=6, until=5),), PeriodError),
]


@pytest.mark.parametrize(("rules", "error"), REFUSED)
def test_check_policy_refuses(rules: tuple[Rule, ...], error: type[MalformedError]) -> None:
    with pytest.raises(error):
        check_policy(policy_with(rules))


def test_check_policy_accepts_four_levels_of_exceptions_and_a_superseded_rule_that_is_gone() -> None:
    accepted = policy_with((nested(4), rule(1, supersedes=b"gone-long-ago---")))
    check_policy(accepted)
    assert decode(PolicySet, encode(accepted)) == accepted


def test_the_commitment_changes_with_every_field() -> None:
    policy = policy_with((rule(1),))
    others = [
        replace(policy, chain="other"),
        replace(policy, version=2),
        replace(policy, salt=b"s" * 32),
        replace(policy, rules=()),
        replace(policy, writers=()),
        replace(policy, custodian=MERCY),
        replace(policy, also=(TOKEN,)),
        replace(policy, memo=b"m"),
        replace(policy, handle_salt=b"h" * 32),
    ]
    assert len({commitment(policy), *(commitment(other) for other in others)}) == 10


def test_a_handle_belongs_to_one_cell_and_one_salt() -> None:
    cell, salt = bytes(16), b"h" * 32
    policy = replace(policy_with(()), cell=cell, handle_salt=salt, subject=subject_handle(cell, salt))
    assert is_subject_of(policy)
    assert not is_subject_of(replace(policy, cell=b"c" * 16))
    assert not is_subject_of(replace(policy, handle_salt=bytes(32)))


@pytest.mark.parametrize(("at", "writes"), [(9, True), (10, False)])
def test_a_writer_until_a_date_writes_before_it(at: int, writes: bool) -> None:
    assert is_writer(replace(policy_with(()), writers=(Writer(MERCY, 10),)), MERCY, at) is writes


def test_a_stranger_is_no_writer() -> None:
    assert not is_writer(replace(policy_with(()), writers=(Writer(MERCY),)), RIGA, AT)


def test_keys_stand_for_a_device_or_a_proxy_only_while_they_may() -> None:
    policy = policy_with((), proxy_until=60)
    phone, mother = policy.devices[0].key, policy.proxies[0].key
    assert (device_handle(policy, phone), device_handle(policy, mother)) == (PHONE, None)
    assert device_handle(replace(policy, custodian=MERCY), phone) is None
    assert (proxy_handle(policy, mother, 59), proxy_handle(policy, mother, 60)) == (MOTHER, None)
    assert proxy_handle(policy, phone, 59) is None


def test_a_new_writer_is_without_tokens_until_all_rules_are_blinded_again() -> None:
    spoken = rule(1, exceptions=(rule(2, terms=(MERCYS,)),))
    assert writers_without_tokens(policy_with((spoken, rule(3)))) == {"st-luke", RIGA}
    assert writers_without_tokens(policy_with((rule(3),))) == frozenset()
