"""A member's ledger as its other processes see it: the same store, opened for reading beside the process that writes.

A follower shows one committed moment at a time, header and state together, and moves on when the ledger process says
that a block is final (`cometbft/link.py`), or when it looks by itself because nobody says anything. What a caller took
from `state` before stays as it was. Restart a process whose follower says that the store cannot be read: the map may
have grown.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from salus.contracts.members.messages import Genesis
from salus.core.errors import MalformedError
from salus.core.ids import ChainId, Digest, Height, MemberId, TimeMs
from salus.core.wire import Message, decode, encode
from salus.engines.engine import Inclusion
from salus.engines.layout import BASE_KEY, GENESIS_KEY, NEWEST_KEY, StoredBlock, block_at, place_of
from salus.engines.lmdb_store import LmdbStore, Snapshot
from salus.engines.replica import BrokenBlockError, NotFoundError, OtherNetworkError
from salus.machine.admission import read
from salus.machine.block import ACCEPTED, Header
from salus.state.state import State


class Follower:
    """Reads what another process writes. Satisfies `machine.view.View`. Not for two threads."""

    def __init__(self, member: MemberId, genesis: Genesis, folder: Path) -> None:
        """Open a ledger that its own process has founded.

        Raises:
            UnavailableError: there is none yet.
            OtherNetworkError: it is of another network.
            BrokenBlockError: its newest header is damaged.
        """
        self._member = member
        self._genesis = genesis
        self._listeners: list[Callable[[StoredBlock], None]] = []
        self._arrived = asyncio.Condition()
        self._store = LmdbStore(folder, read_only=True)
        try:
            if self._store.get(GENESIS_KEY) is None:
                raise NotFoundError(height=0)  # The store is there, and its first commit is still to come.
            self._moment, self._newest = self._look()
            if self._moment.get(GENESIS_KEY) != encode(genesis):
                raise OtherNetworkError(member=member)
        except BaseException:
            self._store.close()
            raise

    @property
    def member(self) -> MemberId:
        """Whose copy it is."""
        return self._member

    @property
    def genesis(self) -> Genesis:
        """What the network started from."""
        return self._genesis

    @property
    def keeps_votes(self) -> bool:
        """The ordering engine keeps them."""
        return False

    @property
    def chain(self) -> ChainId:
        """The network's name."""
        return self.genesis.chain

    @property
    def height(self) -> Height:
        """Of the newest final block seen."""
        return self._newest.height

    @property
    def time(self) -> TimeMs:
        """Of the newest final header seen."""
        return self._newest.time

    @property
    def header(self) -> Header:
        """The newest final header seen."""
        return self._newest

    @property
    def state(self) -> State:
        """The state after that block, for reading only."""
        return State(self._moment)

    @property
    def values_and_tree(self) -> LmdbStore:
        """The store beneath, for `salus ledger check`."""
        return self._store

    async def reached(self, height: Height, timeout_s: float) -> bool:
        """Wait until a height is seen here."""
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(lambda: self.height >= height)
        except TimeoutError:
            return False
        return True

    def listen(self, listener: Callable[[StoredBlock], None]) -> None:
        """Call this with each block once it is seen here, in order and once."""
        self._listeners.append(listener)

    async def look(self) -> None:
        """Move on to the newest final block, tell the listeners of each on the way, wake whoever waits."""
        before = self.height
        self._moment, self._newest = self._look()
        if self.height == before:
            return
        for height in range(before + 1, self.height + 1) if self._listeners else ():
            stored = self._told_of(height)
            if stored is not None:
                for listener in self._listeners:
                    listener(stored)
        async with self._arrived:
            self._arrived.notify_all()

    def block(self, height: Height) -> StoredBlock:
        """A final block.

        Raises:
            NotFoundError: no block has become final at this height, or it came here in a snapshot.
            BrokenBlockError: its bytes are not a block.
        """
        try:
            stored = block_at(self._moment, height) if 1 <= height <= self.height else None
        except MalformedError:
            raise BrokenBlockError(member=self.member, height=height) from None
        if stored is None:
            raise NotFoundError(height=height)
        return stored

    def blocks(self, start: Height = 1) -> Iterator[StoredBlock]:
        """Final blocks from a height on; after a snapshot, from the first that is here."""
        stored = self._moment.get(BASE_KEY)
        base = 0 if stored is None else decode(Header, stored).height
        for height in range(max(start, base + 1), self.height + 1):
            yield self.block(height)

    def accepted(self, height: Height) -> list[tuple[MemberId, Message]]:
        """See `View.accepted`."""
        stored = self.block(height)
        bodies = (read(tx).body for tx, r in zip(stored.block.txs, stored.results, strict=True) if r.code == ACCEPTED)
        return [(body.sponsor, message) for body in bodies for message in body.messages]

    def inclusion(self, tx_id: Digest) -> Inclusion | None:
        """Where a transaction became final: where it was accepted, or else where it was refused last."""
        place = place_of(self._moment, tx_id)
        if place is None:
            return None
        code = ACCEPTED if place.accepted else self.block(place.height).results[place.index].code
        return Inclusion(tx_id=tx_id, height=place.height, code=code)

    def close(self) -> None:
        """Let go of the folder."""
        del self._moment
        self._store.close()

    def _look(self) -> tuple[Snapshot, Header]:
        moment = self._store.moment()
        try:
            return moment, decode(Header, moment.get(NEWEST_KEY) or b"")
        except MalformedError:
            raise BrokenBlockError(member=self.member) from None

    def _told_of(self, height: Height) -> StoredBlock | None:
        """A block to tell of; None where a snapshot took its place."""
        try:
            return self.block(height)
        except NotFoundError:
            return None
