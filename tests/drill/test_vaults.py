"""What vaults and disks change is found, and mended from another vault; without the check it is taken for true."""

import pytest

from salus.cli.drill import stores, vaults
from tests.drill.families import check_table, names_in, outcome_without, outcomes_of
from tests.drill.guards_keepers import GUARDS

NAMES = names_in((vaults, stores))


def test_every_attack_has_its_guard_in_the_table() -> None:
    check_table(NAMES, GUARDS)


async def test_no_changed_byte_is_taken_for_true() -> None:
    outcomes = await outcomes_of(NAMES)
    assert list(outcomes) == NAMES
    assert {name: one for name, one in outcomes.items() if one.result == "SUCCEEDED"} == {}


async def test_what_vaults_lose_is_healed() -> None:
    outcomes = await outcomes_of(names_in((vaults,)))
    assert {one.result for one in outcomes.values()} == {"healed"}


@pytest.mark.parametrize("name", NAMES)
async def test_a_changed_byte_is_taken_for_true_without_its_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await outcome_without(name, GUARDS, monkeypatch)
    assert outcome.result == "SUCCEEDED", outcome.evidence
