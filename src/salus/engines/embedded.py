"""The embedded engine: one process puts transactions in order for as many members as it simulates.

Nothing to install; for one hospital, a demo, a test. Each member has its own replica, applies every block itself and
signs the header it computed; a block is final with signatures of more than two thirds of the validators, as between
members (`agreement.py`). Transactions that arrive while a block is being made wait for the next one (`queue.py`), so a
block costs one fsync per member however many it carries. Tests hold a member's feed back to see what a lagging or
missing member does.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from salus.contracts.members.reads import member_of, parameters_of, quota_of
from salus.core.clock import Clock
from salus.core.errors import IntegrityError
from salus.core.ids import SECOND_MS, Digest, MemberId, PublicKey
from salus.crypto.signatures import SigningKey
from salus.engines.agreement import Agreement, NoQuorumError, NotFinalError
from salus.engines.engine import Inclusion
from salus.engines.layout import StoredBlock
from salus.engines.queue import Queue, Waiting
from salus.engines.receipts import Receipt
from salus.engines.replica import Replica
from salus.machine.admission import Submitted, read
from salus.machine.block import ACCEPTED, Block, header_id
from salus.machine.errors import BadSignatureError, TooLargeError, UnknownSponsorError
from salus.machine.machine import Machine

__all__ = ["HEARTBEAT_S", "SUBMIT_TIMEOUT_S", "EmbeddedEngine", "NoQuorumError", "NotFinalError", "age_ms", "is_fresh"]

HEARTBEAT_S = 15
SUBMIT_TIMEOUT_S = 10
_VERIFY_AHEAD_MIN = 8  # Below this, handing work to threads costs more than it saves.
_VERIFY_THREADS = 2


class EmbeddedEngine:
    """Orders transactions for the members of one process. Satisfies `Engine`. For one event loop.

    A transaction that is waiting already is not queued again: whoever submits it gets the same answer. One that was
    accepted before is answered with where it stands. `machine` is the one that the replicas apply blocks with; let it
    remember verdicts (`machine.remembering`), and signatures are verified on both cores ahead of each block.
    """

    def __init__(
        self,
        replicas: Mapping[MemberId, Replica],
        keys: Mapping[MemberId, SigningKey],
        machine: Machine,
        clock: Clock,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._members = Agreement(replicas, keys)
        self._machine = machine
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._queue = Queue()
        self._answers: dict[bytes, asyncio.Future[Inclusion]] = {}  # By transaction, waiting or in a block.
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()  # A member came back.
        self._task: asyncio.Task[None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._on_final: list[Callable[[StoredBlock], None]] = []
        self.failure: BaseException | None = None
        self._look()

    async def start(self) -> None:
        """Bring members that fell behind up to the newest final block, then make blocks, beginning with a heartbeat.

        Raises:
            NoQuorumError: members contradict each other.
        """
        if self._task is not None:
            raise RuntimeError("the engine runs already")
        self.failure = None
        self._members.catch_up()
        self._look()
        await self._announce()
        if self._members.is_ready():
            await self._make_block([])
        self._threads = ThreadPoolExecutor(_VERIFY_THREADS, thread_name_prefix="verify")
        self._task = asyncio.create_task(self._run(), name="embedded engine")

    async def stop(self) -> None:
        """Make no further block. Whoever waits for one is told; stopping twice is harmless."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True)
        self._answer_all_not_final()

    async def submit(self, tx: bytes) -> Inclusion:
        """See `Engine.submit`. To cancel it withdraws nothing: the transaction may still become final."""
        if self._task is None or self.failure is not None:
            raise NotFinalError(reason="the engine does not run")
        answer = self._answers.get(tx) or self._queued(tx, read(tx))
        if isinstance(answer, Inclusion):
            return answer
        await asyncio.wait((answer,), timeout=SUBMIT_TIMEOUT_S)  # Leaves the answer to others who wait for it.
        if not answer.done():
            raise NotFinalError(members_up=len(self._members.voting()))
        return answer.result()

    @property
    def waiting(self) -> int:
        """How many transactions wait to become final."""
        return len(self._answers)

    async def receipt(self, tx_id: Digest) -> Receipt:
        """See `Engine.receipt`."""
        return self.newest().receipt(tx_id)

    def newest(self) -> Replica:
        """The replica that is furthest."""
        return self._members.newest()

    def replica(self, member: MemberId) -> Replica:
        """A member's own replica."""
        return self._members.replicas[member]

    def on_final(self, listener: Callable[[StoredBlock], None]) -> None:
        """Call this once for each block that this engine makes final."""
        self._on_final.append(listener)

    async def admit(self, member: MemberId, replica: Replica, key: SigningKey) -> None:
        """Let a member take part that joined at run time, or go on with another validator's key; it catches up."""
        self._members.admit(member, replica, key)
        self._members.catch_up()
        await self._announce()
        self._changed.set()

    def dismiss(self, member: MemberId) -> None:
        """Let the replica of a member go that is none any more; the caller closes it."""
        self._members.dismiss(member)
        self._look()

    def hold(self, member: MemberId) -> None:
        """Keep blocks from a member, as if it were cut off; it neither applies nor votes."""
        self._members.hold(member)

    async def release(self, member: MemberId) -> None:
        """Let a member's blocks through again; it catches up at once."""
        self._members.release(member)
        self._members.catch_up()
        await self._announce()
        self._changed.set()

    @property
    def halted(self) -> Mapping[MemberId, IntegrityError]:
        """Members whose own result contradicted the network's: they stopped, the operator must look."""
        return self._members.halted

    def _queued(self, tx: bytes, submitted: Submitted) -> "asyncio.Future[Inclusion] | Inclusion":
        """Where the transaction stands if it was accepted before; else its future answer."""
        known = self._source.inclusion(submitted.tx_id)
        if known is not None and known.code == ACCEPTED:
            return known
        if len(tx) > self._limits.transaction_bytes_max:
            raise TooLargeError(size_bytes=len(tx), size_bytes_max=self._limits.transaction_bytes_max)
        self._check_sponsor(submitted)
        self._queue.put(tx, submitted)
        answer = self._answers[tx] = asyncio.get_running_loop().create_future()
        self._wake.set()
        return answer

    def _check_sponsor(self, submitted: Submitted) -> None:
        """Raise unless the sponsor is a member and, where much waits under its name already, has signed this."""
        sponsor = member_of(self._source.state, submitted.body.sponsor)
        if sponsor is None:
            raise UnknownSponsorError(sponsor=submitted.body.sponsor)
        if self._queue.needs_proof(submitted) and not self._machine.verify(
            sponsor.keys.ledger, submitted.tx_id, submitted.tx.signature
        ):
            raise BadSignatureError(sponsor=submitted.body.sponsor)

    async def _run(self) -> None:
        try:
            while True:
                await self._beat()
                await self._make_block(self._take())
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = error
            self._answer_all_not_final()
            raise

    async def _beat(self) -> None:
        """Wait until something is to be put into a block, or for the heartbeat."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                while not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(0)  # Whoever is about to submit gets into the same block.

    def _look(self) -> None:
        """See which replica is furthest now and which limits are in force: asked for every submission."""
        self._source = self.newest()
        self._limits = parameters_of(self._source.state)

    def _take(self) -> list[Waiting]:
        state = self._source.state
        return self._queue.take(self._limits, lambda member: quota_of(state, member))

    async def _make_block(self, taken: Sequence[Waiting]) -> None:
        """Make one block final and tell everyone. Nothing is awaited between its first and its last write."""
        await self._verify_ahead(taken)
        await self._enough_members()
        newest = self.newest().header
        block = Block(
            chain=newest.chain,
            height=newest.height + 1,
            time=max(self._clock(), newest.time + 1),
            previous=header_id(newest),
            txs=tuple(waiting.data for waiting in taken),
        )
        try:
            stored = self._members.agree(block)
        except NotFinalError as error:
            self._answer_not_final(block.txs, error)
            return
        self._look()
        self._answer(stored)
        await self._announce()
        for listener in self._on_final:
            listener(stored)

    async def _enough_members(self) -> None:
        self._members.catch_up()
        while not self._members.is_ready():
            self._changed.clear()
            try:
                async with asyncio.timeout(self._heartbeat_s):  # A disk that was full may have room again.
                    await self._changed.wait()
            except TimeoutError:
                self._members.catch_up()

    async def _announce(self) -> None:
        for name, replica in list(self._members.replicas.items()):
            if self._members.replicas.get(name) is replica:  # Another may have come, or this one gone, meanwhile.
                await replica.announce()

    async def _verify_ahead(self, taken: Sequence[Waiting]) -> None:
        """Verify signatures on both cores before the block is applied; the machine remembers the verdicts."""
        if len(taken) < _VERIFY_AHEAD_MIN or self._threads is None:
            return
        state = self.newest().state
        sponsors = {waiting.submitted.body.sponsor for waiting in taken}
        entries = {name: member_of(state, name) for name in sponsors}
        keys = {name: entry.keys.ledger for name, entry in entries.items() if entry is not None}
        loop = asyncio.get_running_loop()
        parts = [taken[start::_VERIFY_THREADS] for start in range(_VERIFY_THREADS)]
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._verify_all, part, keys) for part in parts))

    def _verify_all(self, taken: Sequence[Waiting], keys: Mapping[MemberId, PublicKey]) -> None:
        for waiting in taken:
            submitted = waiting.submitted
            key = keys.get(submitted.body.sponsor)
            if key is not None:
                self._machine.verify(key, submitted.tx_id, submitted.tx.signature)
            for witness in submitted.tx.witnesses:
                self._machine.verify(witness.key, submitted.tx_id, witness.signature)

    def _answer(self, stored: StoredBlock) -> None:
        for tx, result in zip(stored.block.txs, stored.results, strict=True):
            answer = self._answers.pop(tx, None)
            if answer is not None and not answer.done():
                answer.set_result(Inclusion(tx_id=result.tx_id, height=stored.header.height, code=result.code))

    def _answer_not_final(self, txs: Sequence[bytes], error: NotFinalError) -> None:
        for tx in txs:
            answer = self._answers.pop(tx, None)
            if answer is not None and not answer.done():
                answer.set_exception(NotFinalError(**error.facts))
                answer.exception()  # Marked as seen: whoever submitted it may have gone.

    def _answer_all_not_final(self) -> None:
        self._queue.clear()
        self._answer_not_final(list(self._answers), NotFinalError(reason="the engine stopped"))


def age_ms(replica: Replica, clock: Clock) -> int:
    """How old a member's view is: its own clock minus its newest header's time."""
    return max(0, clock() - replica.time)


def is_fresh(replica: Replica, clock: Clock, limit_s: int) -> bool:
    """Whether a member's view is younger than a limit."""
    return age_ms(replica, clock) < limit_s * SECOND_MS
