"""A backup of a folder's members, and what comes of it: nothing is put over anything, and nothing by halves."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.core.ids import MemberId
from salus.crypto.hpke import OpeningKey
from salus.keeper.formats import RECONCILED
from salus.keeper.postgres import postgres_engine
from salus.keeper.store import META, SUBJECTS, SubjectStore, metadata, sqlite_engine
from salus.node.backup.copies import DatabaseInUseError, copy_tables
from salus.node.backup.marks import MarkError, restored_at
from salus.node.backup.putting_back import NotEmptyError, put_back
from salus.node.backup.sealed_file import DamagedBackupError, PassphraseError, WeakPassphraseError
from salus.node.backup.taking import UNFINISHED, Taken, take
from salus.node.folder import NoNetworkError, found, found_apart, usual_names
from salus.node.keys import DUTIES, MADE, FolderError
from salus.node.site import read_site, write_site
from tests.node.stage import data_of, permit, shown, stage
from tests.support.servers import postgres

PASSPHRASE = "correct horse battery"
MERCY = MemberId("mercy")


def taken(home: Path, to: Path, *members: str, with_vault: bool | None = None) -> Taken:
    return take(home, to, [MemberId(name) for name in members], passphrase=PASSPHRASE, with_vault=with_vault)


def there(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    found_apart(folder, usual_names(2))
    for database in ("keeper.db", "gateway.db"):
        store = SubjectStore(sqlite_engine(folder / "members/mercy" / database), bytes(32))
        store.set_reconciled(True)
        store.close()
    return folder


def test_a_folder_without_a_network_a_short_passphrase_and_a_file_that_is_there_are_refused(
    home: Path, tmp_path: Path
) -> None:
    with pytest.raises(NoNetworkError):
        taken(tmp_path / "nothing", tmp_path / "backup")
    with pytest.raises(WeakPassphraseError):
        take(home, tmp_path / "backup", [], passphrase="short")
    (tmp_path / "there").write_bytes(b"another backup")
    with pytest.raises(FolderError):
        taken(home, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"another backup"
    assert not (tmp_path / "backup").exists()


def _flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("spoil", [_flipped, lambda data: data[:-1], lambda data: data[: len(data) // 2]])
def test_a_backup_that_was_changed_or_cut_off_puts_nothing_back(
    home: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    (home / "members/mercy/large.toml").write_bytes(bytes(3 << 20))  # So that whole files come before the fault.
    taken(home, tmp_path / "backup")
    (tmp_path / "backup").write_bytes(spoil((tmp_path / "backup").read_bytes()))
    (tmp_path / "empty").mkdir()
    for into in (tmp_path / "new", tmp_path / "empty"):
        with pytest.raises(DamagedBackupError):
            put_back(tmp_path / "backup", into, passphrase=PASSPHRASE)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_wrong_passphrase_puts_nothing_back(home: Path, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup")
    with pytest.raises(PassphraseError):
        put_back(tmp_path / "backup", tmp_path / "new", passphrase="incorrect horse battery")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_left_alone(home: Path, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup", "mercy")
    other = tmp_path / "other"
    found(other, usual_names(1))  # Another network, where a mercy lives too.
    without = tmp_path / "without"
    found(without, [MemberId("elsewhere")])  # Another network, where none does.
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "notes.txt").write_text("mine")
    for folder in (home, other, without, strange):
        before = there(folder)
        with pytest.raises(NotEmptyError):
            put_back(tmp_path / "backup", folder, passphrase=PASSPHRASE)
        assert there(folder) == before


def test_a_disk_that_fails_leaves_no_half_a_backup(home: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        taken(home, tmp_path / "absent" / "backup")
    assert not list(tmp_path.glob(f"*{UNFINISHED}"))
    assert not list(home.glob(".backup-*"))


def test_everything_a_member_needs_comes_back_readable_by_its_owner_alone(home: Path, tmp_path: Path) -> None:
    (home / "members/mercy/keys/next").mkdir()
    (home / "members/mercy/keys/next/tls").write_bytes(bytes(32))
    (home / "members/mercy/vault").mkdir()
    (home / "members/mercy/vault/pack").write_bytes(b"ciphertext")
    (home / "members/mercy/engine/data").mkdir()
    (home / "members/mercy/engine/data/priv_validator_state.json").write_text("{}")
    (home / "members/mercy/engine/data/blockstore.db").mkdir()
    said = taken(home, tmp_path / "backup", "mercy")
    assert (said.has_ledger, said.has_vault, said.members) == (False, False, (MERCY,))
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    assert put_back(tmp_path / "backup", tmp_path / "new", passphrase=PASSPHRASE) == said
    back = there(tmp_path / "new")
    keys = {f"members/mercy/keys/{duty}" for duty in (*DUTIES, MADE, "next/tls")}
    engine = {
        f"members/mercy/engine/{n}" for n in ("config/node_key.json", "data/priv_validator_state.json", "restored")
    }
    databases = {"members/mercy/keeper.db", "members/mercy/gateway.db"}
    assert set(back) == {"genesis", "members/mercy/member.toml", *keys, *engine, *databases}
    before = there(home)
    assert {name for name in back if before.get(name) != back[name]} == databases | {"members/mercy/engine/restored"}
    for path in (tmp_path / "new").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not list((tmp_path / "new").glob(".restoring-*"))


def test_the_vault_is_in_it_where_it_is_asked_for(home: Path, tmp_path: Path) -> None:
    (home / "members/mercy/vault").mkdir()
    (home / "members/mercy/vault/pack").write_bytes(b"ciphertext")
    taken(home, tmp_path / "backup", with_vault=True)
    put_back(tmp_path / "backup", tmp_path / "new", passphrase=PASSPHRASE)
    assert (tmp_path / "new/members/mercy/vault/pack").read_bytes() == b"ciphertext"


def test_a_copy_says_by_itself_that_it_must_catch_up_and_holds_no_leftover_pages(home: Path, tmp_path: Path) -> None:
    path = home / "members/mercy/keeper.db"
    with closing(sqlite3.connect(path)) as disk:
        disk.execute("INSERT INTO subjects VALUES (x'00', ?)", (b"erased key " * 100,))
        disk.commit()
        disk.execute("DELETE FROM subjects")
        disk.commit()
    taken(home, tmp_path / "backup")
    put_back(tmp_path / "backup", tmp_path / "new", passphrase=PASSPHRASE)
    copy = tmp_path / "new/members/mercy/keeper.db"
    assert b"erased key" not in copy.read_bytes()
    with closing(sqlite3.connect(copy)) as disk:
        assert disk.execute("SELECT value FROM meta WHERE name = ?", (RECONCILED,)).fetchone() == (b"",)


def test_its_validator_looks_on_first_unless_the_operator_says_otherwise(home: Path, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup", "mercy")
    put_back(tmp_path / "backup", tmp_path / "new", passphrase=PASSPHRASE, clock=lambda: 77)
    put_back(tmp_path / "backup", tmp_path / "now", passphrase=PASSPHRASE, votes_at_once=True)
    assert restored_at(tmp_path / "new/members/mercy") == 77
    assert restored_at(tmp_path / "now/members/mercy") is None
    (tmp_path / "new/members/mercy/engine/restored").write_text("soon")
    with pytest.raises(MarkError):
        restored_at(tmp_path / "new/members/mercy")


def test_a_member_that_joined_long_ago_begins_at_the_first_block(home: Path, tmp_path: Path) -> None:
    place = home / "members/mercy"
    write_site(place, replace(read_site(place), trust_height=77, trust_hash="ab", light=("127.0.0.1:1",)))
    taken(home, tmp_path / "backup", "mercy")
    put_back(tmp_path / "backup", tmp_path / "new", passphrase=PASSPHRASE)
    assert read_site(tmp_path / "new/members/mercy").trust_height == 0
    assert read_site(place).trust_height == 77


def test_a_recovery_key_opens_what_its_public_half_sealed(home: Path, tmp_path: Path) -> None:
    key = OpeningKey(bytes(range(32)))
    take(home, tmp_path / "backup", [MERCY], passphrase=None, recovery=key.public)
    with pytest.raises(PassphraseError):
        put_back(tmp_path / "backup", tmp_path / "new", passphrase=PASSPHRASE)
    assert put_back(tmp_path / "backup", tmp_path / "new", passphrase=None, recovery=key).members == (MERCY,)


def test_progress_is_told_and_ends_at_all_of_it(home: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, str]] = []
    said = take(
        home, tmp_path / "b", [], passphrase=PASSPHRASE, on_progress=lambda done, now: steps.append((done, now))
    )
    assert (len(steps), steps[0], steps[-1]) == (said.files + 1, (0, "genesis"), (said.size_bytes, ""))
    again: list[int] = []
    put_back(tmp_path / "b", tmp_path / "new", passphrase=PASSPHRASE, on_progress=lambda done, now: again.append(done))
    assert again[-1] == said.size_bytes


def test_a_database_on_a_server_comes_back_to_a_server_that_has_nothing_else(tmp_path: Path) -> None:
    with postgres() as server:
        urls = [server.new_database() for _ in range(2)]
        store = SubjectStore(postgres_engine(urls[0]), bytes(32))
        with store.commit("test"):
            store.new_subject_key(b"t" * 16)
        file = sqlite_engine(tmp_path / "keeper.db")
        copy_tables(postgres_engine(urls[0], is_owner=False), file, metadata)  # While its owner has it open.
        store.close()
        copy_tables(file, postgres_engine(urls[1]), metadata)
        back = SubjectStore(postgres_engine(urls[1]), bytes(32))
        assert back.subject_key(b"t" * 16) is not None
        assert back.connection.execute(sa.select(sa.func.count()).select_from(SUBJECTS)).scalar_one() == 1
        assert back.connection.execute(sa.select(sa.func.count()).select_from(META)).scalar_one() > 1
        back.close()
        with pytest.raises(DatabaseInUseError):
            copy_tables(file, postgres_engine(urls[1]), metadata)
        file.dispose()


async def test_one_of_the_members_of_one_process_comes_back_and_serves_what_the_others_serve(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with stage(home) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        clock = on.clock
    said = taken(home, tmp_path / "backup", "northgate")
    assert (said.has_ledger, said.has_vault) == (True, True)
    async with stage(home, clock=clock) as on:
        await on.seal("mercy", wallet, "b")
    (home / "members/northgate").rename(tmp_path / "lost")
    put_back(tmp_path / "backup", home, passphrase=PASSPHRASE)
    async with stage(home, clock=clock) as on:
        reader = await on.clinician("st-luke")
        await on.settled()
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), view.absent) == ([data_of("a"), data_of("b")], (MemberId("northgate"),))
        for _ in range(3):
            await on.network.tend()
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), view.absent, view.accusations) == ([data_of("a"), data_of("b")], (), [])
