"""`salus drill`: what it runs, what it prints, and how it ends."""

import json

import pytest
import typer
from typer.testing import CliRunner

from salus.cli.drill.attack import Attack, Outcome, Result
from salus.cli.drill.command import all_attacks, carry_out, drill
from salus.cli.drill.world import World
from tests.drill.guards import GUARDS
from tests.drill.patches import apply

app = typer.Typer()
app.command()(drill)
runner = CliRunner()


def test_an_unknown_attack_is_a_usage_error() -> None:
    result = runner.invoke(app, ["no such attack"])
    assert result.exit_code == 2
    assert "no such attack" in result.output


def test_an_attack_that_succeeds_makes_the_command_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    apply(monkeypatch, GUARDS["forged signature"])
    result = runner.invoke(app, ["forged signature", "stranger's key on a cell", "--json"])
    assert result.exit_code == 1
    attacks = json.loads(result.output.splitlines()[-1])["attacks"]
    assert [one["result"] for one in attacks] == ["SUCCEEDED", "refused"]


def test_an_attack_that_cannot_be_carried_out_counts_as_success(monkeypatch: pytest.MonkeyPatch) -> None:
    apply(monkeypatch, GUARDS["expired transaction"])
    apply(monkeypatch, [("salus.cli.drill.ledger._is_revoked", lambda world, credential: False)])
    result = runner.invoke(app, ["expired transaction", "--json"])
    assert result.exit_code == 1
    assert "could not be carried out" in result.output


async def test_a_world_is_shared_until_an_attack_harms_it_or_breaks_through() -> None:
    worlds: list[World] = []

    def entered(result: Result, *, is_harmful: bool = False) -> Attack:
        async def carry(world: World) -> Outcome:
            worlds.append(world)
            return Outcome(result, "")

        return Attack("name", "guard", carry, is_harmful)

    attacks = [
        entered("refused"),
        entered("refused"),
        entered("detected", is_harmful=True),
        entered("SUCCEEDED"),
        entered("refused"),
    ]
    assert len([one async for one in carry_out(attacks)]) == len(attacks)
    first, second, harmed, broken, last = worlds
    assert first is second
    assert len({id(world) for world in (first, harmed, broken, last)}) == 4


def test_json_ends_with_name_result_and_evidence_of_each_attack() -> None:
    result = runner.invoke(app, ["forged signature", "--json"])
    assert result.exit_code == 0
    expected = {"name": "forged signature", "result": "refused", "evidence": "machine.bad_signature"}
    assert json.loads(result.output.splitlines()[-1]) == {"attacks": [expected]}


def test_people_see_a_line_for_each_attack_and_a_sum() -> None:
    result = runner.invoke(app, ["transaction of another chain"])
    assert result.exit_code == 0
    assert "refused" in result.output
    assert "1 attacks, 0 succeeded" in result.output


def test_list_names_every_attack_with_its_guard_and_runs_none() -> None:
    result = runner.invoke(app, ["--list", "--json"])
    listed = json.loads(result.output)["attacks"]
    assert [one["name"] for one in listed] == [one.name for one in all_attacks()]
    assert all(one["guard"].startswith("salus.") for one in listed)
