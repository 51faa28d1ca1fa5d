"""The half of a member that others ask for shares and ciphertext: its keeper and its vault, behind one door.

It runs in the member's process on the embedded engine, and in a process of its own between machines.

    keeper.db   wrapped shares, policies, access log
    vault/      packs of ciphertext
    stores.toml where these are instead, if not here: see `stores.py`
"""

import asyncio
from collections import deque
from pathlib import Path

from salus.contracts.consent import Pack
from salus.contracts.members.reads import committee_at, committee_of
from salus.contracts.records.messages import Anchor
from salus.contracts.records.reads import batch_of, dealing_of
from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import HOUR_MS, BatchId, Digest, MemberId, RequestId, TimeMs
from salus.core.transport import Door, Transport
from salus.engines.engine import Ledger
from salus.engines.layout import StoredBlock
from salus.keeper.formats import FORMAT_NAME
from salus.keeper.keeper import Keeper, KeeperKeys
from salus.machine.sponsor import Sponsor
from salus.node.keys import Secrets
from salus.node.stores import keeper_store, vault_store
from salus.node.tending import Tended
from salus.sdk.hands import Hands
from salus.vault.places import keepers_of
from salus.vault.vault import GOOD_MS, BlobStore, Vault

MENDED_AT_ONCE = 16  # Batches in one round of housekeeping.


class KeeperSide:
    """A member's keeper and vault, running. Not for two threads."""

    def __init__(
        self,
        name: MemberId,
        folder: Path,
        secrets: Secrets,
        ledger: Ledger,
        transport: Transport,
        sponsor: Sponsor,
        packs: tuple[Pack, ...],
        clock: Clock,
        faults: Faults = NO_FAULTS,
        hands: Hands | None = None,
        blobs: BlobStore | None = None,
    ) -> None:
        """Open the folder's stores; `blobs` is its vault where it is open already."""
        self.name = name
        self._ledger = ledger
        self._sponsor = sponsor
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidied: TimeMs = 0
        self._lost: deque[tuple[MemberId, BatchId]] | None = None  # None until somebody has looked.
        self._store = keeper_store(folder, secrets, faults)
        keys = KeeperKeys(opening=secrets.sealing, signing=secrets.keeper)
        self.keeper = Keeper(
            name, self._store, ledger, transport, keys, packs, clock, (hands or Hands()).carry_together
        )
        self.blobs = blobs or vault_store(folder, faults)
        self.vault = Vault(
            name,
            ledger.chain,
            self.blobs,
            transport,
            secrets.keeper,
            self._permits,
            self._seat_members,
            clock,
            self._coming_members,
        )
        self.keeper.repairs.fetch_blobs = self._fetch_blobs
        self._fetches: dict[tuple[MemberId, BatchId], asyncio.Task[None]] = {}
        ledger.listen(self._block_arrived)

    def open_door(self, door: Door) -> None:
        """Let a door lead here."""
        self.keeper.open_door(door)
        self.vault.open_door(door)

    def take_packs(self, packs: tuple[Pack, ...]) -> None:
        """Apply these packs once the ledger names them."""
        self.keeper.answers.take_packs(packs)

    @property
    def is_store_open(self) -> bool:
        """Whether the store can be read. Raises UnavailableError where it cannot."""
        return self._store.meta(FORMAT_NAME) is not None

    @property
    def is_reconciled(self) -> bool:
        """Whether the store is as new as the ledger, as far as the keeper's view of that reaches."""
        self.keeper.reconciling.is_done()  # This is when it looks.
        return self._store.is_reconciled

    @property
    def has_missed_nothing(self) -> bool:
        """Whether all is here that became final while the keeper was away."""
        return self.keeper.reconciling.has_missed_nothing()

    async def reconcile(self) -> bool:
        """Catch up after the store was put back from a backup, or lost; whether the keeper serves. Safe to repeat."""
        was_reconciled = self.is_reconciled
        is_done = await self.keeper.reconcile(self._sponsor)
        if is_done and not was_reconciled:
            await self.scrub()  # The vault may be as old as the store.
        return is_done

    async def tend(self) -> Tended:
        """What is due: the log's root onto the ledger, expired deposits and orphaned packs out."""
        await self.reconcile()
        roots = int(await self.keeper.anchor_log(self._sponsor))
        self.keeper.tick()
        await self.keeper.epochs.follow()
        self._drop_orphans()
        await self._mend_lost()
        return Tended(log_roots=roots)

    async def scrub(self) -> int:
        """Check every blob that this vault is to keep, and mend what is lost or wrong; how many were mended."""
        return sum([await self._mend(*batch) for batch in list(self.keeper.deposits.batches())])

    async def _fetch_blobs(self, author: MemberId, batch_id: BatchId, digests: list[Digest]) -> bool:
        """Ciphertext of a departed author's batch into this vault, as far as it is to keep it; whether all is here.

        It goes on though who waits for it gives up: whoever asks again then finds more.
        """
        fetch = self._fetches.get((author, batch_id))
        if fetch is None:
            fetch = asyncio.get_running_loop().create_task(self._fetched(author, batch_id, digests))
            self._fetches[author, batch_id] = fetch
            fetch.add_done_callback(lambda done: self._fetches_end((author, batch_id), done))
        await asyncio.shield(fetch)  # It may have been another's, for fewer of them.
        return None not in self.blobs.read(author, batch_id, self._to_come(author, batch_id, digests))

    def _fetches_end(self, place: tuple[MemberId, BatchId], done: asyncio.Task[None]) -> None:
        self._fetches.pop(place, None)
        if not done.cancelled():
            done.exception()  # Whoever waited for it has it; nobody may have.

    def _to_come(self, author: MemberId, batch_id: BatchId, digests: list[Digest]) -> list[Digest]:
        coming = self._coming_members(author, batch_id)
        return [digest for digest in digests if self.name in keepers_of(digest, coming)]

    async def _fetched(self, author: MemberId, batch_id: BatchId, digests: list[Digest]) -> None:
        wanted = self._to_come(author, batch_id, digests)
        peers = [member for member in self._seat_members(author, batch_id) if member != self.name]
        await self.vault.repair(author, batch_id, wanted, peers)

    def close(self) -> None:
        """Let go of the folder."""
        for task in (*self._tasks, *self._fetches.values()):
            task.cancel()
        self.keeper.close()
        self._store.close()

    def _drop_orphans(self) -> None:
        """Drop others' packs of batches that did not become final in time, or were dealt again to a committee without
        this member, and are not to be dealt to it next. A member's own are its gateway's to drop: a plan of its own may
        still go on."""
        if self._clock() - self._tidied < HOUR_MS:
            return
        self._tidied = self._clock()
        due = self._ledger.time - GOOD_MS
        for author, batch_id, written in list(self.blobs.packs()):
            keepers = (*self._seat_members(author, batch_id), *self._coming_members(author, batch_id))
            if author != self.name and written < due and self.name not in keepers:
                self.blobs.drop(author, batch_id)

    async def _mend_lost(self) -> None:
        """Fetch the packs that were not there when this process began, some in each round, until all are.

        That is how a vault comes back whose disk was lost while the keeper's store was not.
        """
        if self._lost is None:
            here = {(author, batch_id) for author, batch_id, _ in self.blobs.packs()}
            self._lost = deque(batch for batch in self.keeper.deposits.batches() if batch not in here)
        for _ in range(min(MENDED_AT_ONCE, len(self._lost))):
            batch = self._lost.popleft()
            await self._mend(*batch)
            if None in self.blobs.read(*batch, self._kept_here(*batch)):
                self._lost.append(batch)  # Whoever has it is away.

    async def _mend(self, author: MemberId, batch_id: BatchId) -> int:
        """Check what this vault is to keep of a batch, and fetch what is lost or wrong; how many blobs that were."""
        members = self._seat_members(author, batch_id)
        peers = [member for member in dict.fromkeys([*members, author]) if member != self.name]
        return await self.vault.repair(author, batch_id, self._kept_here(author, batch_id), peers)

    def _kept_here(self, author: MemberId, batch_id: BatchId) -> list[Digest]:
        """Which of a batch's blobs this vault is to keep."""
        members, blobs = self._seat_members(author, batch_id), self.keeper.deposits.blobs_in(author, batch_id)
        return [digest for digest in blobs if self.name == author or self.name in keepers_of(digest, members)]

    def _permits(self, sender: MemberId, request_id: RequestId) -> frozenset[Digest]:
        permitted = self.keeper.permitted(request_id)
        if permitted is None or permitted.member != sender or self._clock() >= permitted.expires:
            return frozenset()
        return permitted.blobs

    def _seat_members(self, author: MemberId, batch_id: BatchId) -> tuple[MemberId, ...]:
        """Who sits where a batch was dealt last: their vaults keep its blobs."""
        state = self._ledger.state
        batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
        if batch is None or dealing is None:
            return ()
        committee = committee_at(state, batch.committee, dealing.epoch)
        return () if committee is None else tuple(holder.member for holder in committee.seats)

    def _coming_members(self, author: MemberId, batch_id: BatchId) -> tuple[MemberId, ...]:
        """Who sits now in a batch's committee: their vaults are to keep its blobs once it is dealt to them."""
        batch = batch_of(self._ledger.state, author, batch_id)
        committee = None if batch is None else committee_of(self._ledger.state, batch.committee)
        return () if committee is None else tuple(holder.member for holder in committee.seats)

    def _block_arrived(self, stored: StoredBlock) -> None:
        reconciling = self.keeper.reconciling
        if not self.keeper.answers.watched and not reconciling.may_have_missed(stored.header.time):
            return
        accepted = self._ledger.accepted(stored.header.height)
        batches = [(sponsor, message.batch_id) for sponsor, message in accepted if isinstance(message, Anchor)]
        if batches and reconciling.may_have_missed(stored.header.time):
            reconciling.block_arrived(batches)
        if batches and self.keeper.answers.watched:
            task = asyncio.get_running_loop().create_task(self._notify(batches))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _notify(self, batches: list[tuple[MemberId, BatchId]]) -> None:
        try:
            await self.keeper.block_arrived(batches)
        except SalusError:
            return  # The reader asks again by itself.
