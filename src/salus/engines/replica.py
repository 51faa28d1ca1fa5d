"""One member's own copy of the ledger: it applies every block itself and shows only what is final.

A block is first `prepared`: applied inside an open write transaction, so that the header can be computed and signed.
With votes of more than two thirds it is `finalised`: block, votes, values and tree become durable together, with one
fsync. Otherwise it is `abandoned` and leaves nothing. What lies where in the store is in `layout.py`.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from salus.contracts.members.messages import Genesis
from salus.contracts.members.reads import validators
from salus.core.errors import IntegrityError, MalformedError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import NO_DIGEST, Digest, Height, MemberId
from salus.core.wire import decode, encode
from salus.crypto.signatures import SigningKey
from salus.engines.layout import (
    GENESIS_KEY,
    NEWEST_KEY,
    StoredBlock,
    hand_over,
    handovers_before,
    keep,
    place_of,
)
from salus.engines.ledger_copy import BrokenBlockError, LedgerCopy, NotFoundError, OtherNetworkError
from salus.engines.lmdb_store import LmdbStore, OpenWrite
from salus.engines.receipts import (
    Handover,
    Receipt,
    Validator,
    Vote,
    check_votes,
    keys_of,
    named,
    path_of,
    validators_of,
)
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
from salus.state.key_value import KeyValue
from salus.state.state import State


class DivergedError(IntegrityError):
    """This member computed another header than more than two thirds of the validators signed."""

    code = "engine.diverged"


class Replica(LedgerCopy):
    """The ledger as one member holds it. Not for two threads. Satisfies `machine.view.View`."""

    def __init__(
        self, member: MemberId, genesis: Genesis, store: LmdbStore, machine: Machine, faults: Faults = NO_FAULTS
    ) -> None:
        super().__init__(member, genesis, store)
        self._machine = machine
        self._faults = faults
        self._untold: list[StoredBlock] = []
        self._open: OpenWrite | None = None  # While a block is prepared.
        self._next_validators: tuple[Validator, ...] = ()  # After the prepared block.
        self._prepared: tuple[Block, tuple[Result, ...], Header] | None = None
        self._newest = self._start()
        self._validators = named(validators(self.state))

    def _start(self) -> Header:
        stored = self._store.get(GENESIS_KEY)
        if stored is None:
            return self._found()
        if stored != encode(self.genesis):
            raise OtherNetworkError(member=self.member)
        newest = self._store.get(NEWEST_KEY)
        try:
            return decode(Header, newest or b"")
        except MalformedError:
            raise BrokenBlockError(member=self.member) from None

    def reload(self) -> None:
        """Begin again with what the store holds now, after a snapshot was taken over into it."""
        self._newest = self._start()
        self._validators = named(validators(self.state))

    def _found(self) -> Header:
        with self._store.write():
            header = genesis_header(self.genesis, self._machine.genesis(State(self._store), self.genesis))
            self._store.put(GENESIS_KEY, encode(self.genesis))
            self._store.put(NEWEST_KEY, encode(header))
        return header

    @property
    def _final(self) -> KeyValue:
        return self._store

    @property
    def keeps_votes(self) -> bool:
        """Blocks carry validators' votes where members of one process agree; see `Ledger.keeps_votes`."""
        return True

    @property
    def state(self) -> State:
        """The final state, for reading only; a block that is only prepared does not show in it."""
        return State(self._store if self._open is None else self._store.committed)

    @property
    def prepared(self) -> tuple[tuple[Result, ...], Header, State]:
        """What the prepared block led to: results, header, and the state as it will be. For whoever prepared it."""
        assert self._prepared is not None
        return self._prepared[1], self._prepared[2], State(self._store)

    @property
    def validators(self) -> tuple[Validator, ...]:
        """Whose signatures make the next block final."""
        return self._validators

    def forget_listeners(self) -> None:
        """Call none of them any more: whoever listened has ended."""
        self._listeners.clear()

    def prepare(self, block: Block) -> Header:
        """Apply the next block without keeping it yet; the header is this member's own result.

        Raises:
            IntegrityError: the block does not follow the newest one here.
        """
        if block.height != self.height + 1 or block.previous != header_id(self._newest):
            raise IntegrityError(reason="not the next block", height=block.height, newest=self.height)
        self._open = OpenWrite(self._store)
        try:
            with no_cyclic_collector():
                state = State(self._store)
                applied = self._machine.apply(state, block)
                header = header_of(block, applied)
                self._next_validators = self._validators_after(state, header)
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
        assert self._open is not None
        assert self._prepared is not None
        block, results, own = self._prepared
        if own != header:
            self.abandon()
            raise DivergedError(member=self.member, height=header.height)
        stored = StoredBlock(block=block, results=results, header=header, votes=votes)
        try:
            keep(self._store, stored)
            if self._next_validators != self._validators:
                hand_over(self._store, header.height, self._next_validators)
            self._faults.hit(f"ledger.{self.member}.block:before")
            self._open.keep()
        except BaseException:
            self.abandon()
            raise
        self._open = self._prepared = None
        self._newest, self._validators = header, self._next_validators
        self._untold.append(stored)
        self._faults.hit(f"ledger.{self.member}.block:after")
        return stored

    async def announce(self) -> None:
        """Call the listeners for what became final since, and wake whoever waits in `reached`."""
        self._tell()
        async with self._arrived:
            self._arrived.notify_all()

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for stored in untold:
            for listener in self._listeners:
                listener(stored)

    def adopt(self, stored: StoredBlock) -> None:
        """Take over a block that others made final: check its votes, apply it, compare, keep it.

        Raises:
            ReceiptError: too few of the validators before it signed it.
            DivergedError: it leads to another header here.
        """
        check_votes(stored.header, stored.votes, keys_of(self._validators))
        self.prepare(stored.block)
        self.finalise(stored.header, stored.votes)
        self._tell()  # At once, so that a long absence is not held in memory.

    def abandon(self) -> None:
        """Forget the prepared block, if there is one."""
        if self._open is not None:
            self._open.abandon()
        self._open = self._prepared = None

    def receipt(self, tx_id: Digest) -> Receipt:
        """The proof of a final transaction: of its acceptance, or else of its last refusal.

        Raises:
            NotFoundError: no final block here holds it.
            BrokenBlockError: the block that holds it is damaged.
        """
        place = place_of(self._store, tx_id)
        if place is None:
            raise NotFoundError(tx_id=tx_id)
        stored = self.block(place.height)
        if not place.index < len(stored.results) == len(stored.block.txs):
            raise BrokenBlockError(member=self.member, height=place.height)
        leaves = [outcome_leaf(tx, result) for tx, result in zip(stored.block.txs, stored.results, strict=True)]
        turns, siblings = path_of(leaves, place.index)
        return Receipt(
            tx=stored.block.txs[place.index],
            result=stored.results[place.index],
            turns=turns,
            siblings=siblings,
            header=stored.header,
            votes=stored.votes,
            handovers=self.handovers(stored.header.height),
        )

    def handovers(self, height: Height) -> tuple[Handover, ...]:
        """Each time that validators changed below a height: the way from the genesis's to those who signed there.

        Raises:
            BrokenBlockError: one of them is damaged.
        """
        try:
            return tuple(handovers_before(self._store, height))
        except MalformedError:
            raise BrokenBlockError(member=self.member, height=height) from None

    def close(self) -> None:
        """Let go of the folder."""
        self.abandon()
        self._store.close()

    def _validators_after(self, state: State, header: Header) -> tuple[Validator, ...]:
        unchanged = header.validators == self._newest.validators
        return self._validators if unchanged else named(validators(state))


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


@contextmanager
def no_cyclic_collector() -> Iterator[None]:
    """Tree updates make many small objects and no cycles: the collector would quadruple their cost."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
