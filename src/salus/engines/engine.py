"""What the rest of a member needs of whoever orders transactions."""

from dataclasses import dataclass
from typing import Protocol

from salus.core.ids import Digest, Height
from salus.engines.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a transaction became final, and with what result: `machine.block.ACCEPTED`, or the code of a refusal."""

    tx_id: Digest
    height: Height
    code: str


class Engine(Protocol):
    """Orders transactions into final, durable blocks.

    Promise: what `submit` returned is final and survives a crash of every member. A transaction that was submitted and
    got no answer may or may not become final before its `valid_until`; submitting the same bytes again is harmless.
    """

    async def submit(self, tx: bytes) -> Inclusion:
        """Wait until a transaction is final.

        Raises:
            MalformedError: the bytes are not a transaction.
            UnavailableError: it did not become final in time.
        """

    def receipt(self, tx_id: Digest) -> Receipt:
        """The proof of a final transaction.

        Raises:
            UnavailableError: no final block here holds it.
        """
