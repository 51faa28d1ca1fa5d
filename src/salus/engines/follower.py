"""A member's ledger as its other processes see it: the same store, opened for reading beside the process that writes.

A follower shows one committed moment at a time, header and state together, and moves on when the ledger process says
that a block is final (`cometbft/link.py`), or when it looks by itself because nobody says anything. What a caller took
from `state` before stays as it was. Restart a process whose follower says that the store cannot be read: the map may
have grown.
"""

from pathlib import Path

from salus.contracts.members.messages import Genesis
from salus.core.errors import MalformedError
from salus.core.ids import Height, MemberId
from salus.core.wire import decode, encode
from salus.engines.layout import GENESIS_KEY, NEWEST_KEY, StoredBlock
from salus.engines.ledger_copy import BrokenBlockError, LedgerCopy, NotFoundError, OtherNetworkError
from salus.engines.lmdb_store import LmdbStore, Snapshot
from salus.machine.block import Header
from salus.state.key_value import KeyValue
from salus.state.state import State


class Follower(LedgerCopy):
    """Reads what another process writes. Satisfies `machine.view.View`. Not for two threads."""

    def __init__(self, member: MemberId, genesis: Genesis, folder: Path) -> None:
        """Open a ledger that its own process has founded.

        Raises:
            UnavailableError: there is none yet.
            OtherNetworkError: it is of another network.
            BrokenBlockError: its newest header is damaged.
        """
        super().__init__(member, genesis, LmdbStore(folder, read_only=True))
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
    def _final(self) -> KeyValue:
        return self._moment

    @property
    def keeps_votes(self) -> bool:
        """The ordering engine keeps them."""
        return False

    @property
    def moment(self) -> Snapshot:
        """The committed moment that it shows."""
        return self._moment

    @property
    def state(self) -> State:
        """The state after that block, for reading only."""
        return State(self._moment)

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
