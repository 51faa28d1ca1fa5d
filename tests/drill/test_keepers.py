"""Keepers, dealers and logs that lie are named; without the check that names them, they get through."""

import pytest

from salus.cli.drill import dealers, keepers, logs, restored
from tests.drill.families import check_table, names_in, outcome_without, outcomes_of
from tests.drill.guards_keepers import GUARDS

NAMES = names_in((keepers, dealers, logs, restored))


def test_every_attack_has_its_guard_in_the_table() -> None:
    check_table(NAMES, GUARDS)


async def test_no_lie_gets_through() -> None:
    outcomes = await outcomes_of(NAMES)
    assert list(outcomes) == NAMES
    assert {name: one for name, one in outcomes.items() if one.result == "SUCCEEDED"} == {}


async def test_a_lying_keeper_is_named_and_the_reader_has_everything_all_the_same() -> None:
    outcomes = await outcomes_of(names_in((keepers,)))
    named = [one.evidence for one in outcomes.values() if one.result == "detected"]
    assert len(named) == len(outcomes) - 1, "all but the pooled keepers, who are refused"
    assert all(keepers.LIAR in evidence for evidence in named)


@pytest.mark.parametrize("name", NAMES)
async def test_a_lie_gets_through_without_its_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await outcome_without(name, GUARDS, monkeypatch)
    assert outcome.result == "SUCCEEDED", outcome.evidence
