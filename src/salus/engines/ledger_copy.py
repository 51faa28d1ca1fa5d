"""What a member's copy of the ledger shows, to the process that applies blocks and to those that read beside it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from salus.contracts.members.messages import Genesis
from salus.core.errors import IntegrityError, MalformedError, UnavailableError
from salus.core.ids import ChainId, Digest, Height, MemberId, TimeMs
from salus.core.wire import Message, decode
from salus.engines.engine import Inclusion
from salus.engines.layout import BASE_KEY, StoredBlock, block_at, place_of
from salus.engines.lmdb_store import LmdbStore
from salus.machine.admission import read
from salus.machine.block import ACCEPTED, Header
from salus.state.key_value import KeyValue


class BrokenBlockError(IntegrityError):
    """A block that must be here is missing, or its bytes are not a block."""

    code = "engine.broken_block"


class OtherNetworkError(IntegrityError):
    """The folder holds the ledger of another network."""

    code = "engine.other_network"


class NotFoundError(UnavailableError):
    """No final block here holds this transaction, or this height."""

    code = "engine.not_found"


class LedgerCopy(ABC):
    """Final blocks and their headers, as far as they are here. Not for two threads."""

    _newest: Header

    def __init__(self, member: MemberId, genesis: Genesis, store: LmdbStore) -> None:
        self._member = member
        self._genesis = genesis
        self._store = store
        self._listeners: list[Callable[[StoredBlock], None]] = []
        self._arrived = asyncio.Condition()

    @property
    @abstractmethod
    def _final(self) -> KeyValue:
        """Where final blocks are read."""

    @property
    def member(self) -> MemberId:
        """Whose copy it is."""
        return self._member

    @property
    def genesis(self) -> Genesis:
        """What the network started from."""
        return self._genesis

    @property
    def chain(self) -> ChainId:
        """The network's name."""
        return self.genesis.chain

    @property
    def height(self) -> Height:
        """Of the newest final block here."""
        return self._newest.height

    @property
    def time(self) -> TimeMs:
        """Of the newest final header here."""
        return self._newest.time

    @property
    def header(self) -> Header:
        """The newest final header here."""
        return self._newest

    @property
    def base(self) -> Height:
        """Of the snapshot that came in the place of all blocks up to it; 0 where there was none."""
        stored = self._final.get(BASE_KEY)
        return 0 if stored is None else decode(Header, stored).height

    @property
    def values_and_tree(self) -> LmdbStore:
        """The store beneath, for `salus ledger check`."""
        return self._store

    async def reached(self, height: Height, timeout_s: float) -> bool:
        """Wait until a height is here."""
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(lambda: self.height >= height)
        except TimeoutError:
            return False
        return True

    def listen(self, listener: Callable[[StoredBlock], None]) -> None:
        """Call this with each block once it is final here, in order and once."""
        self._listeners.append(listener)

    def block(self, height: Height) -> StoredBlock:
        """A final block.

        Raises:
            NotFoundError: no block has become final at this height, or it came here within a snapshot.
            BrokenBlockError: it is missing, or its bytes are not a block.
        """
        if not 1 <= height <= self.height:
            raise NotFoundError(height=height)
        try:
            stored = block_at(self._final, height)
        except MalformedError:
            raise BrokenBlockError(member=self.member, height=height) from None
        if stored is None:
            raise (
                NotFoundError(height=height)
                if height <= self.base
                else BrokenBlockError(member=self.member, height=height)
            )
        return stored

    def blocks(self, start: Height = 1) -> Iterator[StoredBlock]:
        """Final blocks from a height on; after a snapshot, from the first that is here."""
        for height in range(max(start, self.base + 1), self.height + 1):
            yield self.block(height)

    def accepted(self, height: Height) -> list[tuple[MemberId, Message]]:
        """See `View.accepted`."""
        stored = self.block(height)
        bodies = (read(tx).body for tx, r in zip(stored.block.txs, stored.results, strict=True) if r.code == ACCEPTED)
        return [(body.sponsor, message) for body in bodies for message in body.messages]

    def inclusion(self, tx_id: Digest) -> Inclusion | None:
        """Where a transaction became final: where it was accepted, or else where it was refused last."""
        place = place_of(self._final, tx_id)
        if place is None:
            return None
        code = ACCEPTED if place.accepted else self.block(place.height).results[place.index].code
        return Inclusion(tx_id=tx_id, height=place.height, code=code)
