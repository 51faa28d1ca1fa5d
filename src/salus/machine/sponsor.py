"""How a part of a member puts messages on the ledger: someone with the member's ledger key signs and submits."""

from typing import Protocol

from salus.core.ids import MINUTE_MS, Digest, Height
from salus.core.wire import Message
from salus.crypto.signatures import SigningKey

VALID_MS = 10 * MINUTE_MS  # How long what a member sponsors may wait for a block.


class Sponsor(Protocol):
    """A member's way onto the ledger."""

    async def __call__(self, *messages: Message, witnesses: tuple[SigningKey, ...] = ()) -> tuple[Digest, Height]:
        """Put these messages on the ledger together; final on return, with the transaction's id and height.

        Raises:
            RefusalError: a rule said no, with its code.
            UnavailableError: not final in time; asking again is harmless.
        """
