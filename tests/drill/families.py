"""What every family of attacks is held to, in both ways: with its guards in place, and without each."""

from collections.abc import Collection, Mapping, Sequence
from types import ModuleType

import pytest

from salus.cli.drill.attack import ATTACKS, Outcome
from salus.cli.drill.command import carry_out
from salus.cli.drill.world import new_world
from tests.drill.patches import Patch, apply


def names_in(modules: Collection[ModuleType]) -> list[str]:
    """The attacks of these families."""
    families = {module.__name__.rsplit(".", 1)[-1] for module in modules}
    return sorted(name for name, one in ATTACKS.items() if one.family in families)


def check_table(names: Sequence[str], guards: Mapping[str, tuple[Patch, ...]]) -> None:
    """Each attack names a guard, and the table takes away this very one."""
    assert names
    for name in names:
        targets = {target.removesuffix(".__code__") for target, _ in guards[name]}
        last = ATTACKS[name].guard.rsplit(".", 1)[-1]
        assert any(target.rsplit(".", 1)[-1] == last for target in targets), name


async def outcomes_of(names: Sequence[str]) -> dict[str, Outcome]:
    """All of them, one after the other, against the code as it is."""
    return {one.name: outcome async for one, outcome in carry_out([ATTACKS[name] for name in names])}


async def outcome_without(
    name: str, guards: Mapping[str, tuple[Patch, ...]], monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    """One of them, in a fresh world, without its guard."""
    async with new_world() as world:
        apply(monkeypatch, guards[name])
        return await ATTACKS[name].carry_out(world)
