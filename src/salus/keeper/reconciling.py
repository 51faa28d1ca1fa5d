"""What a keeper does before it serves from a store that was put back from a backup, or that is empty and should not be.

It looks for itself, whoever put the store back and however: the store says that it came out of a backup; or the log's
root on the ledger is none that this log has had; or a seat of this member signed for a final batch that is not here.

    1. Its view of the ledger is fresh: all that follows is judged by its own final state.
    2. Subjects of closed cells are dropped: erasure holds for what a backup brings back.
    3. Policies in force that it lacks are fetched from the other seats, by digest.
    4. Batches that its seats should hold are named to their authors, who deal them again.
    5. Its log goes on above all numbers that may have been used, under a root on the ledger that says so.

What no author within reach has is not waited for, nor an author that stays away for an hour; where nobody answers at
all, closed cells alone decide. Until then every answer is `RestoredError`: to a reader, a seat that is away.

A keeper that was only away serves at once. What became final meanwhile its authors deal to it by themselves; it says
how much of that is still to come, because until then the next member should not be stopped: a record that was sealed
while one seat was away may need every other.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import sqlalchemy as sa
from msgspec import Meta

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Status
from salus.contracts.members.reads import committee_at, member_of
from salus.contracts.reads.messages import LogKind
from salus.contracts.reads.reads import log_root_of
from salus.contracts.records.reads import batch_of, dealing_of
from salus.contracts.records.tables import BATCHES as LEDGER_BATCHES
from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.core.ids import HOUR_MS, SECOND_MS, BatchId, CellId, CommitteeId, Epoch, MemberId, Seat, TimeMs
from salus.core.transport import Transport, ask
from salus.core.wire import Record
from salus.keeper.access_log import AccessLog, go_on
from salus.keeper.erasing import erase
from salus.keeper.errors import RestoredError
from salus.keeper.formats import RECONCILING_SINCE
from salus.keeper.policies import Policies
from salus.keeper.seats import seats_of
from salus.keeper.store import BATCHES, LOG, POLICIES, SubjectStore
from salus.machine.sponsor import Sponsor
from salus.machine.view import View, is_fresh

KNOWN_TO_BE_BACK_MS = 10 * SECOND_MS  # Others leave one that did not answer alone for a moment.
PATIENCE_MS = HOUR_MS  # How long an author that is away holds a keeper up.
NAMED_MAX = 1024  # Batches in one message.
LOOKED_AT_MAX = 4096  # Batches of the ledger that are looked through at once; more of them, in turns.
_AT_ONCE = 256
_SETTLED = "reconciled_at"  # The height up to which it is known what is missing here, and that nobody deals it again.

T = TypeVar("T")
Named = Annotated[tuple[BatchId, ...], Meta(max_length=NAMED_MAX)]


class BatchesLost(Record, tag="keeper.batches_lost/1", frozen=True):
    """A keeper tells an author which of its batches it should hold and does not."""

    batches: Named


class DealingAgain(Record, tag="keeper.dealing_again/1", frozen=True):
    """The author deals them again, but for those it does not know itself, or that are of an epoch that is over."""

    unknown: Named


@dataclass(frozen=True, slots=True)
class Missing:
    """A final batch that this member's seats should hold and do not."""

    author: MemberId
    batch_id: BatchId
    is_signed: bool  # A seat signed that it holds its shares, since this keeper last caught up: it did, once.


class Reconciling:
    """One keeper's way back to serving."""

    def __init__(
        self,
        member: MemberId,
        store: SubjectStore,
        view: View,
        transport: Transport,
        policies: Policies,
        log: AccessLog,
        clock: Clock,
    ) -> None:
        self._member = member
        self._store = store
        self._view = view
        self._transport = transport
        self._policies = policies
        self._log = log
        self._clock = clock
        self._root_seen = -1  # The version of the log's root on the ledger that was looked at last.
        self._has_looked = False  # Through the ledger's batches, since this process began.
        self._are_too_many = False
        self._began = clock()
        self._missed: list[tuple[MemberId, BatchId]] = []  # While this keeper was away, as far as it is not here yet.
        self._missed_until = 0  # Then nobody is waited for any more.
        self._are_authors_told = False
        self._began_empty = self._is_empty()  # What was taken since, before the ledger was seen, is no backup's.
        log.may_go_on = self.is_done
        self.is_done()

    def is_done(self) -> bool:
        """Whether this keeper may serve; finds out whether its store is older than the ledger."""
        self._look_at_root()
        if not self._has_looked and not self._are_too_many and self._is_fresh():
            self._look_at_batches()
        return self._has_looked and self._store.is_reconciled

    def check(self) -> None:
        """Let nothing be served before.

        Raises:
            RestoredError: it is not done.
        """
        if not self.is_done():
            raise RestoredError(member=self._member)

    def has_missed_nothing(self) -> bool:
        """Whether all is here that became final while this keeper was away, as far as it can be had within an hour."""
        if not self.is_done():
            return False
        if self._view.time >= self._missed_until:
            self._missed.clear()
        while self._missed and not self._lacks(*self._missed[-1]):
            self._missed.pop()
        return not self._missed

    def may_have_missed(self, time: TimeMs) -> bool:
        """Whether a block of this time was decided while this keeper was away, or before others knew it was back."""
        return time < self._began + KNOWN_TO_BE_BACK_MS

    def block_arrived(self, batches: Iterable[tuple[MemberId, BatchId]]) -> None:
        """Batches of such a block, which this member's ledger caught up with since."""
        self._missed += [one for one in batches if self._lacks(*one)]
        self._missed_until = self._view.time + PATIENCE_MS
        self._are_authors_told = False

    async def work(self, sponsor: Sponsor) -> bool:
        """One round; whether this keeper may serve.

        Raises:
            UnavailableError: the log's root did not get onto the ledger; the next round tries again.
        """
        if self.is_done():
            await self._ask_for_missed()
            return True
        if not self._is_fresh():
            return False
        if not self._has_looked:
            missed = [missing async for missing in _in_turns(self._missing()) if missing is not None]
            self._conclude(missed)
        if not self._store.is_reconciled:
            await self._drop_closed()
            await self._fetch_policies()
            height = self._view.height
            if not await self._are_batches_settled():
                return False
            await go_on(self._log, LogKind.KEEPER, self._view, sponsor)
            self._root_seen = -1
            settled = (_SETTLED, height.to_bytes(8, "big"))
            self._store.set_reconciled(True, settled, (RECONCILING_SINCE, b""))
        return self.is_done()

    # Whether the store is older than the ledger.

    def _look_at_root(self) -> None:
        latest = log_root_of(self._view.state, self._member, LogKind.KEEPER)
        if latest is None or latest.version == self._root_seen:
            return
        if self._store.is_reconciled and self._log.is_behind(latest.root):
            self._store.set_reconciled(False)
        self._root_seen = latest.version

    def _look_at_batches(self) -> None:
        missed: list[Missing] = []
        for number, missing in enumerate(self._missing()):
            if missing is not None:
                missed.append(missing)
            if number >= LOOKED_AT_MAX:
                self._are_too_many = True  # The next round of work looks through them.
                return
        self._conclude(missed)

    def _conclude(self, missed: Sequence[Missing]) -> None:
        """An empty store of a member that never logged or signed anything is new: it may serve."""
        self._has_looked = True
        is_older = any(missing.is_signed for missing in missed)
        if is_older and self._store.is_reconciled:
            self._store.set_reconciled(False)
        elif not is_older and not self._store.is_reconciled and self._root_seen < 0 and self._began_empty:
            self._store.set_reconciled(True)
        if self._store.is_reconciled:  # Else they are waited for before it serves.
            self._missed += [(missing.author, missing.batch_id) for missing in missed]
            self._missed_until = self._view.time + PATIENCE_MS

    async def _ask_for_missed(self) -> None:
        """Tell authors once what is missing here: what one cannot deal, or no member has, is not waited for."""
        if self._are_authors_told or self.has_missed_nothing():
            return
        self._are_authors_told = True
        for author in {author for author, _ in self._missed}:
            of_author = [batch_id for whose, batch_id in self._missed if whose == author]
            unknown = await self._unknown(author, of_author)
            if unknown is None:
                self._are_authors_told = False  # It is away: the next round asks again.
                continue
            self._missed = [one for one in self._missed if one[0] != author or one[1] not in unknown]

    def _is_empty(self) -> bool:
        execute = self._store.connection.execute
        return all(
            execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is None
            for table in (POLICIES, BATCHES, LOG)
        )

    def _is_fresh(self) -> bool:
        return is_fresh(self._view, self._clock())

    # Erasure and policies.

    async def _drop_closed(self) -> None:
        async for cell_id, tag in _in_turns(self._cells()):
            cell = cell_of(self._view.state, cell_id)
            if cell is not None and cell.status is Status.CLOSED:
                erase(self._store, tag)
                self._policies.forget(cell_id, tag)

    async def _fetch_policies(self) -> None:
        """What is in force and not held. Where no seat has it, the subject is refused until one does."""
        async for cell_id, _ in _in_turns(self._cells()):
            await self._policies.fetch(cell_id)

    def _cells(self) -> list[tuple[CellId, bytes]]:
        query = sa.select(POLICIES.c.cell, POLICIES.c.tag).distinct().order_by(POLICIES.c.cell)
        return [(bytes(row.cell), bytes(row.tag)) for row in self._store.connection.execute(query)]

    # Batches.

    async def _are_batches_settled(self) -> bool:
        """Whether all is here that can be had, or has been waited for long enough."""
        by_author: defaultdict[MemberId, list[BatchId]] = defaultdict(list)
        async for missing in _in_turns(self._missing()):
            if missing is not None:
                by_author[missing.author].append(missing.batch_id)
        is_coming = [await self._is_coming(author, batches) for author, batches in by_author.items()]
        return not any(is_coming) or self._has_waited()

    async def _is_coming(self, author: MemberId, batches: Sequence[BatchId]) -> bool:
        """Whether an author deals some of these again, or may do so once it is back."""
        unknown = await self._unknown(author, batches)
        return unknown is None or not set(batches) <= unknown

    async def _unknown(self, author: MemberId, batches: Sequence[BatchId]) -> set[BatchId] | None:
        """Which of these an author cannot deal again, as it will the others; none where it does not answer."""
        if member_of(self._view.state, author) is None:
            return set(batches)  # It has left the network, and its successor deals at a later epoch alone.
        unknown: set[BatchId] = set()
        for start in range(0, len(batches), NAMED_MAX):
            named = tuple(batches[start : start + NAMED_MAX])
            try:
                reply = await ask(self._transport, author, BatchesLost(batches=named), DealingAgain)
            except SalusError:
                return None
            unknown.update(reply.unknown)
        return unknown

    def _lacks(self, author: MemberId, batch_id: BatchId) -> bool:
        """Whether a seat of this member should hold a batch, as it was dealt last, and does not."""
        batch, dealing = batch_of(self._view.state, author, batch_id), dealing_of(self._view.state, author, batch_id)
        if batch is None or dealing is None or not self._own_seats(batch.committee, dealing.epoch):
            return False
        held = sa.select(sa.literal(1)).where(
            BATCHES.c.author == author,
            BATCHES.c.batch_id == batch_id,
            BATCHES.c.root == batch.root,
            BATCHES.c.share_root == dealing.share_root,
        )
        return self._store.connection.execute(held).first() is None

    def _missing(self) -> Iterator[Missing | None]:
        """For each batch on the ledger, as it was dealt last, whether this member's seats should hold it and do not."""
        query = sa.select(BATCHES.c.author, BATCHES.c.batch_id, BATCHES.c.root, BATCHES.c.share_root)
        held = {tuple(row) for row in self._store.connection.execute(query)}
        settled = int.from_bytes(self._store.meta(_SETTLED) or b"", "big")
        own: dict[tuple[CommitteeId, Epoch], Sequence[Seat]] = {}
        for (author, batch_id), batch in LEDGER_BATCHES.items(self._view.state):
            dealing = dealing_of(self._view.state, author, batch_id)
            if dealing is None:
                continue
            dealt = (batch.committee, dealing.epoch)
            seats = own[dealt] if dealt in own else own.setdefault(dealt, self._own_seats(*dealt))
            is_missing = bool(seats) and (author, batch_id, batch.root, dealing.share_root) not in held
            is_signed = is_missing and dealing.height > settled and any(map(dealing.is_signed_by, seats))
            yield Missing(author, batch_id, is_signed) if is_missing else None

    def _own_seats(self, committee_id: CommitteeId, epoch: Epoch) -> Sequence[Seat]:
        """Those that this member had when a batch was dealt."""
        committee = committee_at(self._view.state, committee_id, epoch)
        if committee is None:
            return ()
        return [seat for seat, holder in seats_of(committee) if holder.member == self._member]

    def _has_waited(self) -> bool:
        """Whether it is an hour of block time since something was found missing."""
        since = int.from_bytes(self._store.meta(RECONCILING_SINCE) or b"", "big")
        if since == 0:
            with self._store.commit("keeper.reconciling"):
                self._store.set_meta(RECONCILING_SINCE, self._view.time.to_bytes(8, "big"))
        return since > 0 and self._view.time - since >= PATIENCE_MS


async def _in_turns(many: Iterable[T]) -> AsyncIterator[T]:
    """One by one, letting others have their turn now and then."""
    for number, one in enumerate(many, 1):
        yield one
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
