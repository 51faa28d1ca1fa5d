"""An encrypted file that is written and read in one pass, with little in memory.

    magic | size of the head | head | its checksum | sealed pieces (`crypto.sealed_streams`)

The file's own key is random, and wrapped twice at most: under a passphrase, and to a recovery key whose secret half is
elsewhere. The checksum tells a head that was damaged from a passphrase that is wrong; it keeps no attacker away, the
wrapping does. The pieces' key depends on the head, so neither can be exchanged.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from typing import IO, Any

from salus.core.errors import IntegrityError, MalformedError, RefusalError
from salus.core.ids import SealingKey
from salus.core.wire import Record, decode, encode
from salus.crypto.digests import derive, digest
from salus.crypto.errors import BadKeyError, UnopenableError
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.passphrases import SALT_BYTES, USUAL, Cost, key_of
from salus.crypto.sealed_streams import OVERHEAD_BYTES, PIECE_BYTES, open_piece, seal_piece
from salus.crypto.sealing_at_rest import NONCE_BYTES, unwrap, wrap

MAGIC = b"salus backup/1\n"
HEAD_BYTES_MAX = 8192
PASSPHRASE_LETTERS_MIN = 12
_KEY_BYTES = 32
_CONTEXT = b"salus backup key"


class PassphraseError(RefusalError):
    """The passphrase, or the recovery key, is not the one that this backup was made for."""

    code = "backup.passphrase"


class WeakPassphraseError(RefusalError):
    """The passphrase is too short for what it protects."""

    code = "backup.weak_passphrase"


class NotABackupError(MalformedError):
    """The file is no backup of a Salus member, or one of another version."""

    code = "backup.not_a_backup"


class DamagedBackupError(IntegrityError):
    """The backup was changed, or ends too early: nothing of it was put back. Take another one."""

    code = "backup.damaged"


class Head(Record, tag="backup.head/1", frozen=True):
    """How the file's key is wrapped. Where one of the two ways is not offered, its field is empty."""

    salt: bytes
    log2_n: int
    r: int
    p: int
    by_passphrase: bytes
    by_recovery_key: bytes


class SealedWriter(RawIOBase):
    """Takes bytes, writes them sealed. `finish` ends it: without, the file is one that was cut off."""

    def __init__(
        self, file: IO[bytes], passphrase: str | None, recovery: SealingKey | None, cost: Cost = USUAL
    ) -> None:
        """Write the head.

        Raises:
            WeakPassphraseError: the passphrase is shorter than twelve letters.
            BadKeyError: `recovery` is no recovery key.
        """
        assert passphrase is not None or recovery is not None, "Somebody must be able to open it."
        if passphrase is not None and len(passphrase) < PASSPHRASE_LETTERS_MIN:
            raise WeakPassphraseError(letters_min=PASSPHRASE_LETTERS_MIN)
        key, salt = os.urandom(_KEY_BYTES), os.urandom(SALT_BYTES)
        by_passphrase = b"" if passphrase is None else _wrapped(key_of(passphrase, salt, cost), key)
        by_recovery_key = b"" if recovery is None else seal(recovery, key, _CONTEXT)
        head = encode(Head(salt, cost.log2_n, cost.r, cost.p, by_passphrase, by_recovery_key))
        file.write(MAGIC + len(head).to_bytes(4, "big") + head + digest(head))
        self._file = file
        self._key = derive(key, "salus backup", digest(head))
        self._number = 0
        self._waiting = bytearray()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        self._waiting += data
        while len(self._waiting) > PIECE_BYTES:  # One piece stays back: it may be the last.
            self._put(bytes(self._waiting[:PIECE_BYTES]), is_last=False)
            del self._waiting[:PIECE_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write what is left, as the last piece."""
        self._put(bytes(self._waiting), is_last=True)
        self._waiting.clear()

    def _put(self, data: bytes, *, is_last: bool) -> None:
        self._file.write(seal_piece(self._key, self._number, data, is_last=is_last))
        self._number += 1


class SealedReader(RawIOBase):
    """Reads what a `SealedWriter` wrote."""

    def __init__(self, file: IO[bytes], passphrase: str | None, recovery: OpeningKey | None) -> None:
        """Read the head.

        Raises, in this order:
            NotABackupError: it does not begin like one.
            DamagedBackupError: its head was changed, or it was cut off there.
            PassphraseError: neither the passphrase nor the recovery key opens it.
        """
        head, checksum = _read_head(file)
        self._file = file
        self._number = 0
        self._next = file.read(PIECE_BYTES + OVERHEAD_BYTES)
        if not self._next:
            raise DamagedBackupError(piece=0)  # There is always a last piece, be it empty.
        self._key = derive(_opened(head, passphrase, recovery), "salus backup", checksum)
        self._plain = b""
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give what comes next.

        Raises:
            DamagedBackupError: a piece was changed, moved or dropped, or the file was cut off.
        """
        if self._at == len(self._plain) and self._next:
            self._open_next()
        given = self._plain[self._at : self._at + len(buffer)]
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)

    def finish(self) -> None:
        """Make sure that all of it was whole, also what nobody wanted to read.

        Raises:
            DamagedBackupError: it was not.
        """
        while self._next:
            self._open_next()

    def _open_next(self) -> None:
        sealed, self._next = self._next, self._file.read(PIECE_BYTES + OVERHEAD_BYTES)
        try:
            self._plain = open_piece(self._key, self._number, sealed, is_last=not self._next)
        except UnopenableError:
            raise DamagedBackupError(piece=self._number) from None
        self._number += 1
        self._at = 0


@contextmanager
def told_whole() -> Iterator[None]:
    """What else a changed file may look like to whoever unpacks it."""
    import tarfile

    try:
        yield
    except (tarfile.TarError, EOFError):
        raise DamagedBackupError from None


def _read_head(file: IO[bytes]) -> tuple[Head, bytes]:
    if file.read(len(MAGIC)) != MAGIC:
        raise NotABackupError
    size = int.from_bytes(file.read(4), "big")
    if size > HEAD_BYTES_MAX:
        raise DamagedBackupError(piece="head")
    head, checksum = file.read(size), file.read(_KEY_BYTES)
    if digest(head) != checksum:
        raise DamagedBackupError(piece="head")
    try:
        return decode(Head, head), checksum
    except MalformedError:
        raise NotABackupError from None


def _opened(head: Head, passphrase: str | None, recovery: OpeningKey | None) -> bytes:
    try:
        if recovery is not None and head.by_recovery_key:
            return recovery.open(head.by_recovery_key, _CONTEXT)
        if passphrase is not None and head.by_passphrase:
            key = key_of(passphrase, head.salt, Cost(head.log2_n, head.r, head.p))
            return unwrap(key, head.by_passphrase, _CONTEXT)
    except BadKeyError:
        raise DamagedBackupError(piece="head") from None
    except UnopenableError:
        raise PassphraseError from None
    raise PassphraseError


def _wrapped(key: bytes, data: bytes) -> bytes:
    return wrap(key, os.urandom(NONCE_BYTES), data, _CONTEXT)
