"""What a backup of the members of a folder holds, and how it is taken while they run.

In it: keys, addresses and settings, genesis, packs, people's keys; what keeper and gateway hold, with the access log.
Not in it, where members run apart: the ledger, which the others have and send, and the vault, unless it is asked for.
On the embedded engine nobody else has either, so both are in it.

Databases are copied before the ledger: then nothing in them points past it. The copies lie for a moment beside what
they are copies of, as well protected as that is.
"""

import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

from salus.core.clock import Clock
from salus.core.ids import ChainId, MemberId, SealingKey, TimeMs
from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER, SNAPSHOTS_FOLDER
from salus.keeper.store import metadata, sqlite_engine
from salus.node.backup.copies import copy_ledger, copy_sqlite, copy_tables, forget_reconciled
from salus.node.backup.sealed_file import SealedWriter
from salus.node.folder import GENESIS_FILE, PACKS_FOLDER, is_apart, member_folder, members_here, read_genesis
from salus.node.keys import FolderError
from salus.node.settings import system_clock
from salus.node.stores import DATABASES, database, read_settings

FORMAT = 1
MANIFEST = "backup.json"
PEOPLE_FOLDER = "people"
VAULT_FOLDER = "vault"
UNFINISHED = ".unfinished"
_ENGINE_KEPT = ("config/node_key.json", "data/priv_validator_state.json")
_LEFT_OUT = {LEDGER_FOLDER, ENGINE_FOLDER, SNAPSHOTS_FOLDER, VAULT_FOLDER}
_PASSING = (".lock", ".sock", ".pid", ".log", ".new", ".db-wal", ".db-shm", ".db-journal", UNFINISHED)
_COPIES = ".backup-"

OnProgress = Callable[[int, str], None]
"""How many bytes are in the backup so far, and what goes in now."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a backup holds, as its first entry says it."""

    chain: ChainId
    members: tuple[MemberId, ...]
    taken: TimeMs
    has_ledger: bool
    has_vault: bool
    files: int
    size_bytes: int  # Of what is in it.


@dataclass(frozen=True, slots=True)
class _Found:
    """One file that goes in."""

    name: str
    path: Path


def take(
    home: Path,
    to: Path,
    members: Sequence[MemberId],
    *,
    passphrase: str | None,
    recovery: SealingKey | None = None,
    with_vault: bool | None = None,
    on_progress: OnProgress = lambda done, now: None,
    clock: Clock = system_clock,
) -> Taken:
    """Write a backup of these members of a folder, all of those that live there if none is named; durable on return.

    Raises:
        NoNetworkError, NotANetworkError: there is no network here.
        WeakPassphraseError: the passphrase is too short.
        FolderError: `to` is there already, or cannot be written.
        DiskError, StoreUnavailableError: a store cannot be read.
    """
    genesis = read_genesis(home)
    names = tuple(members or members_here(home, genesis))
    alone = not is_apart(home)
    has_vault = alone if with_vault is None else with_vault
    if to.exists():
        raise FolderError(reason="a file is there already")
    unfinished = to.with_name(to.name + UNFINISHED)
    try:
        with TemporaryDirectory(prefix=_COPIES, dir=home) as copies:
            found = list(_everything(home, Path(copies), names, has_ledger=alone, has_vault=has_vault))
            size_bytes = sum(one.path.stat().st_size for one in found)
            taken = Taken(genesis.chain, names, clock(), alone, has_vault, len(found), size_bytes)
            with _private(unfinished) as file:
                writer = SealedWriter(file, passphrase, recovery)
                _pack(writer, taken, found, on_progress)
                writer.finish()
                file.flush()
                os.fsync(file.fileno())
        unfinished.rename(to)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return taken


def _everything(
    home: Path, copies: Path, names: Sequence[MemberId], *, has_ledger: bool, has_vault: bool
) -> Iterator[_Found]:
    yield _Found(GENESIS_FILE, home / GENESIS_FILE)
    yield from _files(home, home / PACKS_FOLDER)
    for name in names:
        yield from _of_member(home, copies / name, member_folder(home, name), has_vault=has_vault)
    yield from _people(home, copies)
    if has_ledger:
        for name in names:
            folder = member_folder(home, name) / LEDGER_FOLDER
            copy_ledger(folder, copies / name / LEDGER_FOLDER)
            yield from _files(copies / name, copies / name / LEDGER_FOLDER, _within(home, folder.parent))


def _of_member(home: Path, copies: Path, folder: Path, *, has_vault: bool) -> Iterator[_Found]:
    copies.mkdir(mode=0o700)
    yield from _databases(copies, folder, _within(home, folder))
    for path in sorted(folder.iterdir()):
        if path.name not in _LEFT_OUT and path.suffix != ".db":
            yield from _files(home, path)
    for kept in _ENGINE_KEPT:
        yield from _files(home, folder / ENGINE_FOLDER / kept)
    if has_vault:
        yield from _files(home, folder / VAULT_FOLDER)


def _databases(copies: Path, folder: Path, within: str) -> Iterator[_Found]:
    """Both, in one form wherever they are: a server's goes back to a server."""
    settings = read_settings(folder)
    for name in DATABASES:
        url, copy = getattr(settings, name), copies / f"{name}.db"
        if url is not None:
            engine, file = database(folder, name, url, is_owner=False), sqlite_engine(copy)
            copy_tables(engine, file, metadata)
            engine.dispose()
            file.dispose()
        elif (folder / copy.name).exists():
            copy_sqlite(folder / copy.name, copy)
        else:
            continue
        forget_reconciled(copy)
        yield _Found(f"{within}/{copy.name}", copy)


def _people(home: Path, copies: Path) -> Iterator[_Found]:
    for one in _files(home, home / PEOPLE_FOLDER):
        if one.path.suffix != ".db":
            yield one
            continue
        copy = copies / one.path.name
        copy_sqlite(one.path, copy)
        yield _Found(one.name, copy)


def _files(home: Path, path: Path, within: str = "") -> Iterator[_Found]:
    """A file, or all files in a folder, by their names from `home` on; none of those that come and go."""
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            yield from _files(home, inner, within)
    elif path.is_file() and not path.name.endswith(_PASSING):
        yield _Found(f"{within}/{_within(home, path)}".lstrip("/"), path)


def _within(home: Path, path: Path) -> str:
    return path.relative_to(home).as_posix()


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _pack(writer: SealedWriter, taken: Taken, found: Sequence[_Found], on_progress: OnProgress) -> None:
    said = {
        "format": FORMAT,
        "chain": taken.chain,
        "members": list(taken.members),
        "taken": taken.taken,
        "has_ledger": taken.has_ledger,
        "has_vault": taken.has_vault,
        "files": taken.files,
        "size_bytes": taken.size_bytes,
    }
    done = 0
    with tarfile.open(fileobj=cast(IO[bytes], writer), mode="w|", format=tarfile.PAX_FORMAT) as packed:
        data = json.dumps(said).encode()
        packed.addfile(_entry(MANIFEST, len(data)), BytesIO(data))
        for one in found:
            on_progress(done, one.name)
            with one.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                packed.addfile(_entry(one.name, size), file)
            done += size
        on_progress(done, "")


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry
