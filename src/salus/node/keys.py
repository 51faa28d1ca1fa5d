"""A member's secret keys: one file per duty in its folder, readable by its owner alone, never in a database."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salus.contracts.members.messages import MemberKeys
from salus.core.errors import IntegrityError, UnavailableError
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey

SECRET_BYTES = 32
PUBLIC_DUTIES = ("ledger", "validator", "keeper", "sealing", "gateway", "tls")  # Their keys stand on the ledger.
STAGED = "next"  # Where new keys wait for the members' decision.
DUTIES = (*PUBLIC_DUTIES, "keeper-kek", "gateway-kek")


class KeyFileError(IntegrityError):
    """A key file is missing or damaged. Without it, what it protects cannot be opened: restore it from a backup."""

    code = "node.key_file"


class FolderError(UnavailableError):
    """The folder cannot be written, or holds already what should be made there."""

    code = "node.folder"


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """All secret keys of a member."""

    ledger: SigningKey
    validator: SigningKey
    keeper: SigningKey
    sealing: OpeningKey
    gateway: OpeningKey
    tls: SigningKey
    keeper_kek: bytes
    gateway_kek: bytes

    @property
    def public(self) -> MemberKeys:
        """What the ledger holds of them."""
        return MemberKeys(
            ledger=self.ledger.public,
            validator=self.validator.public,
            keeper=self.keeper.public,
            sealing=self.sealing.public,
            gateway=self.gateway.public,
            tls=self.tls.public,
        )


def make_secrets(folder: Path, chance: Callable[[int], bytes] = os.urandom) -> Secrets:
    """Make a new member's keys. Refuses to overwrite any.

    Raises:
        FolderError: the folder cannot be written, or has keys already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for duty in DUTIES:
            write_secret(folder / duty, chance(SECRET_BYTES))
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    return load_secrets(folder)


def load_secrets(folder: Path) -> Secrets:
    """Read a member's keys.

    Raises:
        KeyFileError: one is missing or not of 32 bytes.
    """
    return _secrets({duty: _read(folder / duty, duty) for duty in DUTIES})


def _secrets(seeds: Mapping[str, bytes]) -> Secrets:
    return Secrets(
        ledger=SigningKey(seeds["ledger"]),
        validator=SigningKey(seeds["validator"]),
        keeper=SigningKey(seeds["keeper"]),
        sealing=OpeningKey(seeds["sealing"]),
        gateway=OpeningKey(seeds["gateway"]),
        tls=SigningKey(seeds["tls"]),
        keeper_kek=seeds["keeper-kek"],
        gateway_kek=seeds["gateway-kek"],
    )


def stage_secrets(folder: Path, duties: Sequence[str], chance: Callable[[int], bytes] = os.urandom) -> Secrets:
    """Make new keys for some duties beside those in use; the member's keys as they would be with them.

    Staged keys are used by nobody until `settle_secrets` finds them on the ledger. Staging again keeps those there are.

    Raises:
        FolderError: the folder cannot be written.
        KeyFileError: a key is missing or damaged.
    """
    beside = folder / STAGED
    try:
        beside.mkdir(exist_ok=True, mode=0o700)
        for duty in duties:
            if not (beside / duty).exists():
                write_secret(beside / duty, chance(SECRET_BYTES))
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    return _secrets({duty: _read(beside / duty if duty in duties else folder / duty, duty) for duty in DUTIES})


def settle_secrets(folder: Path, keys: MemberKeys) -> Secrets:
    """A member's keys as the ledger has them: staged ones that it names take the place of those before, for good.

    Raises:
        FolderError: the folder cannot be written.
        KeyFileError: a key is missing or damaged.
    """
    held = load_secrets(folder)
    for duty in PUBLIC_DUTIES:
        staged = folder / STAGED / duty
        if getattr(held.public, duty) == getattr(keys, duty) or not staged.exists():
            continue
        seeds = {name: _read(folder / name, name) for name in DUTIES} | {duty: _read(staged, duty)}
        if getattr(_secrets(seeds).public, duty) == getattr(keys, duty):
            try:
                write_secret(folder / duty, seeds[duty], replace=True)
                staged.unlink()
            except OSError as error:
                raise FolderError(reason=error.strerror or type(error).__name__) from None
    return load_secrets(folder)


def write_secret(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a secret file for its owner alone, durable and whole: a crash leaves the old one or the new one.

    Raises:
        OSError: it exists and may not be replaced, or the disk failed.
    """
    if path.exists() and not replace:
        raise FileExistsError(17, "a key is there already", str(path.name))
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _read(path: Path, duty: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError:
        raise KeyFileError(duty=duty) from None
    if len(data) != SECRET_BYTES:
        raise KeyFileError(duty=duty)
    return data
