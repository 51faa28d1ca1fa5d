"""Rules as sentences, and how a custodian takes one back without widening."""

from datetime import date

import pytest

from salus.cli.errors import PastError
from salus.cli.rules import Said, check_period, rule_of, sentence, without
from salus.contracts.consent import ClearRule, Effect, Reader, blind_rule
from salus.contracts.consent.errors import PeriodError
from salus.contracts.consent.narrowing import without as without_blinded
from salus.core.wire import replace

KEYS = {"mercy": (b"k" * 32,), "st-luke": (b"l" * 32, b"older" * 6)}
SAID = Said(
    Effect.PERMIT,
    readers=(Reader(member="st-luke"),),
    purposes=("TREAT",),
    excepts=("label:PSY", "label:HIV"),
    data_since="2019",
    ends=1_809_129_600_000,
)


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(PeriodError):
        check_period(Said(Effect.PERMIT, data_since="2020", data_until="2019"), now=0)


def test_a_rule_that_is_over_before_it_begins_is_refused() -> None:
    with pytest.raises(PastError):
        check_period(SAID, now=1_809_129_600_000)
    check_period(SAID, now=1_809_129_599_999)


def test_a_grant_reads_as_it_was_meant() -> None:
    assert sentence(rule_of(SAID)) == (
        "st-luke may use all records for TREAT (treatment) with data since 2019-01-01, until 2027-05-01, "
        "except records of label:PSY (mental health) or records of label:HIV (HIV)."
    )


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ClearRule(bytes(16), Effect.DENY), "Anyone may not use all records."),
        (
            ClearRule(bytes(16), Effect.PERMIT, readers=(Reader(role="researcher"),), fhir_types=("Observation",)),
            "Every researcher anywhere may use Observation records.",
        ),
        (
            ClearRule(bytes(16), Effect.DENY, readers=(Reader(member="a", role="clerk"),), authors=("b", "c")),
            "Every clerk at a may not use all records written by b or c.",
        ),
        (
            ClearRule(bytes(16), Effect.PERMIT, terms=(("label:SUD",),), data_until=date(2020, 1, 1), since=0),
            "Anyone may use records of label:SUD (substance use) with data before 2020-01-01, from 1970-01-01.",
        ),
    ],
)
def test_a_rule_reads_as_a_sentence(rule: ClearRule, text: str) -> None:
    assert sentence(rule) == text


def test_an_owner_takes_back_the_whole_rule() -> None:
    rule = rule_of(SAID)
    assert without((rule,), rule, keeps_refusals=False) == ()


def test_a_deny_taken_back_leaves_nothing_behind() -> None:
    rule = rule_of(Said(Effect.DENY, excepts=("label:PSY",)))
    assert without((rule,), rule, keeps_refusals=True) == ()


@pytest.mark.parametrize(
    "rule",
    [
        rule_of(SAID),
        rule_of(Said(Effect.PERMIT, only=("label:SUD",), excepts=("label:PSY",), authors=("mercy",))),
        replace(
            rule_of(SAID),
            exceptions=(
                ClearRule(
                    b"1" * 16, Effect.PERMIT, exceptions=(ClearRule(b"2" * 16, Effect.DENY, authors=("mercy",)),)
                ),
                ClearRule(b"3" * 16, Effect.DENY, data_until=date(2021, 6, 1), purposes=("COC",)),
                ClearRule(b"4" * 16, Effect.DENY, fhir_types=("Observation",)),
            ),
        ),
    ],
    ids=["a grant as typed", "a named label", "exceptions within exceptions"],
)
def test_what_a_custodian_takes_back_keepers_see_as_narrowing(rule: ClearRule) -> None:
    kept = rule_of(Said(Effect.PERMIT, purposes=("COC",)))
    left = without((kept, rule), rule, keeps_refusals=True)
    blinded = tuple(blind_rule(one, KEYS) for one in (kept, rule))
    assert tuple(blind_rule(one, KEYS) for one in left) == without_blinded(blinded, rule.rule_id)
