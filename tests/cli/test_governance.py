"""Proposals and votes by members' operators, for people and for programs."""

import json
from pathlib import Path

import pytest

from salus.cli.main import main
from tests.cli.conftest import Shell


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    """Commands in a network of its own, since these change who is a member."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", "--home", str(tmp_path / "network")]) == 0
    capfdbinary.readouterr()
    return Shell(tmp_path, lambda: tuple(capfdbinary.readouterr()))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("vote", "abcdef", "--as", "mercy"), "cli.unknown_proposal"),
        (("propose", "quota", "stranger", "20000", "--as", "mercy"), "cli.unknown_member"),
        (("propose", "quota", "mercy", "20000", "--as", "stranger"), "cli.unknown_member"),
        (("propose", "quota", "mercy", "1", "--as", "mercy"), "members.quota_too_small"),
        (("propose", "remove-member", "mercy", "--successor", "st-luke", "--as", "mercy"), "cli.seats_held"),
        (("propose", "seats", "ffff", "--seat", "mercy", "--as", "mercy"), "cli.unknown_committee"),
        (("propose", "upgrade", "3", "--from", "100000", "--as", "mercy"), "members.not_next_rules"),
        (("propose", "reinstate", "mercy", "--as", "mercy"), "members.not_suspended"),
        (("propose", "pack", "nowhere.json", "--as", "mercy"), "cli.file"),
    ],
)
def test_a_command_is_refused(own: Shell, words: tuple[str, ...], code: str) -> None:
    done, out, _ = own.run(*words, "--json")
    assert json.loads(out.splitlines()[-1])["error"]["code"] == code
    assert done == (5 if code == "cli.file" else 3)
    assert own.json("proposals", "--all")["proposals"] == []


def test_an_unknown_duty_is_a_slip_of_the_pen(own: Shell) -> None:
    assert own.run("propose", "keys", "mercy", "--duty", "portal", "--as", "mercy")[0] == 2


def test_a_member_joins_and_is_shown(own: Shell) -> None:
    id = str(own.json("propose", "add-member", "southport", "--as", "mercy", "--no-validator")["id"])
    own.json("vote", id, "--as", "st-luke")
    assert own.json("vote", id, "--as", "lakeside")["standing"] == "executed"
    shown = own.json("members")
    names = {one["name"]: one["validates"] for one in shown["members"]}  # type: ignore[attr-defined]
    assert names["southport"] == "no"
    assert shown["rules"] == [{"from_height": 0, "version": 1}]
    own.json("propose", "quota", "southport", "30000", "--as", "southport")


def test_every_other_kind_can_be_proposed(own: Shell) -> None:
    pack = Path(__file__).parents[2] / "src/salus/contracts/consent/packs/us.json"
    committee = own.json("members")["committees"][0]["id"]  # type: ignore[index]
    first = own.json("propose", "validator", "northgate", "--stop", "--as", "mercy")
    words = [
        ("keys", "northgate", "--duty", "tls"),
        ("committee", "--seat", "mercy", "--seat", "st-luke"),
        ("seats", committee[:6], "--seat", "mercy"),
        ("pack", str(pack)),
        ("limits", "--block-bytes", "8388608"),
        ("upgrade", "2", "--from", "100000"),
        ("cancel", str(first["id"])),
        ("remove-member", "northgate", "--successor", "lakeside", "--fewer-seats", "--at", "100000"),
    ]
    for number, one in enumerate(words):
        made = own.json("propose", *one, "--as", ("st-luke", "lakeside")[number % 2])
        assert made["standing"] == "open"
    listed = own.json("proposals")["proposals"]
    kinds = {change["kind"] for one in listed for change in one["changes"]}  # type: ignore[attr-defined]
    assert len(kinds) == 9
