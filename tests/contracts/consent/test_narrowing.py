"""What a custodian may do at once, and what must wait because it could open something."""

import pytest

from salus.contracts.consent import Effect, PolicySet, Proxy, Reader, Rule, Writer, narrows, without
from salus.core.ids import MemberId, Purpose
from salus.core.wire import replace
from tests.contracts.consent.world import MERCY, ST_LUKE, policy_with


def rule(number: int, effect: Effect = Effect.PERMIT, **fields: object) -> Rule:
    return replace(Rule(number.to_bytes(16, "big"), effect), **fields)


DENY = Effect.DENY
GRANT = rule(1, readers=(Reader(member=ST_LUKE),), purposes=(Purpose("TREAT"),))
EXCEPT = replace(GRANT, exceptions=(rule(5, DENY, fhir_types=("Condition",)),))
OLD = policy_with((GRANT, rule(2, DENY)))

WIDENING = [
    ("a deny removed", OLD, replace(OLD, rules=(GRANT,))),
    ("a permit added", OLD, replace(OLD, rules=(*OLD.rules, rule(3)))),
    ("a permit changed", OLD, replace(OLD, rules=(replace(GRANT, purposes=()), rule(2, DENY)))),
    ("a deny changed", OLD, replace(OLD, rules=(GRANT, rule(2, DENY, until=5)))),
    ("a deny with an exception added", OLD, replace(OLD, rules=(*OLD.rules, rule(3, DENY, exceptions=(rule(4),))))),
    ("a deny that supersedes added", OLD, replace(OLD, rules=(*OLD.rules, rule(3, DENY, supersedes=rule(2).rule_id)))),
    ("a permit and its refusals removed", policy_with((EXCEPT,)), policy_with(())),
    ("a writer added", OLD, replace(OLD, writers=(*OLD.writers, Writer(MemberId("new"))))),
    ("a writer removed", OLD, replace(OLD, writers=())),
    ("a device removed", OLD, replace(OLD, devices=())),
    ("a proxy added", OLD, replace(OLD, proxies=(*OLD.proxies, Proxy(b"k" * 32, b"h" * 16)))),
    ("a custodian changed", OLD, replace(OLD, custodian=MERCY)),
    ("another handle's salt", OLD, replace(OLD, handle_salt=b"s" * 32)),
    ("another subject", OLD, replace(OLD, subject=bytes(16))),
]


@pytest.mark.parametrize(("old", "new"), [row[1:] for row in WIDENING], ids=[row[0] for row in WIDENING])
def test_this_widens(old: PolicySet, new: PolicySet) -> None:
    assert not narrows(old, new)


def test_a_deny_that_a_standing_permit_supersedes_does_not_keep_a_removed_permits_refusals() -> None:
    standing = rule(9, supersedes=rule(5).rule_id)
    old = policy_with((EXCEPT, standing))
    assert not narrows(old, replace(old, rules=without(old.rules, EXCEPT.rule_id)))


NARROWING = [
    ("nothing", OLD, OLD),
    ("version, salt and memo", OLD, replace(OLD, version=2, salt=b"s" * 32, memo=b"m")),
    ("a permit removed", OLD, replace(OLD, rules=(rule(2, DENY),))),
    ("a plain deny added", OLD, replace(OLD, rules=(*OLD.rules, rule(3, DENY, fhir_types=("Condition",))))),
    ("rules in another order", OLD, replace(OLD, rules=OLD.rules[::-1])),
    ("a permit removed, its refusals kept", policy_with((EXCEPT,)), policy_with(without((EXCEPT,), EXCEPT.rule_id))),
]


@pytest.mark.parametrize(("old", "new"), [row[1:] for row in NARROWING], ids=[row[0] for row in NARROWING])
def test_this_narrows(old: PolicySet, new: PolicySet) -> None:
    assert narrows(old, new)


def test_a_permit_taken_back_leaves_its_refusals_as_plain_denies_of_the_same_readers() -> None:
    (left,) = without((EXCEPT,), EXCEPT.rule_id)
    assert left == rule(5, DENY, readers=GRANT.readers, purposes=GRANT.purposes, fhir_types=("Condition",))
