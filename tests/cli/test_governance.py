"""Proposals and votes by members' operators, for people and for programs."""

import json
from pathlib import Path

import pytest

from salus.cli import sample
from salus.cli.main import main
from salus.contracts.consent import pack_root, read_pack
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


# What a vote should not overlook.


def other_pack(folder: Path, name: str) -> tuple[Path, str]:
    """A pack for a place that has none yet, as a file, and its root."""
    said = json.loads((Path(__file__).parents[2] / "src/salus/contracts/consent/packs/us.json").read_bytes())
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**said, "jurisdiction": name}))
    return path, pack_root(read_pack(path.read_bytes())).hex()


def kept(own: Shell) -> Path:
    return own.folder / "network" / "packs"


def test_a_vote_for_a_pack_that_is_not_here_says_so_and_takes_the_file(own: Shell) -> None:
    path, root = other_pack(own.folder, "uk")
    wrong, _ = other_pack(own.folder, "fr")
    id = str(own.json("propose", "pack", str(path), "--as", "mercy")["id"])
    assert own.json("proposals")["proposals"][0]["lacks_packs"] == []  # type: ignore[index]
    (kept(own) / f"{root}.json").unlink()  # As with members on machines of their own.
    done, out, err = own.run("vote", id, "--as", "st-luke")
    assert (done, "It is open" in out) == (0, True)
    assert f"lacks the uk pack with root {root[:8]}" in err
    assert own.run("vote", id, "--as", "lakeside", "--pack", str(wrong))[0] == 3
    assert list(kept(own).iterdir()) == []
    told = own.json("vote", id, "--as", "lakeside", "--pack", str(path))
    assert (told["standing"], told["lacks_packs"]) == ("executed", [])
    assert (kept(own) / f"{root}.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("name", "code"), [("fr", "cli.other_pack"), ("mine", "consent.bad_pack")])
def test_a_vote_takes_no_other_file_as_its_pack(own: Shell, name: str, code: str) -> None:
    path, _ = other_pack(own.folder, "uk")
    file, _ = other_pack(own.folder, "fr")
    if name == "mine":
        file.write_bytes(b"{}")
    id = str(own.json("propose", "pack", str(path), "--as", "mercy")["id"])
    _, out, _ = own.run("vote", id, "--as", "st-luke", "--pack", str(file), "--json")
    assert json.loads(out.splitlines()[-1])["error"]["code"] == code
    assert own.json("proposals")["proposals"][0]["approvals"] == ["mercy"]  # type: ignore[index]


def test_a_member_that_goes_with_its_seats_and_leaves_batches_behind_is_told_of(own: Shell) -> None:
    report = own.json("import", str(sample.FOLDER))
    gone, count = "northgate", int(report["by_member"]["northgate"])  # type: ignore[index]
    assert count > 0
    words = ("propose", "remove-member", gone, "--successor", "lakeside", "--fewer-seats", "--as", "mercy")
    done, _, err = own.run(*words)
    assert done == 0
    assert "once it is gone, a successor does this" in " ".join(err.split())
    told = own.json("proposals")["proposals"][0]  # type: ignore[index]
    assert told["left_behind"][gone] > 0  # type: ignore[call-overload]

    # In good order: the seats first, then what was dealt to them, then the member.
    own.json("propose", "cancel", str(told["id"]), "--as", "mercy")
    committee = own.json("members")["committees"][0]["id"]  # type: ignore[index]
    others = ("mercy", "st-luke", "lakeside")
    seats = [word for name in others for word in ("--seat", name)]
    id = str(own.json("propose", "seats", committee[:6], *seats, "--as", "mercy")["id"])
    for name in ("st-luke", "lakeside"):
        own.json("vote", id, "--as", name)
    for _ in range(5):
        if not own.json("members")["committees"][0]["behind"]:  # type: ignore[index]
            break
    done, _, err = own.run(*words)
    assert (done, err) == (0, "")
