"""The embedded engine: one process puts transactions in order for as many members as it simulates.

Nothing to install; for one hospital, a demo, a test. Each member has its own replica, applies every block itself and
signs the header it computed; a block is final with signatures of more than two thirds of the validators, as between
members. Transactions that arrive while a block is being made wait for the next one (group commit), so a block costs one
fsync per member however many it carries. Tests hold a member's feed back to see what a lagging or missing member does.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from salus.core.clock import Clock
from salus.core.errors import IntegrityError, UnavailableError
from salus.core.ids import SECOND_MS, Digest, MemberId
from salus.crypto.signatures import SigningKey
from salus.engines.engine import Inclusion
from salus.engines.receipts import Receipt, is_quorum, validators_of
from salus.engines.replica import DivergedError, Replica, StoredBlock
from salus.machine.admission import read
from salus.machine.block import Block, Header, header_id
from salus.machine.machine import Machine

HEARTBEAT_S = 15
SUBMIT_TIMEOUT_S = 10
BLOCK_BYTES_MAX = 4_000_000
_VERIFY_AHEAD_MIN = 8  # Below this, handing work to threads costs more than it saves.


class NotFinalError(UnavailableError):
    """Too few members are up to make a block final; the transaction may still become final before it runs out."""

    code = "engine.not_final"


class EmbeddedEngine:
    """Orders transactions for the members of one process. Satisfies `Engine`."""

    def __init__(
        self,
        replicas: Mapping[MemberId, Replica],
        keys: Mapping[MemberId, SigningKey],
        machine: Machine,
        clock: Clock,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._replicas = dict(replicas)
        self._keys = dict(keys)
        self._machine = machine
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        genesis = next(iter(self._replicas.values())).genesis
        self._validators = [name for name, _ in validators_of(genesis)]
        self._sponsors = {founder.member: founder.keys.ledger for founder in genesis.members}
        self._held: set[MemberId] = set()
        self._halted: dict[MemberId, IntegrityError] = {}
        self._pending: deque[bytes] = deque()
        self._waiting: dict[Digest, list[asyncio.Future[Inclusion]]] = {}
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()  # A member came back or went.
        self._task: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="verify")
        self._on_final: list[Callable[[StoredBlock], None]] = []
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Bring members that fell behind up to the newest final block, then make blocks, beginning with a heartbeat."""
        self._catch_up()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Make no further block; what was submitted and is not final stays unanswered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._threads.shutdown(wait=True)
        self._fail_waiting()

    async def submit(self, tx: bytes) -> Inclusion:
        """See `Engine.submit`."""
        if self.failure is not None:
            raise NotFinalError(reason="the engine stopped")
        tx_id = read(tx).tx_id
        future: asyncio.Future[Inclusion] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tx_id, []).append(future)
        self._pending.append(tx)
        self._wake.set()
        try:
            async with asyncio.timeout(SUBMIT_TIMEOUT_S):
                return await asyncio.shield(future)
        except TimeoutError:
            raise NotFinalError(tx_id=tx_id, members_up=len(self._voting())) from None

    def receipt(self, tx_id: Digest) -> Receipt:
        """See `Engine.receipt`."""
        return self.newest().receipt(tx_id)

    def newest(self) -> Replica:
        """The replica that is furthest."""
        return max(self._replicas.values(), key=lambda replica: replica.height)

    def replica(self, member: MemberId) -> Replica:
        """A member's own replica."""
        return self._replicas[member]

    def on_final(self, listener: Callable[[StoredBlock], None]) -> None:
        """Call this once for each final block of the network."""
        self._on_final.append(listener)

    def hold(self, member: MemberId) -> None:
        """Keep blocks from a member, as if it were cut off; it neither applies nor votes."""
        self._held.add(member)

    async def release(self, member: MemberId) -> None:
        """Let a member's blocks through again; it catches up at once."""
        self._held.discard(member)
        self._catch_up()
        await self._replicas[member].announce()
        self._changed.set()

    @property
    def halted(self) -> Mapping[MemberId, IntegrityError]:
        """Members whose own result contradicted the network's: they stopped, the operator must look."""
        return self._halted

    def _voting(self) -> list[MemberId]:
        return [name for name in self._validators if self._takes_part(name)]

    def _takes_part(self, member: MemberId) -> bool:
        return member not in self._held and member not in self._halted

    async def _run(self) -> None:
        try:
            await self._make_block([])
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await self._wake.wait()
                except TimeoutError:
                    await self._make_block([])
                    continue
                self._wake.clear()
                await asyncio.sleep(0)  # Whoever is about to submit gets into the same block.
                while self._pending:
                    await self._make_block(self._take())
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = error
            self._fail_waiting()
            raise

    def _take(self) -> list[bytes]:
        taken: list[bytes] = []
        size_bytes = 0
        while self._pending and (not taken or size_bytes + len(self._pending[0]) <= BLOCK_BYTES_MAX):
            taken.append(self._pending.popleft())
            size_bytes += len(taken[-1])
        return taken

    async def _make_block(self, txs: list[bytes]) -> None:
        await self._verify_ahead(txs)
        await self._enough_members()
        newest = self.newest().header
        now = max(self._clock(), newest.time + 1)
        block = Block(
            chain=newest.chain, height=newest.height + 1, time=now, previous=header_id(newest), txs=tuple(txs)
        )
        stored = self._agree(block)
        for replica in self._replicas.values():
            await replica.announce()
        for listener in self._on_final:
            listener(stored)
        for result in stored.results:
            for future in self._waiting.pop(result.tx_id, ()):
                if not future.done():
                    future.set_result(Inclusion(tx_id=result.tx_id, height=block.height, code=result.code))

    def _agree(self, block: Block) -> StoredBlock:
        """Let every member apply the block, gather votes on one header, then let every member keep it."""
        headers = {name: self._replicas[name].prepare(block) for name in self._replicas if self._takes_part(name)}
        try:
            header = self._elected(headers)
            votes = tuple(
                self._replicas[name].vote(self._keys[name])
                for name in self._voting()
                if name in headers and headers[name] == header
            )
        except NotFinalError:
            for name in headers:
                self._replicas[name].abandon()
            raise
        kept: StoredBlock | None = None
        for name in headers:
            try:
                kept = self._replicas[name].finalise(header, votes)
            except DivergedError as error:
                self._halted[name] = error
        assert kept is not None
        return kept

    def _elected(self, headers: Mapping[MemberId, Header]) -> Header:
        votes: dict[Digest, list[Header]] = {}
        for name in self._voting():
            votes.setdefault(header_id(headers[name]), []).append(headers[name])
        most = max(votes.values(), key=len, default=[])
        if not is_quorum(len(most), len(self._validators)):
            raise NotFinalError(reason="members disagree or are too few", members=len(most))
        return most[0]

    async def _enough_members(self) -> None:
        while not is_quorum(len(self._voting()), len(self._validators)):
            self._changed.clear()
            await self._changed.wait()

    async def _verify_ahead(self, txs: list[bytes]) -> None:
        """Verify signatures on both cores before the block is applied; the machine remembers the verdicts."""
        if len(txs) < _VERIFY_AHEAD_MIN:
            return
        loop = asyncio.get_running_loop()
        halves = (txs[::2], txs[1::2])
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._verify_all, half) for half in halves))

    def _verify_all(self, txs: list[bytes]) -> None:
        for tx in txs:
            submitted = read(tx)
            sponsor = self._sponsors.get(submitted.body.sponsor)
            if sponsor is not None:
                self._machine.verify(sponsor, submitted.tx_id, submitted.tx.signature)
            for witness in submitted.tx.witnesses:
                self._machine.verify(witness.key, submitted.tx_id, witness.signature)

    def _catch_up(self) -> None:
        newest = self.newest()
        for name, replica in self._replicas.items():
            if not self._takes_part(name):
                continue
            for stored in newest.blocks(replica.height + 1):
                try:
                    replica.adopt(stored)
                except DivergedError as error:
                    self._halted[name] = error
                    break

    def _fail_waiting(self) -> None:
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(NotFinalError(reason="the engine stopped"))
                    future.exception()
        self._waiting.clear()


def age_ms(replica: Replica, clock: Clock) -> int:
    """How old a member's view is: its own clock minus its newest header's time."""
    return max(0, clock() - replica.time)


def is_fresh(replica: Replica, clock: Clock, limit_s: int) -> bool:
    """Whether a member's view is younger than a limit."""
    return age_ms(replica, clock) < limit_s * SECOND_MS
