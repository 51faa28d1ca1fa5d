"""What the rest of a member needs of whoever orders transactions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from salus.contracts.members.messages import Genesis
from salus.core.ids import Digest, Height, MemberId
from salus.core.wire import Record
from salus.engines.layout import StoredBlock
from salus.engines.lmdb_store import LmdbStore
from salus.machine.block import Header
from salus.machine.view import View


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

    async def receipt(self, tx_id: Digest) -> Record:
        """The proof of a final transaction, in the form of this engine.

        Raises:
            UnavailableError: no final block here holds it.
        """


class Ledger(View, Protocol):
    """A member's own copy of the ledger, for whoever needs more of it than its newest state.

    Promise: what it shows is final here, whole blocks at a time.
    """

    @property
    def member(self) -> MemberId:
        """Whose copy it is."""

    @property
    def values_and_tree(self) -> LmdbStore:
        """The store beneath, for `salus ledger check`."""

    @property
    def keeps_votes(self) -> bool:
        """Whether blocks here carry validators' votes; else the ordering engine keeps them, in its own blocks."""

    @property
    def genesis(self) -> Genesis:
        """What the network started from."""

    @property
    def header(self) -> Header:
        """The newest final header."""

    def listen(self, listener: Callable[[StoredBlock], None]) -> None:
        """Call this with each block once it is final here."""

    def block(self, height: Height) -> StoredBlock:
        """A final block.

        Raises:
            UnavailableError: there is none at this height.
        """

    def blocks(self, start: Height = 1) -> Iterator[StoredBlock]:
        """Final blocks from a height on."""

    def inclusion(self, tx_id: Digest) -> Inclusion | None:
        """Where a transaction became final: where it was accepted, or else where it was refused last."""
