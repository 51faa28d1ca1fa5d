"""The half of a member that its own people use: it seals, reads, opens its own records, and takes links and policies.

It runs in the member's process on the embedded engine, and in a process of its own between machines.

    gateway.db   plans, own keys, links, directory, own log
    vault/       own packs of ciphertext, in the folder that the member's vault serves
"""

from pathlib import Path
from weakref import WeakSet

from salus.contracts.consent import Pack, pack_root
from salus.contracts.members.reads import member_of, members_of, pack_root_of
from salus.contracts.reads.messages import LogKind
from salus.contracts.records.reads import batch_of, overridden_by
from salus.core.clock import Clock
from salus.core.errors import UnavailableError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import HOUR_MS, MemberId, TimeMs
from salus.core.transport import Door, Transport
from salus.engines.engine import Ledger
from salus.engines.layout import StoredBlock
from salus.keeper.access_log import AccessLog, anchor
from salus.machine.sponsor import Sponsor
from salus.node.http.places import Part
from salus.node.keys import Secrets
from salus.node.observing.traces import first_step
from salus.node.stores import gateway_store, vault_store
from salus.node.tending import Tended
from salus.sdk.author import Author
from salus.sdk.desk import Desk
from salus.sdk.directory import Directory
from salus.sdk.gateway import Gateway
from salus.sdk.hands import Hands
from salus.sdk.own import OwnRecords
from salus.sdk.reader import Reader, Wanted
from salus.sdk.redealing import Redealer
from salus.sdk.repairing import Repairer
from salus.sdk.unified import Unified, UnifiedRead
from salus.vault.vault import GOOD_MS


class NoPackError(UnavailableError):
    """The pack in force where a member is lies not in its folder: put the file that was voted on into `packs`."""

    code = "node.no_pack"


class TracedRead(UnifiedRead):
    """An open read; each time somebody looks, a trace begins."""

    async def read(self) -> Unified:
        """See `UnifiedRead.read`."""
        with first_step("read", member=self._gateway.member, part=Part.GATEWAY):
            return await super().read()


class GatewaySide:
    """A member's gateway, running. Not for two threads."""

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
    ) -> None:
        self.name = name
        self.folder = folder
        self.secrets = secrets
        self.ledger = ledger
        self.clock = clock
        self.packs = packs
        self._readings: WeakSet[UnifiedRead] = WeakSet()
        self._tidied: TimeMs = 0
        self.gateway = Gateway(name, ledger, transport, sponsor, secrets.ledger, clock)
        self.store = gateway_store(folder, secrets, faults)
        self.blobs = vault_store(folder, faults)
        self.own_log = AccessLog(name, self.store, clock)
        self.author = Author(self.gateway, self.store, self.blobs, hands)
        self.redealer = Redealer(self.gateway, self.store, self.blobs)
        self.repairer = Repairer(self.gateway, self.store, self.blobs)
        self.own = OwnRecords(self.gateway, self.store, self.blobs, self.own_log, packs)
        self.desk = Desk(self.gateway, self.store, self.own_log, secrets.gateway)
        self.directory = Directory(self.gateway, self.store)
        ledger.listen(self._block_arrived)

    def open_door(self, door: Door) -> None:
        """Let a door lead here."""
        self.author.open_door(door)
        self.desk.open_door(door)
        self.directory.open_door(door)

    def take_packs(self, packs: tuple[Pack, ...]) -> None:
        """Apply these packs once the ledger names them."""
        self.packs = packs
        self.own.take_packs(packs)

    @property
    def pack(self) -> Pack:
        """The defaults and statute under which this member writes now.

        Raises:
            NoPackError: its folder does not hold the pack that the ledger names.
        """
        entry = member_of(self.ledger.state, self.name)
        root = None if entry is None else pack_root_of(self.ledger.state, entry.jurisdiction)
        found = next((pack for pack in self.packs if pack_root(pack) == root), None)
        if found is None:
            raise NoPackError(member=self.name)
        return found

    @property
    def peers(self) -> list[MemberId]:
        """All other members."""
        return [member for member in members_of(self.ledger.state) if member != self.name]

    def reading(self, reader: Reader, wanted: Wanted, second: Reader | None = None) -> UnifiedRead:
        """An open read through this member's gateway."""
        copy = self.store.copy(wanted.subject)
        cell = None if copy is None else copy[0].cell
        reading = TracedRead(self.gateway, self.own, self.desk, reader, wanted, cell, second)
        self._readings.add(reading)
        return reading

    @property
    def is_reconciled(self) -> bool:
        """Whether own records may be used: the store is as new as the ledger."""
        return self.own.is_reconciled()

    async def reconcile(self) -> bool:
        """Catch up after the store was put back from a backup, or lost; whether own records may be used."""
        return await self.own.reconcile()

    async def tend(self) -> Tended:
        """What is due: the own log's root onto the ledger, batches to new committees, and to seats that miss them."""
        await self.reconcile()
        roots = int(await anchor(self.own_log, LogKind.AUTHOR, self.ledger, self.gateway.sponsor))
        self._drop_orphans()
        await self.author.resume()
        again = await self.redealer.work() + await self.repairer.work()
        durable = await self.author.work_outbox()
        return Tended(log_roots=roots, batches_made_durable=durable, batches_dealt_again=again)

    def close(self) -> None:
        """Let go of the folder."""
        self.gateway.close()
        self.store.close()

    def _drop_orphans(self) -> None:
        """Drop own packs of batches that did not become final in time and whose plan was given up."""
        if self.clock() - self._tidied < HOUR_MS:
            return
        self._tidied = self.clock()
        state, due = self.ledger.state, self.ledger.time - GOOD_MS
        for author, batch_id, written in list(self.blobs.packs()):
            is_orphan = author == self.name and written < due and self.store.plan(batch_id) is None
            if is_orphan and batch_of(state, author, batch_id) is None:
                self.blobs.drop(author, batch_id)

    def _block_arrived(self, stored: StoredBlock) -> None:
        readings = [reading for reading in self._readings if reading.holds_plaintext]
        if not readings:
            return
        height = stored.header.height
        overridden = overridden_by(self.ledger.accepted(height))
        for reading in readings:
            reading.block_arrived(height, overridden)
