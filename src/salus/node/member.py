"""One member, running: its replica of the ledger, its keeper and vault, its gateway, in a folder of its own.

members/mercy/keys/       one file per duty
              ledger/     LMDB: blocks and state
              keeper.db   wrapped shares, policies, access log
              gateway.db  plans, own keys, links, directory, own log
              vault/      packs of ciphertext
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

from salus.contracts.consent import Pack
from salus.contracts.members.reads import committee_of, members_of
from salus.contracts.reads.messages import LogKind
from salus.contracts.records.messages import Anchor
from salus.contracts.records.reads import batch_of
from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import HOUR_MS, BatchId, Digest, MemberId, RequestId, TimeMs
from salus.core.transport import Door
from salus.engines.engine import Engine
from salus.engines.replica import Replica, StoredBlock
from salus.keeper.access_log import AccessLog, anchor
from salus.keeper.keeper import Keeper, KeeperKeys
from salus.keeper.store import SubjectStore, sqlite_engine
from salus.node.keys import Secrets
from salus.node.local import LocalTransport, Switchboard
from salus.node.sponsor import LedgerSponsor
from salus.sdk.author import Author
from salus.sdk.author_store import AuthorStore
from salus.sdk.desk import Desk
from salus.sdk.directory import Directory
from salus.sdk.gateway import Gateway
from salus.sdk.own import OwnRecords
from salus.sdk.reader import Reader, Wanted
from salus.sdk.unified import UnifiedRead
from salus.vault.places import keepers_of
from salus.vault.vault import GOOD_MS, BlobStore, Vault


@dataclass(frozen=True, slots=True)
class Tended:
    """What one round of housekeeping did."""

    log_roots: int = 0
    batches_made_durable: int = 0
    blobs_mended: int = 0


class Member:
    """A running member. Not for two threads."""

    def __init__(
        self,
        name: MemberId,
        folder: Path,
        secrets: Secrets,
        replica: Replica,
        engine: Engine,
        switchboard: Switchboard,
        packs: tuple[Pack, ...],
        clock: Clock,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self.name = name
        self.folder = folder
        self.secrets = secrets
        self.replica = replica
        self.clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._readings: WeakSet[UnifiedRead] = WeakSet()
        self._tidied: TimeMs = 0
        transport = LocalTransport(switchboard, name)
        sponsor = LedgerSponsor(name, replica.chain, secrets.ledger, engine, replica, clock)
        self.gateway = Gateway(name, replica, transport, sponsor, secrets.ledger, clock)
        self._keeper_store = SubjectStore(sqlite_engine(folder / "keeper.db"), secrets.keeper_kek, faults=faults)
        self.store = AuthorStore(sqlite_engine(folder / "gateway.db"), secrets.gateway_kek, faults)
        keys = KeeperKeys(opening=secrets.sealing, signing=secrets.keeper)
        self.keeper = Keeper(name, self._keeper_store, replica, transport, keys, packs, clock)
        self.blobs = BlobStore(folder / "vault", faults=faults)
        self.vault = Vault(
            name, replica.chain, self.blobs, transport, secrets.keeper, self._permits, self._seat_members, clock
        )
        self.own_log = AccessLog(name, self.store, clock)
        self.author = Author(self.gateway, self.store, self.blobs)
        self.own = OwnRecords(self.gateway, self.store, self.blobs, self.own_log, packs, self.keeper.policies.current)
        self.desk = Desk(self.gateway, self.store, self.own_log, secrets.gateway)
        self.directory = Directory(self.gateway, self.store)
        self.door = Door()
        for part in (self.keeper, self.vault, self.desk, self.directory):
            part.open_door(self.door)
        switchboard.doors[name] = self.door
        replica.listen(self._block_arrived)

    @property
    def peers(self) -> list[MemberId]:
        """All other members."""
        return [member for member in members_of(self.replica.state) if member != self.name]

    def reading(self, reader: Reader, wanted: Wanted, second: Reader | None = None) -> UnifiedRead:
        """An open read through this member's gateway."""
        copy = self.store.copy(wanted.subject)
        cell = None if copy is None else copy[0].cell
        reading = UnifiedRead(self.gateway, self.own, self.desk, reader, wanted, cell, second)
        self._readings.add(reading)
        return reading

    async def tend(self) -> Tended:
        """What is due: log roots onto the ledger, batches to seats that miss them, expired deposits out."""
        roots = int(await self.keeper.anchor_log(self.gateway.sponsor))
        roots += int(await anchor(self.own_log, LogKind.AUTHOR, self.replica, self.gateway.sponsor))
        self.keeper.tick()
        self._drop_orphans()
        await self.author.resume()
        durable = await self.author.work_outbox()
        return Tended(log_roots=roots, batches_made_durable=durable)

    async def scrub(self) -> int:
        """Check every blob that this vault is to keep, and mend what is lost or wrong; how many were mended."""
        mended = 0
        for author, batch_id in self.keeper.deposits.batches():
            members = self._seat_members(author, batch_id)
            digests = [
                digest
                for digest in self.keeper.deposits.blobs_in(author, batch_id)
                if self.name == author or self.name in keepers_of(digest, members)
            ]
            peers = [member for member in dict.fromkeys([*members, author]) if member != self.name]
            mended += await self.vault.repair(author, batch_id, digests, peers)
        return mended

    def close(self) -> None:
        """Let go of the folder; the replica is the network's to close."""
        for task in self._tasks:
            task.cancel()
        self.gateway.close()
        self.keeper.close()
        self._keeper_store.close()
        self.store.close()

    def _drop_orphans(self) -> None:
        """Drop packs of batches that did not become final in time; own plans that may still go on are kept."""
        if self.clock() - self._tidied < HOUR_MS:
            return
        self._tidied = self.clock()
        state, due = self.replica.state, self.replica.time - GOOD_MS
        for author, batch_id, written in list(self.blobs.packs()):
            is_own_plan = author == self.name and self.store.plan(batch_id) is not None
            if written < due and not is_own_plan and batch_of(state, author, batch_id) is None:
                self.blobs.drop(author, batch_id)

    def _permits(self, sender: MemberId, request_id: RequestId) -> frozenset[Digest]:
        permitted = self.keeper.permitted(request_id)
        if permitted is None or permitted.member != sender or self.clock() >= permitted.expires:
            return frozenset()
        return permitted.blobs

    def _seat_members(self, author: MemberId, batch_id: BatchId) -> tuple[MemberId, ...]:
        batch = batch_of(self.replica.state, author, batch_id)
        committee = None if batch is None else committee_of(self.replica.state, batch.committee)
        return () if committee is None else tuple(holder.member for holder in committee.seats)

    def _block_arrived(self, stored: StoredBlock) -> None:
        for reading in list(self._readings):
            reading.forget_if_changed()
        if not self.keeper.answers.watched:
            return
        accepted = self.replica.accepted(stored.header.height)
        batches = [(sponsor, message.batch_id) for sponsor, message in accepted if isinstance(message, Anchor)]
        if batches:
            task = asyncio.get_running_loop().create_task(self._notify(batches))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _notify(self, batches: list[tuple[MemberId, BatchId]]) -> None:
        try:
            await self.keeper.block_arrived(batches)
        except SalusError:
            return  # The reader asks again by itself.
