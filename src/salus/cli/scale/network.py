"""The busiest minutes of a network: encounters at every hospital, their messages, blocks, and who waits for whom.

What is simulated: each member's cores with their queue, each message's way, blocks that fill and are voted on. What is
not: lost messages, members that are down, attacks (the fault tests do that with the real thing); disks, which none of
the benches found to be the limit; bandwidth, which is counted and not queued for.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from salus.cli.scale.events import Events, Server, Then
from salus.cli.scale.parameters import Assumed, Costs

US = 1e-6
REPLY_BYTES = 1_000.0  # A receipt, an error, the frame of an answer.
WRITING_S = 10.0  # After the view, what was found is written down; longer in life, and no less.
WARM_S = WRITING_S + 5.0  # Until as much is written as read; what happens before counts for nothing.
RECORD_BYTES = 600.0  # A header with salt, path and share hashes on the wire.


@dataclass
class Ledger:
    """Blocks: what waits, what is being voted on. Every member applies every block, so one stands for all."""

    events: Events
    costs: Costs
    assumed: Assumed
    chance: random.Random
    machine: Server = field(init=False)
    engine: Server = field(init=False)
    txs: int = 0
    tx_bytes: float = 0.0
    blocks: int = 0
    delays_s: list[float] = field(default_factory=list)
    _waiting: list[tuple[float, float, Then]] = field(default_factory=list)
    _is_busy: bool = False

    def __post_init__(self) -> None:
        self.machine, self.engine = Server(self.events), Server(self.events)

    def submit(self, size_bytes: float, then: Then) -> None:
        """A transaction; goes on when it is final here."""
        self.engine.serve(self.costs.engine_us * US, lambda: self._queue(self.events.now_s, size_bytes, then))

    @property
    def waiting(self) -> int:
        """Transactions that no block holds yet."""
        return len(self._waiting)

    def _queue(self, since_s: float, size_bytes: float, then: Then) -> None:
        self._waiting.append((since_s, size_bytes, then))
        if not self._is_busy:
            self._is_busy = True
            self._propose()

    def _propose(self) -> None:
        """A block: proposal, prevotes and precommits each cross the network; then every member applies it."""
        taken, size_bytes = 0, 0.0
        while taken < len(self._waiting) and size_bytes + self._waiting[taken][1] <= self.assumed.block_bytes:
            size_bytes += self._waiting[taken][1]
            taken += 1
        block, self._waiting = self._waiting[:taken], self._waiting[taken:]
        rounds_s = sum(self._crossing_s() for _ in range(3)) + self.assumed.block_ms / 1000.0
        engine_s = (self.costs.block_engine_us + 2 * self.assumed.ordering * self.costs.vote_us) * US
        machine_s = (self.costs.block_machine_us + taken * self.costs.machine_us) * US
        self.blocks += 1
        self.engine.serve(engine_s, lambda: None)
        self.events.after(rounds_s + engine_s, lambda: self.machine.serve(machine_s, final))

        def final() -> None:
            for since_s, size, then in block:
                self.txs += 1
                self.tx_bytes += size
                self.delays_s.append(self.events.now_s - since_s)
                then()
            if self._waiting:
                self._propose()
            else:
                self._is_busy = False

    def _crossing_s(self) -> float:
        """Until two thirds of the validators have heard something, hop by hop; slower ones are not waited for."""
        return sum(delay_s(self.chance, self.assumed) for _ in range(self.assumed.hops))


def delay_s(chance: random.Random, assumed: Assumed) -> float:
    """One message's way between two members: mostly near the usual, sometimes far longer."""
    return assumed.delay_ms / 1000.0 * chance.lognormvariate(0.0, 0.35)


@dataclass
class Played:
    """What a run showed."""

    assumed: Assumed
    seconds: float
    events: int
    txs_per_s: float
    blocks_per_s: float
    backlog: int  # Transactions and encounters that were not through at the end.
    read_s: list[float]
    write_s: list[float]
    final_s: list[float]
    utilisation: dict[str, float]  # Of the busiest of its kind.
    wire_bytes_per_s: float  # Of a member, in and out.


class Play:
    """One run."""

    def __init__(self, costs: Costs, assumed: Assumed, seed: int) -> None:
        self.costs, self.assumed = costs, assumed
        self.chance = random.Random(seed)
        self.events = Events()
        self.members = [Server(self.events, assumed.cores) for _ in range(assumed.hospitals)]
        self.ledger = Ledger(self.events, costs, assumed, self.chance)
        self.read_s: list[float] = []
        self.write_s: list[float] = []
        self.open = 0
        self.wire_bytes = 0.0
        self.used: set[int] = set()  # Keepers with something new in their log.
        self.batches: dict[int, list[Then]] = {}

    def run(self, seconds: float) -> Played:
        """Let a time pass, once everything is under way."""
        for member in range(self.assumed.hospitals):
            self._again(self.assumed.encounters_per_s, partial(self._encounter, member))
            self._again(self.assumed.consents_per_s, partial(self._consent, member))
            self.events.after(self.chance.random() * self.assumed.log_root_s, partial(self._root, member))
        self.events.run(WARM_S)
        self._forget()
        self.events.run(WARM_S + seconds)
        ledger = self.ledger
        busiest = max(server.utilisation(seconds) for server in self.members)
        return Played(
            assumed=self.assumed,
            seconds=seconds,
            events=self.events.happened,
            txs_per_s=ledger.txs / seconds,
            blocks_per_s=ledger.blocks / seconds,
            backlog=ledger.waiting + self.open,
            read_s=self.read_s,
            write_s=self.write_s,
            final_s=ledger.delays_s,
            utilisation={
                "keeper and gateway": busiest,
                "machine": ledger.machine.utilisation(seconds),
                "ordering engine": ledger.engine.utilisation(seconds),
            },
            wire_bytes_per_s=(self.wire_bytes / self.assumed.hospitals + self._gossip_bytes()) / seconds,
        )

    def _forget(self) -> None:
        for server in (*self.members, self.ledger.machine, self.ledger.engine):
            server.busy_s = 0.0
        for samples in (self.read_s, self.write_s, self.ledger.delays_s):
            samples.clear()
        self.ledger.txs = self.ledger.blocks = 0
        self.ledger.tx_bytes = self.wire_bytes = 0.0

    def _gossip_bytes(self) -> float:
        """What a member's engine passes on: each transaction in the mempool and in its block, and the votes."""
        votes = self.ledger.blocks * 2 * self.assumed.ordering * 250.0
        return (2.0 * self.ledger.tx_bytes + votes) * 2.0

    def _again(self, per_s: float, then: Then) -> None:
        """Let something happen so often, at random times."""

        def now() -> None:
            then()
            self._again(per_s, then)

        self.events.after(self.chance.expovariate(per_s), now)

    def _encounter(self, member: int) -> None:
        """Somebody is seen: the whole record first, then what was found is written down."""
        self.open += 1
        began_s, seats = self.events.now_s, self._seats(member)

        def read() -> None:
            self.read_s.append(self.events.now_s - began_s)
            self.open -= 1
            for _ in range(self.assumed.writes):
                self.events.after(self.chance.uniform(1.0, WRITING_S), partial(self._write, member, seats))

        self._read(member, seats, read)

    def _read(self, member: int, seats: list[int], then: Then) -> None:
        costs, view = self.costs, self.assumed.view
        answer_s = (costs.answer_us * view + costs.message_us) * US
        opened_s = (costs.view_us * view + costs.message_us * len(seats)) * US

        def ask() -> None:
            self._all(member, seats, answer_s, RECORD_BYTES * view, len(seats), opened)

        def opened() -> None:
            self.members[member].serve(opened_s, then)

        self.ledger.submit(costs.small_tx_bytes, ask)

    def _write(self, member: int, seats: list[int]) -> None:
        """A write waits for others of its hospital for a moment, then they go as one batch."""
        self.open += 1
        began_s = self.events.now_s

        def durable() -> None:
            self.write_s.append(self.events.now_s - began_s)
            self.open -= 1

        waiting = self.batches.setdefault(member, [])
        waiting.append(durable)
        if len(waiting) == 1:
            self.events.after(self.assumed.batch_ms / 1000.0, lambda: self._seal(member, seats))

    def _seal(self, member: int, seats: list[int]) -> None:
        costs, durable = self.costs, self.batches.pop(member)
        records = len(durable) * self.assumed.documents
        seal_s = (costs.seal_us * records + costs.message_us * 2 * len(seats)) * US
        deposit_s = (costs.deposit_us * records + costs.message_us * 2) * US
        size_bytes = costs.blob_bytes * records

        def final() -> None:
            for then in durable:
                then()

        def anchor() -> None:
            self.ledger.submit(costs.anchor_bytes * (0.5 + 0.125 * self.assumed.committee), final)

        def deal() -> None:
            self._all(member, seats, deposit_s, size_bytes, self.assumed.quorum, anchor)

        self.members[member].serve(seal_s, deal)

    def _consent(self, member: int) -> None:
        """A policy goes to every seat, then its commitment onto the ledger."""
        seats = self._seats(member)

        def advance() -> None:
            self.ledger.submit(self.costs.small_tx_bytes, lambda: None)

        self._all(member, seats, self.costs.message_us * US, REPLY_BYTES, self.assumed.quorum, advance)

    def _root(self, member: int) -> None:
        if member in self.used:
            self.used.discard(member)
            self.ledger.submit(self.costs.small_tx_bytes, lambda: None)
        self.events.after(self.assumed.log_root_s, lambda: self._root(member))

    def _all(
        self, member: int, seats: list[int], work_s: float, size_bytes: float, needed: int, then: Callable[[], None]
    ) -> None:
        """Ask every seat; go on with the answer that makes it enough."""
        answers = 0

        def answered() -> None:
            nonlocal answers
            answers += 1
            if answers == needed:
                then()

        for seat in seats:
            self.used.add(seat)
            way_s = 0.0 if seat == member else delay_s(self.chance, self.assumed)
            self.wire_bytes += 0.0 if seat == member else 2.0 * (size_bytes + REPLY_BYTES)

            def arrived(seat: int = seat, way_s: float = way_s) -> None:
                self.members[seat].serve(work_s, lambda: self.events.after(way_s, answered))

            self.events.after(way_s, arrived)

    def _seats(self, member: int) -> list[int]:
        """The committee of a patient of this hospital: it and neighbours, so that all keep alike."""
        near = range(member, member + min(self.assumed.committee, self.assumed.hospitals))
        return [seat % self.assumed.hospitals for seat in near]
