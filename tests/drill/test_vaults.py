"""What vaults and disks change is found, and mended from another vault; without the check it is taken for true."""

import pytest

from salus.cli.drill import stores, vaults
from tests.drill.families import check_table, names_in, outcome_without, outcomes_of
from tests.drill.guards_keepers import GUARDS

NAMES = names_in((vaults, stores))


def test_every_attack_has_its_guard_in_the_table() -> None:
    check_table(NAMES, GUARDS)


async def test_what_vaults_lose_is_healed_and_what_disks_change_is_detected() -> None:
    outcomes = await outcomes_of(NAMES)
    assert {name: outcomes[name].result for name in names_in((vaults,))} == dict.fromkeys(names_in((vaults,)), "healed")
    assert {name: outcomes[name].result for name in names_in((stores,))} == dict.fromkeys(
        names_in((stores,)), "detected"
    )


@pytest.mark.parametrize("name", NAMES)
async def test_a_changed_byte_is_taken_for_true_without_its_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await outcome_without(name, GUARDS, monkeypatch)
    assert outcome.result == "SUCCEEDED", outcome.evidence
