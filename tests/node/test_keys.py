"""A member's key files: whole, for their owner alone, and never overwritten by accident."""

import os
import shutil
import time
from pathlib import Path

import pytest

from salus.core.ids import MemberId
from salus.node.keys import (
    BEFORE,
    DUTIES,
    MADE,
    STAGED,
    FolderError,
    KeyFileError,
    forget_signer_before,
    load_secrets,
    made_at,
    make_secrets,
    settle_secrets,
    signer_before,
    stage_secrets,
    write_secret,
)
from salus.node.observing.figures import of_keys


def test_keys_are_made_once_for_their_owner_alone_and_load_again(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path / "keys")
    assert load_secrets(tmp_path / "keys").public == secrets.public
    for duty in DUTIES:
        assert (tmp_path / "keys" / duty).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    with pytest.raises(FolderError):
        make_secrets(tmp_path / "keys")
    assert load_secrets(tmp_path / "keys").public == secrets.public


@pytest.mark.parametrize("duty", DUTIES)
def test_a_key_that_is_missing_or_cut_short_is_named(tmp_path: Path, duty: str) -> None:
    make_secrets(tmp_path / "keys")
    path = tmp_path / "keys" / duty
    path.write_bytes(path.read_bytes()[:31])
    with pytest.raises(KeyFileError, match=duty):
        load_secrets(tmp_path / "keys")
    path.unlink()
    with pytest.raises(KeyFileError, match=duty):
        load_secrets(tmp_path / "keys")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FolderError):
        make_secrets(tmp_path / "file" / "keys")


def test_a_secret_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, b"one")
    with pytest.raises(FileExistsError):
        write_secret(path, b"two")
    write_secret(path, b"three", replace=True)
    assert path.read_bytes() == b"three"


def test_staged_keys_are_used_only_once_the_ledger_names_them(tmp_path: Path) -> None:
    before = make_secrets(tmp_path / "keys").public
    staged = stage_secrets(tmp_path / "keys", ["keeper", "sealing"]).public
    assert (staged.ledger, staged.tls) == (before.ledger, before.tls)
    assert staged.keeper != before.keeper
    assert settle_secrets(tmp_path / "keys", before).public == before
    assert settle_secrets(tmp_path / "keys", staged).public == staged
    assert load_secrets(tmp_path / "keys").public == staged
    assert list((tmp_path / "keys" / STAGED).iterdir()) == []


def test_the_checkpoint_key_that_the_newest_checkpoint_names_is_kept_through_two_replacements(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = make_secrets(folder).public
    for _ in range(2):
        settle_secrets(folder, stage_secrets(folder, ["checkpoint", "keeper"]).public)
    kept = signer_before(folder)
    assert kept is not None
    assert kept.public == first.checkpoint
    assert not (folder / BEFORE / "keeper").exists(), "Nothing needs it."
    forget_signer_before(folder)
    assert signer_before(folder) is None


def test_a_key_that_the_ledger_knows_already_is_not_staged_again(tmp_path: Path) -> None:
    make_secrets(tmp_path / "keys")
    spent = stage_secrets(tmp_path / "keys", ["tls"]).public.tls
    again = stage_secrets(tmp_path / "keys", ["tls"], is_spent=lambda public: public == spent).public.tls
    assert again != spent


def test_staging_again_keeps_the_keys_that_a_proposal_names_already(tmp_path: Path) -> None:
    make_secrets(tmp_path / "keys")
    first = stage_secrets(tmp_path / "keys", ["tls"]).public
    assert stage_secrets(tmp_path / "keys", ["tls"]).public == first


def test_a_crash_between_two_keys_is_made_good_by_settling_again(tmp_path: Path) -> None:
    make_secrets(tmp_path / "keys")
    staged = stage_secrets(tmp_path / "keys", ["ledger", "keeper"]).public
    (tmp_path / "keys" / STAGED / "ledger").replace(tmp_path / "keys" / "ledger")
    assert settle_secrets(tmp_path / "keys", staged).public == staged


def test_staged_keys_that_the_ledger_does_not_name_stay_where_they_are(tmp_path: Path) -> None:
    before = make_secrets(tmp_path / "keys").public
    other = make_secrets(tmp_path / "other").public
    stage_secrets(tmp_path / "keys", ["keeper"])
    assert settle_secrets(tmp_path / "keys", other).public == before
    assert (tmp_path / "keys" / STAGED / "keeper").exists()


# When a key was made.


def aged(folder: Path, to_s: int) -> None:
    """Give all files another time, as a copy does."""
    for path in folder.rglob("*"):
        os.utime(path, (to_s, to_s))


def test_a_copy_of_the_folder_changes_nothing_of_a_keys_age(tmp_path: Path) -> None:
    keys, copy = tmp_path / "keys", tmp_path / "copy"
    make_secrets(keys)
    made = {duty: made_at(keys, duty) for duty in DUTIES}
    shutil.copytree(keys, copy)
    aged(copy, 1_000)
    assert {duty: made_at(copy, duty) for duty in DUTIES} == made
    (tmp_path / "other").mkdir()
    copy.rename(tmp_path / "other" / "keys")
    figures = [
        list(of_keys(MemberId("mercy"), "ledger", place, lambda: 10**13)) for place in (tmp_path, tmp_path / "other")
    ]
    assert figures[0] == figures[1]
    assert len(figures[0]) == len(DUTIES)


def test_a_key_that_waited_is_as_old_as_it_is_and_the_others_stay_so(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_secrets(keys)
    first = made_at(keys, "tls")
    time.sleep(0.002)
    secrets = stage_secrets(keys, ("tls",))
    assert made_at(keys, "tls") == first
    aged(keys, 1_000)
    settle_secrets(keys, secrets.public)
    second = made_at(keys, "tls")
    assert first is not None
    assert second is not None
    assert first < second < time.time() * 1_000
    assert made_at(keys, "ledger") != 1_000_000


@pytest.mark.parametrize("noted", [None, b"", b"\xff\xfe", b"one\ntwo three four\n", b"0123456789abcdef soon\n"])
def test_where_nothing_readable_was_noted_the_files_own_time_counts(tmp_path: Path, noted: bytes | None) -> None:
    keys = tmp_path / "keys"
    make_secrets(keys)
    (keys / MADE).unlink()
    if noted is not None:
        (keys / MADE).write_bytes(noted)
    aged(keys, 1_000)
    assert made_at(keys, "tls") == 1_000_000
    (keys / "tls").unlink()
    assert made_at(keys, "tls") is None


def test_what_is_noted_tells_nothing_of_a_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    secrets = make_secrets(keys)
    noted = (keys / MADE).read_text()
    assert (keys / MADE).stat().st_mode & 0o777 == 0o600
    for duty in DUTIES:
        seed = (keys / duty).read_bytes()
        assert not any(seed[at : at + 4].hex() in noted for at in range(0, 32, 4))
    assert secrets.tls.public.hex()[:16] not in noted
