"""Words become tokens, for every writer and every age of its records, and nothing of the words is left."""

from datetime import date

import pytest

from salus.contracts.consent import ClearRule, Effect, Reader, blind_rule
from salus.contracts.consent.errors import PeriodError
from salus.core.wire import encode
from salus.crypto.digests import blind
from tests.contracts.consent.world import KEYS, MERCY, ST_LUKE

DAY = date(2019, 5, 3)
CLEAR = ClearRule(
    bytes(16), Effect.DENY, terms=(("label:PSY", "label:HIV"),), data_since=DAY, data_until=date(2019, 5, 4)
)


def test_an_empty_time_of_the_data_is_refused() -> None:
    with pytest.raises(PeriodError):
        blind_rule(ClearRule(bytes(16), Effect.DENY, data_since=DAY, data_until=DAY), KEYS)


def test_each_writer_gets_its_own_tokens_and_no_word_is_left() -> None:
    rule = blind_rule(CLEAR, KEYS)
    assert rule.terms is not None
    assert [terms.author for terms in rule.terms] == sorted(KEYS)
    assert len({token for terms in rule.terms for group in terms.groups for token in group}) == 3 * 4
    assert b"PSY" not in encode(rule)
    assert b"2019" not in encode(rule)


@pytest.mark.parametrize(("effect", "tokens"), [(Effect.DENY, 2), (Effect.PERMIT, 1)])
def test_undated_data_is_meant_by_denies_alone(effect: Effect, tokens: int) -> None:
    rule = blind_rule(ClearRule(bytes(16), effect, data_since=DAY, data_until=date(2019, 5, 4)), KEYS)
    assert rule.terms is not None
    assert [len(terms.groups[0]) for terms in rule.terms] == [tokens] * 3


def test_a_rule_without_words_is_not_about_words_and_one_without_writers_still_is() -> None:
    assert blind_rule(ClearRule(bytes(16), Effect.PERMIT, readers=(Reader(member=ST_LUKE),)), KEYS).terms is None
    assert blind_rule(CLEAR, {}).terms == ()


def test_after_a_claim_a_writers_old_and_new_records_are_both_met() -> None:
    old, new = KEYS[MERCY][0], b"n" * 32
    rule = blind_rule(ClearRule(bytes(16), Effect.DENY, terms=(("label:PSY",),)), {MERCY: (old, new)})
    assert rule.terms is not None
    assert set(rule.terms[0].groups[0]) == {blind(old, "label:PSY"), blind(new, "label:PSY")}


def test_exceptions_are_blinded_too() -> None:
    rule = blind_rule(ClearRule(bytes(16), Effect.PERMIT, exceptions=(CLEAR,)), KEYS)
    assert rule.exceptions == (blind_rule(CLEAR, KEYS),)
