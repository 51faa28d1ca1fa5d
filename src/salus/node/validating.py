"""Which key a member's CometBFT signs with, and when it must start anew with another.

CometBFT counts a validator's new key from the second block on after the one that decided it. Until the block in between
is final the old key signs; then CometBFT is started again with the new one, and the old one is no more. With one
validator alone there would otherwise be nobody to sign that block.

A member that was restored follows without a vote until a block was made after that moment. What it signed last before
the loss is in no backup: only at heights that came later can it sign nothing twice.
"""

import asyncio
import os
from pathlib import Path

from salus.contracts.members.reads import member_of
from salus.core.errors import UnavailableError
from salus.core.ids import MemberId, TimeMs
from salus.engines.layout import StoredBlock
from salus.engines.replica import Replica
from salus.node.backup.marks import forget_restored, restored_at
from salus.node.keys import SECRET_BYTES, load_secrets, settle_secrets, staged_public

DUTIES = ("validator",)


class Validating:
    """The validator's key of one life of a ledger process."""

    def __init__(self, keys: Path, member: MemberId) -> None:
        """Raises KeyFileError where a key is missing or damaged."""
        self._replaced = asyncio.Event()
        self._keys = keys
        self._member = member
        self._key = load_secrets(keys).validator
        self._restored: TimeMs | None = None  # While it looks on.

    @property
    def seed(self) -> bytes:
        """Of the key that signs now."""
        return self._key.seed

    @property
    def looks_on(self) -> bool:
        """Whether this member was restored, and follows without a vote: see `backup/marks.py`."""
        return self._restored is not None

    async def turned(self) -> None:
        """Wait until this life should end, as another key is to sign."""
        await self._replaced.wait()

    def settle(self, replica: Replica) -> bytes:
        """The seed to start with; the folder's key is replaced first, if it is time. One of nobody, while it looks on.

        Raises:
            KeyFileError, FolderError: as `settle_secrets`.
            MarkError: the folder does not say when it was restored.
        """
        self._restored = restored_at(self._keys.parent)
        if self._restored is not None:
            if replica.time <= self._restored:
                return os.urandom(SECRET_BYTES)
            forget_restored(self._keys.parent)
            self._restored = None
        entry = member_of(replica.state, self._member)
        if entry is not None and is_settled(replica):
            self._key = settle_secrets(self._keys, entry.keys, DUTIES).validator
        return self.seed

    def follow(self, replica: Replica) -> None:
        """Look at each block from now on."""

        def look(_: StoredBlock) -> None:
            if self._restored is not None:
                if replica.time > self._restored:
                    self._replaced.set()
                return
            entry = member_of(replica.state, self._member)
            wanted = None if entry is None else entry.keys.validator
            is_other = wanted not in (None, self._key.public) and staged_public(self._keys, "validator") == wanted
            if is_other and is_settled(replica):
                self._replaced.set()

        replica.listen(look)


def is_settled(replica: Replica) -> bool:
    """Whether the newest block left the validators as they were, so that whoever validates now signs the next one."""
    if replica.height < 2:
        return replica.height == 0  # The first block cannot be compared, and another one follows it at once.
    try:
        before = replica.block(replica.height - 1).header
    except UnavailableError:
        return True  # It came in a snapshot: others have gone on.
    return before.validators == replica.header.validators
