"""`salus doctor`: exit codes, both forms of what it says, and nothing of a patient in either."""

import json
from pathlib import Path

import pytest

from salus.cli import sample
from salus.cli.home import found_home
from salus.cli.main import main
from salus.node.observing.findings import KINDS
from tests.cli.test_up import up
from tests.observing.day import found_in, needles, words_of


def test_a_folder_without_a_network_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--home", str(tmp_path)]) == 3
    assert "[node.no_network]" in capfd.readouterr().err
    (tmp_path / "genesis").write_bytes(b"no genesis")
    assert main(["doctor", "--home", str(tmp_path)]) == 6
    assert "[node.not_a_network]" in capfd.readouterr().err


def test_what_is_wrong_is_said_with_a_command_that_mends_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    found_home(folder)
    key = folder / "members" / "mercy" / "keys" / "tls"
    key.chmod(0o644)
    assert main(["doctor", "--home", str(folder)]) == 1
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "error: mercy: others may read its keys: keys/tls has mode 644. [keys.open]"
    assert said[1].strip() == f"chmod 600 {key}"
    assert said[2] == "mercy, st-luke, lakeside, northgate, at rest: 1 finding."
    key.chmod(int(said[1].split()[1], 8))
    assert main(["doctor", "--home", str(folder)]) == 0
    assert capfd.readouterr().out == "mercy, st-luke, lakeside, northgate, at rest: all is well.\n"


def test_a_network_that_is_up_is_examined_beside_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    found_home(folder)
    with up(folder):
        assert main(["doctor", "--json", "--home", str(folder)]) == 0
        said = json.loads(capfd.readouterr().out)
        (folder / "members" / "mercy" / "keeper.db").chmod(0o666)
        assert main(["doctor", "--json", "--home", str(folder)]) == 1
        found = json.loads(capfd.readouterr().out)
    assert (said["well"], said["up"], said["findings"]) == (True, True, [])
    (one,) = found["findings"]
    assert (one["severity"], one["code"], one["member"]) == ("error", "folder.others_write", "mercy")
    assert set(one) == {"severity", "code", "member", "part", "what", "to_do"}


def test_nothing_of_a_patient_is_said_whatever_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    assert main(["new", "--home", str(folder)]) == 0
    assert main(["import", str(sample.FOLDER), "--home", str(folder)]) == 0
    hidden = needles(folder)
    for pack in (folder / "members" / "mercy" / "vault" / "packs").rglob("*"):
        if pack.is_file():
            pack.unlink()
    (folder / "members" / "st-luke" / "keys" / "keeper-kek").write_bytes(bytes(32))
    (folder / "members" / "lakeside" / "gateway.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    (folder / "members" / "northgate" / "ledger" / "data.mdb").write_bytes(b"")
    capfd.readouterr()
    said = {}
    for form in ([], ["--json"]):
        assert main(["doctor", *form, "--home", str(folder)]) == 1
        said[f"doctor {form}"] = capfd.readouterr().out.encode()
    assert b"vault.copy_missing" in said["doctor []"]
    assert len(json.loads(said["doctor ['--json']"])["findings"]) >= 4
    texts = {"kinds": " ".join(f"{kind.says} {kind.to_do}" for kind in KINDS.values()).encode()}
    assert found_in(said, hidden, words_of(texts)) == set()
