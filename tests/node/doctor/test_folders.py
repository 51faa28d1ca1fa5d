"""What is wrong with folders, keys and stores is found where it is really so, and nowhere else."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from salus.core.ids import DAY_MS
from salus.node.doctor import folders
from salus.node.folder import found, usual_names
from salus.node.keys import MADE, PUBLIC_DUTIES
from salus.node.observing.findings import KINDS
from salus.node.settings import system_clock
from tests.node.doctor.conftest import Codes

Found = Callable[[Path], Codes]
MERCY = "members/mercy"
FIRST_LIGHT = Path(__file__).parents[2] / "vectors" / "first_light.tar.xz"


def test_a_network_that_is_well_gives_nothing(folder: Path, codes: Found) -> None:
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    assert codes(folder) == set()
    after = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {"lock.mdb", "in-use.lock"}, "To look changes nothing but LMDB's table of readers."


@pytest.mark.parametrize(
    ("name", "mode", "code"),
    [
        ("keys/ledger", 0o640, "keys.open"),
        ("keys", 0o755, "keys.open"),
        ("keeper.db", 0o666, "folder.others_write"),
        ("ledger", 0o777, "folder.others_write"),
        ("", 0o775, "folder.others_write"),
    ],
)
def test_a_file_that_is_open_to_others_is_found(folder: Path, codes: Found, name: str, mode: int, code: str) -> None:
    (folder / MERCY / name).chmod(mode)
    assert codes(folder) == {(code, "mercy")}


def test_what_is_somebody_elses_is_found(folder: Path, codes: Found) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(folder / MERCY / "gateway.db", 12_345, 12_345)
    assert codes(folder) == {("folder.not_ours", "mercy")}


@pytest.mark.parametrize("duty", PUBLIC_DUTIES)
def test_a_key_that_the_ledger_does_not_name_is_found(folder: Path, codes: Found, duty: str) -> None:
    shutil.copy(folder / "members/st-luke/keys" / duty, folder / MERCY / "keys" / duty)
    assert codes(folder) == {("keys.not_on_ledger", "mercy")}


@pytest.mark.parametrize("name", ["keeper", "gateway"])
def test_a_key_that_does_not_open_its_store_is_found(folder: Path, codes: Found, name: str) -> None:
    shutil.copy(folder / f"members/st-luke/keys/{name}-kek", folder / MERCY / f"keys/{name}-kek")
    assert ("keys.kek_other", "mercy") in codes(folder)


def test_a_key_that_is_missing_damaged_or_old_is_found(folder: Path, codes: Found) -> None:
    (folder / MERCY / "keys/tls").unlink()
    (folder / "members/st-luke/keys/validator").write_bytes(bytes(31))
    old_s = (system_clock() - 500 * DAY_MS) / 1000
    (folder / "members/lakeside/keys" / MADE).unlink()  # Then the files' own times count.
    os.utime(folder / "members/lakeside/keys/sealing", (old_s, old_s))
    assert codes(folder) == {("keys.missing", "mercy"), ("keys.damaged", "st-luke"), ("keys.old", "lakeside")}


def test_a_new_key_that_is_on_the_ledger_and_not_in_use_is_found(folder: Path, codes: Found) -> None:
    keys = folder / MERCY / "keys"
    (keys / "next").mkdir(mode=0o700)
    (keys / "tls").rename(keys / "next/tls")
    shutil.copy(folder / "members/st-luke/keys/tls", keys / "tls")
    assert codes(folder) == {("keys.staged", "mercy")}


@pytest.mark.parametrize("name", ["keeper.db", "gateway.db"])
def test_a_database_of_another_format_is_found(folder: Path, codes: Found, name: str) -> None:
    with sqlite3.connect(folder / MERCY / name) as connection:
        connection.execute("UPDATE meta SET value = x'63' WHERE name = 'format'")
    connection.close()
    assert codes(folder) >= {("store.format", "mercy")}


@pytest.mark.parametrize("name", ["keeper.db", "gateway.db"])
def test_a_database_that_is_damaged_is_found(folder: Path, codes: Found, name: str) -> None:
    path = folder / MERCY / name
    data = bytearray(path.read_bytes())
    data[8_192:] = os.urandom(len(data) - 8_192)
    path.write_bytes(data)
    assert codes(folder) >= {("store.corrupt", "mercy")}


@pytest.mark.parametrize("name", ["keeper.db", "gateway.db"])
def test_a_database_that_is_gone_is_found(folder: Path, codes: Found, name: str) -> None:
    (folder / MERCY / name).unlink()
    assert codes(folder) >= {("store.gone", "mercy")}


def test_a_vault_of_another_format_is_found(folder: Path, codes: Found) -> None:
    (folder / MERCY / "vault/format").write_text("9\n")
    assert codes(folder) >= {("store.format", "mercy")}


def test_a_ledger_of_another_format_is_found(folder: Path, codes: Found) -> None:
    with (
        lmdb.open(str(folder / MERCY / "ledger"), map_size=1 << 30, max_dbs=1) as opened,
        opened.begin(write=True) as tx,
    ):
        tx.put(b"salus-store-format", b"9")
    assert codes(folder) == {("store.format", "mercy")}


def test_a_folder_of_the_first_version_is_told_what_becomes_of_it(tmp_path: Path, codes: Found) -> None:
    with tarfile.open(FIRST_LIGHT) as archive:
        archive.extractall(tmp_path / "salus", filter="data")
    assert codes(tmp_path / "salus") == {("network.older", "")}
    with tarfile.open(FIRST_LIGHT) as archive:
        archive.extractall(tmp_path / "mixed", filter="data")
    found(tmp_path / "new", usual_names(2))
    shutil.copy(tmp_path / "new/genesis", tmp_path / "mixed/genesis")
    assert ("store.older", "mercy") in codes(tmp_path / "mixed")


def test_a_ledger_that_is_gone_is_found(folder: Path, codes: Found) -> None:
    shutil.rmtree(folder / MERCY / "ledger")
    assert codes(folder) == {("store.gone", "mercy")}


def test_a_ledger_that_is_cut_short_is_found(folder: Path, codes: Found) -> None:
    path = folder / MERCY / "ledger/data.mdb"
    os.truncate(path, path.stat().st_size // 2)
    assert codes(folder) == {("store.corrupt", "mercy")}


def test_a_ledger_whose_pages_are_damaged_is_found_and_ends_nobody(folder: Path, codes: Found) -> None:
    path = folder / MERCY / "ledger/data.mdb"
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096, 2):
        data[page * 4096 : page * 4096 + 4096] = os.urandom(4096)
    path.write_bytes(data)
    assert codes(folder) == {("store.corrupt", "mercy")}


def test_a_command_that_uses_the_folder_meanwhile_is_no_fault(folder: Path, codes: Found) -> None:
    with (folder / MERCY / "ledger/in-use.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert codes(folder) == set()


def test_a_ledger_of_another_network_is_found(folder: Path, codes: Found, tmp_path: Path) -> None:
    found(tmp_path / "other", usual_names(4), chain="another")
    shutil.copy(tmp_path / "other/genesis", folder / "genesis")
    assert {code for code, _ in codes(folder)} == {"store.other_network"}


def test_a_store_on_a_server_that_is_away_is_found(folder: Path, codes: Found) -> None:
    path = folder / MERCY / "stores.toml"
    path.touch(0o600)
    path.write_text('[keeper]\nurl = "postgresql+psycopg://127.0.0.1:1/nothing"\n')
    assert codes(folder) >= {("store.away", "mercy")}
    path.chmod(0o644)
    assert codes(folder) >= {("doctor.not_checked", "mercy")}


def test_a_disk_that_is_full_is_found(folder: Path, codes: Found) -> None:
    """On a small file system of its own, where one can be mounted."""
    place = folder / MERCY
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("nothing can be mounted here")
    kept = place.with_name("kept")
    place.rename(kept)
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "salus-small", str(place)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        shutil.copytree(kept, place, dirs_exist_ok=True)
        place.chmod(0o700)
        shutil.rmtree(kept)
        assert codes(folder) == {("disk.full", "mercy")}
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_disk_that_is_nearly_full_is_found(folder: Path, codes: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage._replace(free=usage.total // 11))
    assert {code for code, _ in codes(folder)} == {"disk.low"}
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert {code for code, _ in codes(folder)} == {"disk.full"}


def test_every_kind_says_what_is_wrong_and_what_to_do() -> None:
    for code, kind in KINDS.items():
        assert kind.says, code
        assert kind.to_do, code
        assert not kind.says.endswith("."), code
        assert code.count(".") == 1
        assert code.replace(".", "").replace("_", "").isalpha()
