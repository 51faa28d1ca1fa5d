"""A folder of first light, written by that version, opens as it is; or stays as it was."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from salus.cli.actions.ledger import verify_file
from salus.cli.main import main
from salus.core.ids import MemberId
from salus.crypto import signatures
from salus.engines.check import check_folder
from salus.engines.first_light import FirstLightError
from salus.engines.lmdb_errors import FolderInUseError, StoreFormatError
from salus.engines.lmdb_store import LmdbStore
from salus.machine.routes import ROUTES
from salus.node.first_light import bring_up, is_of_first_light
from salus.node.folder import NotANetworkError, read_genesis
from salus.node.network import Network
from salus.node.settings import Settings

FOLDER = Path(__file__).parent.parent / "vectors" / "first_light.tar.xz"
MEMBERS = ("mercy", "st-luke")
BLOCKS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path / "salus", filter="data")
    return tmp_path / "salus"


def contents(folder: Path) -> dict[str, bytes]:
    """The ledgers, the genesis and the keys; LMDB's lock files come and go."""
    kept = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept if "lock" not in path.name}


def test_its_ledger_is_refused_by_its_format_where_nobody_brings_it_up(folder: Path) -> None:
    with pytest.raises(StoreFormatError) as error:
        LmdbStore(folder / "members" / "mercy" / "ledger")
    assert error.value.facts == {"found": 1, "expected": 2}
    with pytest.raises(NotANetworkError):
        read_genesis(folder)


def test_a_result_that_is_not_the_one_it_had_leaves_the_folder_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    withdrawn = next(kind for kind in ROUTES if kind.__struct_config__.tag == "records.withdraw/1")
    monkeypatch.delitem(ROUTES, withdrawn)
    with pytest.raises(FirstLightError) as error:
        bring_up(folder, signatures.verify)
    assert error.value.facts == {"height": 9}
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert is_of_first_light(folder)


def test_another_process_that_has_it_open_keeps_it(folder: Path) -> None:
    with LmdbStore(folder / "members" / "st-luke" / "ledger", form=1), pytest.raises(FolderInUseError):
        bring_up(folder, signatures.verify)
    assert is_of_first_light(folder)


@pytest.mark.parametrize("step", range(5))
def test_a_crash_on_the_way_is_done_again(folder: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Moving ledgers takes two renames a member, and the genesis one more."""
    rename, done = os.replace, []

    def dies(source: str | Path, target: str | Path) -> None:
        if Path(source).name.startswith("ledger") or Path(target).name == "genesis":
            if len(done) == step:
                raise KeyboardInterrupt
            done.append(target)
        rename(source, target)

    monkeypatch.setattr(os, "replace", dies)
    monkeypatch.setattr(Path, "replace", lambda self, target: dies(self, target))
    with pytest.raises(KeyboardInterrupt):
        bring_up(folder, signatures.verify)
    monkeypatch.undo()
    assert is_of_first_light(folder)
    assert bring_up(folder, signatures.verify) == BLOCKS
    assert not is_of_first_light(folder)
    assert not [path for path in folder.rglob("*.next") if path.name.startswith("ledger")]


async def test_it_opens_whole_and_goes_on(folder: Path) -> None:
    async with Network(folder, Settings(tend_every_s=None)) as network:
        assert [member.name for member in network.members] == list(MEMBERS)
        genesis = network.genesis
    for name in MEMBERS:
        report = check_folder(folder / "members" / name / "ledger", MemberId(name), genesis)
        assert report.differences == []
        assert (report.height >= BLOCKS, report.transactions) == (True, 23)
    again = contents(folder)
    async with Network(folder, Settings(tend_every_s=None)):
        pass
    after = contents(folder)
    assert [name for name in again if ".first" in name and after[name] != again[name]] == []
    assert (folder / "genesis.first").exists()


def test_its_receipts_and_records_are_what_they_were(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ("--home", str(folder), "--json")
    assert main(["read", "--as", "clinician@mercy", "--patient", "2", *home]) == 0
    assert len(json.loads(capsys.readouterr().out)["documents"]) == 5  # One of them came there by `salus misfiled`.
    assert main(["consent", "show", "--as", "patient:3", *home]) == 0
    assert "st-luke" in capsys.readouterr().out
    assert verify_file(folder / "withdraw.receipt", folder).code == "ok"
