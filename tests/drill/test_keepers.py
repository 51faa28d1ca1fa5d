"""Keepers, dealers and logs that lie are named; without the check that names them, they get through."""

import pytest

from salus.cli.drill import dealers, epochs, keepers, logs, restored, successors
from tests.drill.families import check_table, names_in, outcome_without, outcomes_of
from tests.drill.guards_keepers import GUARDS

NAMES = names_in((keepers, dealers, epochs, successors, logs, restored))


def test_every_attack_has_its_guard_in_the_table() -> None:
    check_table(NAMES, GUARDS)


async def test_no_lie_gets_through_and_each_liar_is_named() -> None:
    outcomes = await outcomes_of(NAMES)
    assert list(outcomes) == NAMES
    assert {name: one for name, one in outcomes.items() if one.result == "SUCCEEDED"} == {}
    for module, liar in ((keepers, keepers.LIAR), (dealers, dealers.DEALER), (logs, logs.LIAR)):
        for name in names_in((module,)):
            is_whole_log_checked = (
                name == "log entry rewritten in the store"
            )  # By the keeper's own check, not a reader.
            assert outcomes[name].result != "detected" or liar in outcomes[name].evidence or is_whole_log_checked, name


@pytest.mark.parametrize("name", NAMES)
async def test_a_lie_gets_through_without_its_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await outcome_without(name, GUARDS, monkeypatch)
    assert outcome.result == "SUCCEEDED", outcome.evidence
