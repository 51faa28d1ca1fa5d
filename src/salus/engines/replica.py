"""One member's own copy of the ledger: it applies every block itself and shows only what is final.

A block is first `prepared`: applied inside an open write transaction, so that the header can be computed and signed.
With votes of more than two thirds it is `finalised`: block, votes, values and tree become durable together, with one
fsync. Otherwise it is `abandoned` and leaves nothing.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from salus.contracts.members.messages import Genesis
from salus.core.errors import IntegrityError, UnavailableError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import NO_DIGEST, ChainId, Digest, Height, MemberId, TimeMs
from salus.core.wire import Record, decode, encode
from salus.crypto.merkle import path
from salus.crypto.signatures import SigningKey
from salus.engines.lmdb_store import LmdbStore
from salus.engines.receipts import Receipt, Vote, check_votes, validators_of
from salus.machine.block import (
    Block,
    Header,
    Result,
    header_id,
    header_of,
    outcome_leaf,
    validators_digest_of,
)
from salus.machine.machine import Machine
from salus.state.key_value import Prefixed
from salus.state.state import State

_GENESIS = b"g"
_BLOCKS = b"b"
_INDEX = b"x"
_NEWEST = b"n"


class StoredBlock(Record, tag="engine.stored_block/1", frozen=True):
    """A final block with what it led to."""

    block: Block
    results: tuple[Result, ...]
    header: Header
    votes: tuple[Vote, ...]


class DivergedError(IntegrityError):
    """This member computed another header than more than two thirds of the validators signed."""

    code = "engine.diverged"


class NotFoundError(UnavailableError):
    """No final block here holds this transaction, or this height."""

    code = "engine.not_found"


class Replica:
    """The ledger as one member holds it. Not for two threads. Satisfies `machine.view.View`."""

    def __init__(
        self, member: MemberId, genesis: Genesis, store: LmdbStore, machine: Machine, faults: Faults = NO_FAULTS
    ) -> None:
        self.member = member
        self.genesis = genesis
        self._store = store
        self._machine = machine
        self._faults = faults
        self._validators = dict(validators_of(genesis))
        self._listeners: list[Callable[[StoredBlock], None]] = []
        self._arrived = asyncio.Condition()
        self._open: AbstractContextManager[object] | None = None
        self._prepared: tuple[Block, tuple[Result, ...], Header] | None = None
        self._newest = self._start()

    def _start(self) -> Header:
        stored = self._store.get(_GENESIS)
        if stored is None:
            with self._store.write():
                state = State(self._store)
                app_hash = self._machine.genesis(state, self.genesis)
                header = genesis_header(self.genesis, app_hash)
                self._store.put(_GENESIS, encode(self.genesis))
                self._store.put(_NEWEST, encode(header))
            return header
        if stored != encode(self.genesis):
            raise IntegrityError(reason="this folder belongs to another network", member=self.member)
        newest = self._store.get(_NEWEST)
        if newest is None:
            raise IntegrityError(reason="the newest header is missing", member=self.member)
        return decode(Header, newest)

    @property
    def chain(self) -> ChainId:
        """The network's name."""
        return self.genesis.chain

    @property
    def height(self) -> Height:
        """Of the newest final block."""
        return self._newest.height

    @property
    def time(self) -> TimeMs:
        """Of the newest final header."""
        return self._newest.time

    @property
    def header(self) -> Header:
        """The newest final header."""
        return self._newest

    @property
    def state(self) -> State:
        """The final state, for reading only."""
        return State(self._store)

    @property
    def values_and_tree(self) -> LmdbStore:
        """The store beneath, for `salus ledger check`."""
        return self._store

    async def reached(self, height: Height, timeout_s: float) -> bool:
        """Wait until this replica holds a height."""
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(lambda: self.height >= height)
        except TimeoutError:
            return False
        return True

    def listen(self, listener: Callable[[StoredBlock], None]) -> None:
        """Call this with each block once it is final here."""
        self._listeners.append(listener)

    def prepare(self, block: Block) -> Header:
        """Apply the next block without keeping it yet; the header is this member's own result.

        Raises:
            IntegrityError: the block does not follow the newest one here.
        """
        if block.height != self.height + 1 or block.previous != header_id(self._newest):
            raise IntegrityError(reason="not the next block", height=block.height, newest=self.height)
        opened = self._store.write()
        opened.__enter__()
        self._open = opened
        try:
            with _no_cyclic_collector():
                state = State(self._store)
                applied = self._machine.apply(state, block)
                header = header_of(block, applied)
        except BaseException:
            self.abandon()
            raise
        self._prepared = (block, applied.results, header)
        return header

    def vote(self, key: SigningKey) -> Vote:
        """Sign the header that was prepared."""
        assert self._prepared is not None
        return Vote(validator=self.member, signature=key.sign(header_id(self._prepared[2])))

    def finalise(self, header: Header, votes: tuple[Vote, ...]) -> StoredBlock:
        """Keep the prepared block: durable on return.

        Raises:
            DivergedError: this member computed another header; nothing is kept.
        """
        assert self._prepared is not None
        block, results, own = self._prepared
        if own != header:
            self.abandon()
            raise DivergedError(member=self.member, height=header.height)
        stored = StoredBlock(block=block, results=results, header=header, votes=votes)
        self._store.put(_BLOCKS + _eight(header.height), encode(stored))
        for index, result in enumerate(results):
            self._store.put(_INDEX + result.tx_id[:16], _eight(header.height) + _eight(index))
        self._store.put(_NEWEST, encode(header))
        self._faults.hit(f"ledger.{self.member}.block:before")
        self._close_write(None)
        self._faults.hit(f"ledger.{self.member}.block:after")
        self._newest = header
        for listener in self._listeners:
            listener(stored)
        return stored

    async def announce(self) -> None:
        """Wake whoever waits in `reached`."""
        async with self._arrived:
            self._arrived.notify_all()

    def adopt(self, stored: StoredBlock) -> None:
        """Take over a block that others made final: check its votes, apply it, compare, keep it.

        Raises:
            ReceiptError: too few validators signed it.
            DivergedError: it leads to another header here.
        """
        check_votes(stored.header, stored.votes, self._validators)
        self.prepare(stored.block)
        self.finalise(stored.header, stored.votes)

    def abandon(self) -> None:
        """Forget the prepared block."""
        self._close_write(_Abandoned())

    def block(self, height: Height) -> StoredBlock:
        """A final block."""
        data = self._store.get(_BLOCKS + _eight(height))
        if data is None:
            raise NotFoundError(height=height)
        return decode(StoredBlock, data)

    def blocks(self, start: Height = 1) -> Iterator[StoredBlock]:
        """Final blocks from a height on."""
        for height in range(start, self.height + 1):
            yield self.block(height)

    def receipt(self, tx_id: Digest) -> Receipt:
        """The proof of a final transaction."""
        place = self._store.get(_INDEX + tx_id[:16])
        if place is None:
            raise NotFoundError(tx_id=tx_id)
        stored = self.block(int.from_bytes(place[:8], "big"))
        index = int.from_bytes(place[8:], "big")
        leaves = [outcome_leaf(tx, result) for tx, result in zip(stored.block.txs, stored.results, strict=True)]
        return Receipt(
            tx=stored.block.txs[index],
            result=stored.results[index],
            index=index,
            total=len(leaves),
            path=path(leaves, index),
            header=stored.header,
            votes=stored.votes,
        )

    def close(self) -> None:
        """Let go of the folder."""
        if self._open is not None:
            self.abandon()
        self._store.close()

    def _close_write(self, error: BaseException | None) -> None:
        opened, self._open, self._prepared = self._open, None, None
        if opened is None:
            return
        if error is None:
            opened.__exit__(None, None, None)
            return
        try:
            opened.__exit__(type(error), error, None)
        except _Abandoned:
            return


def genesis_header(genesis: Genesis, app_hash: Digest) -> Header:
    """The header that the first block follows; nobody signs it, the genesis file says it all."""
    return Header(
        chain=genesis.chain,
        height=0,
        time=genesis.time,
        previous=NO_DIGEST,
        outcome_root=NO_DIGEST,
        app_hash=app_hash,
        validators=validators_digest_of(validators_of(genesis)),
    )


class _Abandoned(Exception):
    """Rolls a write transaction back."""


def _eight(number: int) -> bytes:
    return number.to_bytes(8, "big")


@contextmanager
def _no_cyclic_collector() -> Iterator[None]:
    """Tree updates make many small objects and no cycles: the collector would quadruple their cost."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def values_of(replica: Replica) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a replica's state, for measurements."""
    return Prefixed(replica.values_and_tree, b"v").scan(b"")
