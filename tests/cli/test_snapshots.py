"""`salus ledger snapshots` and `salus ledger snapshot …`: what an operator types, and what they are told."""

import json
import shutil
from pathlib import Path

import pytest

from salus.cli.main import main
from tests.cli.conftest import Shell


@pytest.fixture
def own(shell: Shell) -> Shell:
    """A network of the module's; what is made in it goes again."""
    shutil.rmtree(shell.folder / "network" / "snapshots", ignore_errors=True)
    return shell


def test_there_is_none_until_one_is_made(own: Shell) -> None:
    assert own.run("ledger", "snapshots")[1].startswith("There is no snapshot here.")
    made = own.json("ledger", "snapshot", "make", "--member", "st-luke")
    (one,) = own.json("ledger", "snapshots")["snapshots"]  # type: ignore[misc]
    assert one == made
    assert one["has_proof"] is True
    code, out, _ = own.run("ledger", "snapshots")
    assert (code, "by hand" in out, str(one["hash"])[:16] in out) == (0, True, True)
    assert own.run("ledger", "snapshot", "prune", "--keep", "0")[1] == "1 snapshot deleted.\n"
    assert own.json("ledger", "snapshots") == {"snapshots": []}


def test_members_make_the_same_and_a_damaged_one_is_told(own: Shell) -> None:
    for name in ("mercy", "northgate"):
        own.json("ledger", "snapshot", "make", "--member", name, "--to", name)
    places = [str(next((own.folder / name).iterdir())) for name in ("mercy", "northgate")]
    assert own.json("ledger", "snapshot", "compare", *places)["same"] is True
    piece = Path(places[0]) / "000000"
    piece.write_bytes(piece.read_bytes() + b"\0")
    code, out, _ = own.run("ledger", "snapshot", "compare", *places)
    assert code == 1
    assert "DAMAGED" in out
    assert "a piece is damaged, 0" in out


def test_states_that_differ_are_told(own: Shell) -> None:
    home = ["--home", str(own.folder / "network")]
    place = Path(str(own.json("ledger", "snapshot", "make")["folder"]))
    other = own.folder / "other"
    assert main(["new", "--home", str(other)]) == 0
    while True:
        assert main(["patient", "new", "--writer", "mercy", "--home", str(other), "--json"]) == 0
        own.capture()
        assert main(["ledger", "snapshot", "make", "--home", str(other), "--json"]) == 0
        made = json.loads(own.capture()[0].splitlines()[-1])
        if made["height"] >= int(place.name):
            break
    theirs = Path(made["folder"])
    if theirs.name != place.name:
        pytest.skip("the two networks met at no height")
    assert main(["ledger", "snapshot", "compare", str(place), str(theirs), *home]) == 1
    assert "NOT THE SAME" in own.capture()[0].decode()


def test_a_lost_ledger_is_put_back_by_what_a_person_types(own: Shell) -> None:
    place = str(own.json("ledger", "snapshot", "make", "--member", "st-luke")["folder"])
    ledger = own.folder / "network" / "members" / "mercy" / "ledger"
    assert own.run("ledger", "snapshot", "restore", place, "--to", str(ledger), "--member", "mercy")[0] == 3
    shutil.rmtree(ledger)
    code, out, _ = own.run("ledger", "snapshot", "restore", place, "--to", str(ledger), "--member", "mercy")
    assert code == 0
    assert "the one that the members signed" in out
    assert own.run("doctor")[:2] == (0, "mercy, st-luke, lakeside, northgate, at rest: all is well.\n")
    assert own.run("ledger", "check", "--member", "mercy")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("make", "--member", "nobody"), 3, "[cli.unknown_member]"),
        (("restore", "nowhere", "--to", "new"), 6, "[engine.snapshot]"),
        (("restore", "nowhere", "--to", "new", "--checkpoint", "nowhere"), 5, "[cli.file]"),
    ],
)
def test_what_cannot_be_done_is_said(own: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    found, _, err = own.run("ledger", "snapshot", *words)
    assert (found, said in err) == (code, True)
