"""A backup becomes a folder again: whole, or not at all; and it says of itself that it was put back.

Everything is unpacked beside its place first, and moved there only once the last piece has been found whole. A member's
databases no longer say that they are reconciled, so keeper and gateway catch up before they serve. Its validator looks
on until the network has made a block after the moment of restoring (`engine/restored`): what it signed last before the
loss is not in the backup, and who signs two things at one height is suspended.
"""

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, cast

from salus.core.clock import Clock
from salus.core.errors import RefusalError
from salus.core.ids import MemberId
from salus.crypto.hpke import OpeningKey
from salus.keeper.store import metadata, sqlite_engine
from salus.node.backup.copies import copy_tables
from salus.node.backup.marks import mark_restored
from salus.node.backup.sealed_file import DamagedBackupError, NotABackupError, SealedReader, told_whole
from salus.node.backup.taking import FORMAT, MANIFEST, OnProgress, Taken
from salus.node.folder import GENESIS_FILE, PACKS_FOLDER, is_apart, member_folder
from salus.node.keys import FolderError
from salus.node.settings import system_clock
from salus.node.site import read_site, write_site
from salus.node.stores import DATABASES, database, read_settings

_BESIDE = ".restoring-"
_PIECE_BYTES = 1 << 20


class NotEmptyError(RefusalError):
    """The folder holds something already, and nothing is ever put over it."""

    code = "backup.not_empty"


def put_back(
    backup: Path,
    folder: Path,
    *,
    passphrase: str | None,
    recovery: OpeningKey | None = None,
    votes_at_once: bool = False,
    on_progress: OnProgress = lambda done, now: None,
    clock: Clock = system_clock,
) -> Taken:
    """Make a folder of a backup: a new one, or a member's place in a network's folder that lacks it.

    `votes_at_once` is for a network that makes no block without this member: its old machine must be off for good.

    Raises, with nothing put back:
        NotABackupError: the file is no backup, or of another version.
        PassphraseError: neither the passphrase nor the recovery key opens it.
        DamagedBackupError: it was changed, or cut off.
        NotEmptyError: something is in the folder already.
        DatabaseInUseError: the database on a server where a store belongs is not empty.
        FolderError: the backup cannot be read, or the folder not written.
    """
    try:
        with backup.open("rb") as file:
            reader = SealedReader(file, passphrase, recovery)
            return _unpacked(reader, folder, votes_at_once, on_progress, clock)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None


def _unpacked(reader: SealedReader, folder: Path, votes_at_once: bool, on_progress: OnProgress, clock: Clock) -> Taken:
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = Path(mkdtemp(prefix=_BESIDE, dir=folder))
    try:
        with told_whole(), tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as packed:
            entries = iter(packed)
            taken = _manifest(packed, next(entries, None))
            _check_room(folder, beside, taken)
            _unpack(packed, entries, beside, on_progress)
        reader.finish()
        _check_genesis(folder, beside)
        for name in taken.members:
            _fill_servers(member_folder(beside, name))
            if is_apart(beside):
                _begin_at_the_first_block(member_folder(beside, name))
                if not votes_at_once:
                    mark_restored(member_folder(beside, name), clock())
        _move(beside, folder, taken)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(beside, ignore_errors=True)
    return taken


def _manifest(packed: tarfile.TarFile, entry: tarfile.TarInfo | None) -> Taken:
    file = None if entry is None or entry.name != MANIFEST else packed.extractfile(entry)
    if file is None:
        raise NotABackupError
    try:
        said = json.loads(file.read())
        if said.pop("format") != FORMAT:
            raise NotABackupError
        members = tuple(MemberId(name) for name in said.pop("members"))
        return Taken(members=members, **said)
    except (ValueError, KeyError, TypeError):
        raise NotABackupError from None


def _check_room(folder: Path, beside: Path, taken: Taken) -> None:
    """Nothing may be in the folder but the same network without these members."""
    there = {path.name for path in folder.iterdir()} - {beside.name}
    is_network = GENESIS_FILE in there
    if there and (not is_network or any(_is_there(member_folder(folder, name)) for name in taken.members)):
        raise NotEmptyError


def _is_there(place: Path) -> bool:
    return place.exists() and any(place.iterdir())


def _check_genesis(folder: Path, beside: Path) -> None:
    own = folder / GENESIS_FILE
    if own.exists() and own.read_bytes() != (beside / GENESIS_FILE).read_bytes():
        raise NotEmptyError(reason="another network is in the folder")


def _unpack(packed: tarfile.TarFile, entries: Iterator[tarfile.TarInfo], beside: Path, on_progress: OnProgress) -> None:
    done = 0
    for entry in entries:
        place = (beside / entry.name).resolve()
        file = packed.extractfile(entry) if entry.isreg() else None
        if file is None or not place.is_relative_to(beside.resolve()):
            raise DamagedBackupError(reason="an entry that no backup has")
        on_progress(done, entry.name)
        for parent in reversed(place.relative_to(beside.resolve()).parents):
            (beside / parent).mkdir(exist_ok=True, mode=0o700)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
            shutil.copyfileobj(file, to, _PIECE_BYTES)
            to.flush()
            os.fsync(to.fileno())
        done += entry.size
    on_progress(done, "")


def _fill_servers(member: Path) -> None:
    """What lay on a server goes back to the server that the member's settings name."""
    settings = read_settings(member)
    for name in DATABASES:
        url, copy = getattr(settings, name), member / f"{name}.db"
        if url is not None and copy.exists():
            engine, file = database(member, name, url), sqlite_engine(copy)
            try:
                copy_tables(file, engine, metadata)
            finally:
                file.dispose()
                engine.dispose()
            copy.unlink()


def _begin_at_the_first_block(member: Path) -> None:
    """The block from which it once joined is too old to be trusted again; others have all of them."""
    site = read_site(member)
    if site.trust_height:
        write_site(member, replace(site, trust_height=0, trust_hash=""))


def _move(beside: Path, folder: Path, taken: Taken) -> None:
    """Members first and the genesis last: without it there is no network in the folder."""
    (folder / "members").mkdir(exist_ok=True, mode=0o700)
    for name in taken.members:
        place = member_folder(folder, name)
        if place.exists():
            place.rmdir()
        member_folder(beside, name).rename(place)
    for path in sorted(beside.iterdir(), key=lambda path: path.name == GENESIS_FILE):
        if path.name != "members" and not (folder / path.name).exists():
            path.rename(folder / path.name)
        elif path.name == PACKS_FOLDER:
            for pack in path.iterdir():
                if not (folder / PACKS_FOLDER / pack.name).exists():
                    pack.rename(folder / PACKS_FOLDER / pack.name)
