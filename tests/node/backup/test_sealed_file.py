"""The encrypted file: whoever lacks the key reads nothing, and whatever was changed or cut off is found."""

from io import BytesIO

import pytest

from salus.crypto.errors import BadKeyError
from salus.crypto.hpke import OpeningKey
from salus.crypto.passphrases import Cost, key_of
from salus.crypto.sealed_streams import OVERHEAD_BYTES, PIECE_BYTES
from salus.node.backup.sealed_file import (
    MAGIC,
    DamagedBackupError,
    NotABackupError,
    PassphraseError,
    SealedReader,
    SealedWriter,
    WeakPassphraseError,
)

QUICK = Cost(log2_n=4, r=8, p=1)
PASSPHRASE = "correct horse battery"
RECOVERY = OpeningKey(bytes(range(32)))
LONG = bytes(range(256)) * (PIECE_BYTES // 256) * 2 + b"end"


def sealed(data: bytes, passphrase: str | None = PASSPHRASE, recovery: OpeningKey | None = None) -> bytes:
    file = BytesIO()
    writer = SealedWriter(file, passphrase, None if recovery is None else recovery.public, QUICK)
    writer.write(data)
    writer.finish()
    return file.getvalue()


def opened(data: bytes, passphrase: str | None = PASSPHRASE, recovery: OpeningKey | None = None) -> bytes:
    reader = SealedReader(BytesIO(data), passphrase, recovery)
    found = reader.readall()
    reader.finish()
    return found or b""


def test_a_wrong_passphrase_says_so_and_a_short_one_is_refused() -> None:
    with pytest.raises(PassphraseError):
        opened(sealed(b"secret"), "incorrect horse battery")
    with pytest.raises(PassphraseError):
        opened(sealed(b"secret"), None)
    with pytest.raises(WeakPassphraseError):
        sealed(b"secret", "elevenchars")


def test_another_recovery_key_opens_nothing() -> None:
    data = sealed(b"secret", None, RECOVERY)
    with pytest.raises(PassphraseError):
        opened(data, None, OpeningKey(bytes(32)))
    with pytest.raises(PassphraseError):
        opened(data, PASSPHRASE)
    with pytest.raises(BadKeyError):
        SealedWriter(BytesIO(), None, b"no key", QUICK)


def test_a_flipped_bit_is_found_wherever_it_is() -> None:
    data = sealed(b"some bytes")
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        expected = NotABackupError if at < len(MAGIC) else DamagedBackupError
        with pytest.raises(expected):
            opened(bytes(changed))


def test_a_file_that_was_cut_off_is_found_at_every_length() -> None:
    data = sealed(b"some bytes")
    for length in range(len(data)):
        with pytest.raises((NotABackupError, DamagedBackupError)):
            opened(data[:length])


def test_pieces_are_neither_dropped_nor_moved_nor_doubled() -> None:
    data = sealed(LONG)
    step = PIECE_BYTES + OVERHEAD_BYTES
    head = len(data) - 2 * step - len(b"end") - OVERHEAD_BYTES
    first, second, last = data[head : head + step], data[head + step : head + 2 * step], data[head + 2 * step :]
    assert opened(data[:head] + first + second + last) == LONG
    for pieces in ((first, second), (second, first, last), (first, last), (first, first, second, last), (last,)):
        with pytest.raises(DamagedBackupError):
            opened(data[:head] + b"".join(pieces))


def test_what_a_file_asks_of_its_opener_is_bounded() -> None:
    with pytest.raises(BadKeyError):
        key_of(PASSPHRASE, bytes(32), Cost(log2_n=30, r=8, p=1))


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
def test_every_length_comes_back(size: int) -> None:
    data = bytes(size)
    assert opened(sealed(data)) == data
    assert opened(sealed(data, None, RECOVERY), None, RECOVERY) == data


def test_one_content_never_looks_alike_twice_and_shows_nothing() -> None:
    one, other = sealed(b"patient" * 10), sealed(b"patient" * 10)
    assert one != other
    assert b"patient" not in one


def test_letters_count_however_they_were_composed() -> None:
    assert opened(sealed(b"x", "Zürich im Frühling"), "Zu\u0308rich im Fru\u0308hling") == b"x"
