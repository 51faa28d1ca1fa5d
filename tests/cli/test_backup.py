"""`salus backup, restore, recovery-key`, as an operator gives them: every refusal by its code, then the way back."""

import json
from pathlib import Path

import pytest

from salus.cli.main import main
from salus.core.ids import MemberId
from salus.node.folder import found_apart

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network in one process with a patient, and its backup."""
    folder = tmp_path_factory.mktemp("backup")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    home = ["--home", str(folder / "home"), "--json"]
    assert main(["new", *home]) == 0
    assert main(["patient", "new", "--writer", "mercy", "--writer", "st-luke", *home]) == 0
    assert main(["backup", str(folder / "monday"), "--passphrase-file", str(folder / "passphrase"), *home]) == 0
    return folder


def asked(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    capfd.readouterr()
    code = main([*words, "--json"])
    return code, json.loads(capfd.readouterr().out.splitlines()[-1])


def code_of(said: dict[str, object]) -> object:
    error = said["error"]
    assert isinstance(error, dict)
    return error["code"]


def test_refusals_have_their_codes_and_leave_nothing_behind(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, backup, new = str(made / "passphrase"), made / "monday", str(tmp_path / "new")
    (tmp_path / "wrong").write_text("incorrect horse battery\n")
    (tmp_path / "weak").write_text("short\n")
    changed = bytearray(backup.read_bytes())
    changed[-100] ^= 1
    (tmp_path / "changed").write_bytes(bytes(changed))
    (tmp_path / "text").write_text("a shopping list")
    home = ["--home", str(made / "home")]
    for words, code, name in (
        (["restore", str(backup), "--into", new, "--passphrase-file", str(tmp_path / "wrong")], 3, "backup.passphrase"),
        (["restore", str(tmp_path / "changed"), "--into", new, "--passphrase-file", good], 6, "backup.damaged"),
        (["restore", str(tmp_path / "text"), "--into", new, "--passphrase-file", good], 4, "backup.not_a_backup"),
        (["restore", str(backup), "--into", str(made), "--passphrase-file", good], 3, "backup.not_empty"),
        (["restore", str(tmp_path / "none"), "--into", new, "--passphrase-file", good], 5, "node.folder"),
        (["restore", str(backup), "--into", new, "--passphrase-file", str(tmp_path / "none")], 5, "cli.file"),
        (["backup", new, "--passphrase-file", str(tmp_path / "weak"), *home], 3, "backup.weak_passphrase"),
        (["backup", new, "--member", "nobody", "--passphrase-file", good, *home], 3, "cli.unknown_member"),
        (["backup", str(backup), "--passphrase-file", good, *home], 5, "node.folder"),
        (["backup", new, "--passphrase-file", good, "--home", str(tmp_path / "none")], 3, "node.no_network"),
    ):
        found, said = asked(words, capfd)
        assert (found, code_of(said)) == (code, name), words
        assert not (tmp_path / "new").exists()


def test_people_read_what_to_do(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = ["--passphrase-file", str(made / "passphrase")]
    assert main(["restore", str(made / "monday"), "--into", str(tmp_path / "new"), *good]) == 0
    told = capfd.readouterr().out
    assert f"Start it with: salus up --home {tmp_path / 'new'}" in told
    assert "salus status" in told
    assert main(["restore", str(made / "monday"), "--into", str(tmp_path / "new"), *good]) == 3
    assert "Name a new folder" in capfd.readouterr().err
    assert PASSPHRASE not in told


def test_what_was_restored_knows_its_patients_and_goes_on(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    into = ["--into", str(tmp_path / "new")]
    code, said = asked(["restore", str(made / "monday"), *into, "--passphrase-file", str(made / "passphrase")], capfd)
    assert (code, said["has_ledger"], said["has_vault"], len(said["members"])) == (0, True, True, 4)  # type: ignore[arg-type]
    home = ["--home", str(tmp_path / "new")]
    assert asked(["consent", "grant", "--as", "patient:1", "--to", "lakeside", "--for", "TREAT", *home], capfd)[0] == 0
    assert main(["read", "--as", "patient:1", *home]) == 0


def test_a_backup_for_a_recovery_key_opens_with_its_secret_half_alone(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = str(tmp_path / "recovery")
    assert asked(["recovery-key", key], capfd)[0] == 0
    assert code_of(asked(["recovery-key", key], capfd)[1]) == "node.folder"  # Never over one that is there.
    home, backup = ["--home", str(made / "home")], str(tmp_path / "tuesday")
    assert asked(["backup", backup, "--recovery-key", f"{key}.pub", *home], capfd)[0] == 0
    into = ["--into", str(tmp_path / "new")]
    with_passphrase = ["restore", backup, *into, "--passphrase-file", str(made / "passphrase")]
    assert code_of(asked(with_passphrase, capfd)[1]) == "backup.passphrase"
    assert code_of(asked(["restore", backup, *into, "--recovery-key", f"{key}.pub"], capfd)[1]) == "crypto.bad_key"
    assert asked(["restore", backup, *into, "--recovery-key", key], capfd)[0] == 0


def test_one_member_that_runs_apart_goes_without_ledger_and_vault(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found_apart(tmp_path / "home", [MemberId("mercy"), MemberId("st-luke")])
    words = ["backup", str(tmp_path / "backup"), "--home", str(tmp_path / "home"), "--member", "mercy"]
    code, said = asked([*words, "--passphrase-file", str(made / "passphrase")], capfd)
    assert (code, said["members"], said["has_ledger"], said["has_vault"]) == (0, ["mercy"], False, False)
