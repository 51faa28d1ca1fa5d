"""Each attack fails against the code as it is, and succeeds against the code without the guard it aims at."""

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from salus.cli.drill import authors, consents, ledger, reading, replays
from salus.cli.drill.attack import ATTACKS, Attack, MissedError, must, verdict
from salus.cli.drill.command import carry_out
from salus.cli.drill.world import World, new_world
from salus.machine.routes import ROUTES
from tests.drill.guards import GUARDS
from tests.drill.patches import apply

FAMILIES = {module.__name__.rsplit(".", 1)[-1] for module in (authors, consents, ledger, reading, replays)}
ATTACKS_HERE: Mapping[str, Attack] = {name: one for name, one in ATTACKS.items() if one.family in FAMILIES}
HARMFUL = sorted(name for name, one in ATTACKS_HERE.items() if one.is_harmful)
HARMLESS = sorted(name for name, one in ATTACKS_HERE.items() if not one.is_harmful)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world() -> AsyncIterator[World]:
    """One world for all: each attack brings the patients and people that it harms if it succeeds."""
    async with new_world() as world:
        yield world


def test_an_attack_that_missed_its_guard_has_shown_nothing() -> None:
    with pytest.raises(MissedError):
        verdict(False, said="machine.expired", expected="machine.bad_signature")
    with pytest.raises(MissedError):
        must(False, "the permit works")


def test_an_attack_has_succeeded_where_the_forbidden_thing_happened_whatever_was_said() -> None:
    assert verdict(True, said="machine.expired", expected="machine.expired").result == "SUCCEEDED"


def test_every_attack_has_the_guard_that_it_aims_at_in_the_table() -> None:
    assert set(GUARDS) == set(ATTACKS_HERE)
    for name, one in ATTACKS_HERE.items():
        targets = [target for target, _ in GUARDS[name]]
        assert any(target.removesuffix(".__code__") == one.guard for target in targets), name


def test_every_kind_of_message_is_replayed() -> None:
    named = {str(kind.__struct_config__.tag).split("/")[0] for kind in ROUTES}  # Without its version.
    kinds = {name.split(".")[1] for name in named}
    assert len(kinds) == len(named), "Two kinds of message bear one word: name their replays apart."
    assert {name.removeprefix("replay of ") for name, one in ATTACKS.items() if one.family == "replays"} == kinds


def test_every_attack_says_in_one_sentence_what_it_tries() -> None:
    for one in ATTACKS_HERE.values():
        assert one.about.endswith("."), one.name


async def test_no_attack_succeeds_against_the_code_as_it_is() -> None:
    outcomes = {one.name: outcome async for one, outcome in carry_out(list(ATTACKS_HERE.values()))}
    assert set(outcomes) == set(ATTACKS_HERE)
    assert {name: outcome for name, outcome in outcomes.items() if outcome.result != "refused"} == {}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", HARMLESS)
async def test_an_attack_succeeds_without_its_guard(
    name: str, shared_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared_world.network.tend()
    apply(monkeypatch, GUARDS[name])
    outcome = await ATTACKS[name].carry_out(shared_world)
    assert outcome.result == "SUCCEEDED", outcome.evidence


@pytest.mark.parametrize("name", HARMFUL)
async def test_a_harmful_attack_succeeds_without_its_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with new_world() as world:
        apply(monkeypatch, GUARDS[name])
        outcome = await ATTACKS[name].carry_out(world)
    assert outcome.result == "SUCCEEDED", outcome.evidence
