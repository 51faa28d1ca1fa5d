"""Each promise of the threat model names the attacks that show it, and no attack shows nothing."""

import re
from pathlib import Path

import pytest

from salus.cli.drill.command import all_attacks, chosen
from tests.drill.guards import GUARDS
from tests.drill.guards_keepers import GUARDS as KEEPERS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "threat-model.md").read_text()
TABLE = PAGE.split("## Promises")[1].split("## Not promised")[0]
ROWS = re.findall(r"^\| (?!promise|---)(.+?) \| (.+) \|$", TABLE, re.MULTILINE)


@pytest.mark.parametrize(("promise", "attacks"), ROWS, ids=[promise for promise, _ in ROWS])
def test_every_promise_names_attacks_of_the_drill_by_their_names(promise: str, attacks: str) -> None:
    names = re.findall(r"`(.+?)`", attacks)
    assert names
    assert ", ".join(f"`{name}`" for name in names) == attacks
    assert {one.name for one in chosen(names)} == set(names)


def test_every_attack_shows_a_promise_and_none_is_named_twice() -> None:
    named = [name for _, attacks in ROWS for name in re.findall(r"`(.+?)`", attacks)]
    assert sorted(named) == sorted(one.name for one in all_attacks())


def test_every_attack_also_runs_without_its_guard() -> None:
    assert {one.name for one in all_attacks()} == GUARDS.keys() | KEEPERS.keys()
