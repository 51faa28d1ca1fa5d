"""Which form a vault's storage has: an object `format` with a number, and how an older form becomes the newest.

No transaction holds several objects together, so a step may be begun again: it is written so that repeating it does no
harm, and the number changes last. A crash on the way leaves a vault that still calls itself the old one.

    1    first light's: packs alone, no object `format`
    2    the same, with the object
"""

from collections.abc import Callable, Mapping

from salus.core.errors import IntegrityError
from salus.vault.storage import Storage

FORMAT = 2
NAME = "format"
_BYTES_MAX = 64

Step = Callable[[Storage], None]


class VaultFormatError(IntegrityError):
    """The vault was written by another version of Salus, newer than this one or too old for it."""

    code = "vault.format"


def _say_so(_storage: Storage) -> None:
    """Packs stay as they are; that the number is written is the whole step."""


STEPS: Mapping[int, Step] = {1: _say_so}


def prepare(storage: Storage, steps: Mapping[int, Step] = STEPS, newest: int = FORMAT) -> None:
    """Mark a new vault, or bring an older one to the newest form.

    Raises:
        VaultFormatError: it is of a newer format, or of one from which no step leads here.
        StorageError: the storage is away.
    """
    found = format_of(storage)
    if found is None:
        has_packs = next(iter(storage.list("packs")), None) is not None
        if not has_packs and storage.create(NAME, b"%d\n" % newest):
            return
        found = format_of(storage) or 1
    if found > newest or any(step not in steps for step in range(found, newest)):
        raise VaultFormatError(found=found, expected=newest)
    for step in range(found, newest):
        steps[step](storage)
    if found < newest:
        storage.put(NAME, b"%d\n" % newest)


def format_of(storage: Storage) -> int | None:
    """The form that a storage says it has; None where it says none: it is new, or first light's."""
    data = storage.read(NAME, 0, _BYTES_MAX)
    if data is None:
        return None
    return int(data) if data.strip().isdigit() else 0
