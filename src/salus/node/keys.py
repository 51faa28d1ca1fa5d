"""A member's secret keys: one file per duty in its folder, readable by its owner alone, never in a database.

    keys/<duty>          in use
    keys/next/<duty>     waits until the ledger names it
    keys/before/<duty>   opens what was sealed to it before another took its place; destroyed when `KEPT_MS` is over
    keys/before/checkpoint   signs until a checkpoint names the one that took its place
    keys/made            when each was made: a file's own time is that of the last copy or restore

A member's processes share the folder: whoever moves keys in it holds `keys/lock`.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from salus.contracts.members.messages import MemberKeys
from salus.core.errors import IntegrityError, UnavailableError
from salus.core.ids import DAY_MS, HOUR_MS, TimeMs
from salus.crypto.digests import tagged
from salus.crypto.hpke import OpeningKey
from salus.crypto.lasting import LastingSigningKey
from salus.crypto.signatures import SigningKey

SECRET_BYTES = 32
PUBLIC_DUTIES = (
    "ledger",
    "validator",
    "keeper",
    "sealing",
    "gateway",
    "tls",
    "checkpoint",
)  # Their keys stand on the ledger.
DUTIES = (*PUBLIC_DUTIES, "keeper-kek", "gateway-kek")
KEYS_FOLDER = "keys"  # In a member's folder.
STAGED = "next"
BEFORE = "before"
KEPT_MS = {"sealing": HOUR_MS, "gateway": 31 * DAY_MS}  # For envelopes on their way; for links that wait 30 days.
MADE = "made"
_LOCK = "lock"


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
    checkpoint: LastingSigningKey
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
            checkpoint=self.checkpoint.public,
        )


def make_secrets(folder: Path, chance: Callable[[int], bytes] = os.urandom) -> Secrets:
    """Make a new member's keys. Refuses to overwrite any.

    Raises:
        FolderError: the folder cannot be written, or has keys already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for duty in DUTIES:
            _make(folder, folder / duty, chance)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    return load_secrets(folder)


def make_missing(folder: Path, duties: Sequence[str], chance: Callable[[int], bytes] = os.urandom) -> None:
    """Make keys for duties that are younger than the folder. Keys that are there stay. Raises OSError."""
    for duty in duties:
        if not (folder / duty).exists():
            _make(folder, folder / duty, chance)


def _make(folder: Path, path: Path, chance: Callable[[int], bytes], *, replace: bool = False) -> None:
    """Make a key, and note when. Raises OSError."""
    seed = chance(SECRET_BYTES)
    write_secret(path, seed, replace=replace)
    descriptor = os.open(folder / MADE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(f"{_mark(seed)} {time.time_ns() // 1_000_000}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def made_at(folder: Path, duty: str) -> TimeMs | None:
    """When the key in use for a duty was made; by its file's time where nothing was noted. None where it is missing."""
    path = folder / duty
    try:
        about, seed = path.stat(), path.read_bytes()
    except OSError:
        return None
    noted: dict[str, str] = {}
    with suppress(OSError, UnicodeDecodeError):
        noted = dict(line.split(" ") for line in (folder / MADE).read_text().splitlines() if line.count(" ") == 1)
    when = noted.get(_mark(seed), "")
    return int(when) if when.isdecimal() else about.st_mtime_ns // 1_000_000


def _mark(seed: bytes) -> str:
    """By which a key is found again; of 32 random bytes it tells nothing."""
    return tagged("salus key made", seed)[:8].hex()


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
        checkpoint=LastingSigningKey(seeds["checkpoint"]),
        keeper_kek=seeds["keeper-kek"],
        gateway_kek=seeds["gateway-kek"],
    )


def stage_secrets(
    folder: Path,
    duties: Sequence[str],
    chance: Callable[[int], bytes] = os.urandom,
    is_spent: Callable[[bytes], bool] = lambda _: False,
) -> Secrets:
    """Make new keys for some duties beside those in use; the member's keys as they would be with them.

    Staged keys are used by nobody until `settle_secrets` finds them on the ledger. Staging again keeps those there are,
    but for public keys that are spent: the ledger knows them already, and takes none twice.

    Raises:
        FolderError: the folder cannot be written.
        KeyFileError: a key is missing or damaged.
    """
    beside = folder / STAGED
    with _alone(folder):
        try:
            beside.mkdir(exist_ok=True, mode=0o700)
            for duty in duties:
                held = staged_public(folder, duty)
                if held is None or is_spent(held):
                    _make(folder, beside / duty, chance, replace=True)
        except OSError as error:
            raise FolderError(reason=error.strerror or type(error).__name__) from None
        return _secrets({duty: _read(beside / duty if duty in duties else folder / duty, duty) for duty in DUTIES})


def staged_public(folder: Path, duty: str) -> bytes | None:
    """The public half of a key that waits; None where none does. Raises KeyFileError where it is damaged."""
    seed = _staged(folder, duty)
    return None if seed is None else public_of(duty, seed)


def staged_tls(folder: Path) -> SigningKey | None:
    """The TLS key that waits, as `staged_public`."""
    seed = _staged(folder, "tls")
    return None if seed is None else SigningKey(seed)


def staged_opener(folder: Path, duty: str) -> OpeningKey | None:
    """The opening key that waits, as `staged_public`."""
    seed = _staged(folder, duty)
    return None if seed is None else OpeningKey(seed)


def settle_secrets(folder: Path, keys: MemberKeys, duties: Sequence[str] = PUBLIC_DUTIES) -> Secrets:
    """A member's keys as the ledger has them: staged ones that it names take the place of those before, for good.

    Only for these duties, where others are another process's to move.

    Raises:
        FolderError: the folder cannot be written.
        KeyFileError: a key is missing or damaged.
    """
    with _alone(folder):
        held = load_secrets(folder)
        for duty in duties:
            wanted = getattr(keys, duty)
            if getattr(held.public, duty) != wanted and staged_public(folder, duty) == wanted:
                try:
                    _settle(folder, duty)
                except OSError as error:
                    raise FolderError(reason=error.strerror or type(error).__name__) from None
        return load_secrets(folder)


def _settle(folder: Path, duty: str) -> None:
    """Put a staged key in its place. What is still needed goes aside first; other old keys are no more."""
    is_named_still = duty == "checkpoint" and not (folder / BEFORE / duty).exists()  # By the newest checkpoint.
    if duty in KEPT_MS or is_named_still:
        (folder / BEFORE).mkdir(exist_ok=True, mode=0o700)
        write_secret(folder / BEFORE / duty, _read(folder / duty, duty), replace=True)
    staged = folder / STAGED / duty
    write_secret(folder / duty, _read(staged, duty), replace=True)
    staged.unlink()


def opener_before(folder: Path, duty: str, now: TimeMs) -> OpeningKey | None:
    """The opening key that this duty had before, for what was sealed to it; destroyed here once its time is over.

    Raises:
        FolderError: the folder cannot be written.
        KeyFileError: it is damaged.
    """
    path = folder / BEFORE / duty
    if not path.exists():
        return None
    with _alone(folder):
        if path.exists() and now - path.stat().st_mtime_ns // 1_000_000 >= KEPT_MS[duty]:
            path.unlink()
        return OpeningKey(_read(path, duty)) if path.exists() else None


def signer_before(folder: Path) -> LastingSigningKey | None:
    """The checkpoint key before this one, which signs until a checkpoint names its successor.

    Raises:
        KeyFileError: it is damaged.
    """
    path = folder / BEFORE / "checkpoint"
    return LastingSigningKey(_read(path, "checkpoint")) if path.exists() else None


def forget_signer_before(folder: Path) -> None:
    """Destroy the checkpoint key before this one."""
    (folder / BEFORE / "checkpoint").unlink(missing_ok=True)


def _staged(folder: Path, duty: str) -> bytes | None:
    path = folder / STAGED / duty
    try:
        return _checked(path.read_bytes(), duty)
    except FileNotFoundError:
        return None  # Or it was moved this moment.
    except OSError:
        raise KeyFileError(duty=duty) from None


def public_of(duty: str, seed: bytes) -> bytes:
    """The public half of a key for a duty that the ledger names."""
    if duty in KEPT_MS:
        return OpeningKey(seed).public
    return LastingSigningKey(seed).public if duty == "checkpoint" else SigningKey(seed).public


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: of two processes that see a new block, one moves the keys and the other finds them moved.

    Raises:
        FolderError: the folder cannot be written.
    """
    try:
        descriptor = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    with os.fdopen(descriptor, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    return _checked(data, duty)


def _checked(data: bytes, duty: str) -> bytes:
    if len(data) != SECRET_BYTES:
        raise KeyFileError(duty=duty)
    return data
