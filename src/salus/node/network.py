"""A network of members in one process, on the embedded engine, in one folder.

    genesis        what everybody starts from, and what `salus verify` needs
    members/…      a folder per member, see `member.py`
    people/…       keys of people who act in a demo: clinicians, patients

Each member has its own keys, stores, clock and view of the ledger; they talk through typed messages alone.
"""

import asyncio
from pathlib import Path

from salus.contracts.members.founding import first_committee
from salus.core.errors import SalusError
from salus.core.ids import CommitteeId, Digest, MemberId
from salus.core.wire import encode
from salus.crypto import signatures
from salus.engines.embedded import EmbeddedEngine
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.machine.admission import remembering
from salus.machine.machine import Machine
from salus.node.collector import CalmCollector
from salus.node.folder import read_genesis
from salus.node.keys import load_secrets
from salus.node.local import LocalTransport, Switchboard
from salus.node.member import Member
from salus.node.settings import Settings
from salus.node.tending import Tended
from salus.sdk.packs import shipped_packs


class Network:
    """Whole members of one process, running; satisfies `Hosted`. Use as `async with Network(folder) as network`."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        """Open the folder's stores.

        Raises:
            NoNetworkError: there is no network here.
            NotANetworkError: its genesis cannot be read.
            FolderInUseError: another process has it open.
        """
        self.folder = folder
        self.settings = settings or Settings()
        self.genesis = read_genesis(folder)
        self.switchboard = Switchboard()
        machine = Machine(remembering(signatures.verify))
        replicas: dict[MemberId, Replica] = {}
        self._members: dict[MemberId, Member] = {}
        try:
            secrets = {}
            for founder in self.genesis.members:
                place = folder / "members" / founder.member
                secrets[founder.member] = load_secrets(place / "keys")
                store = LmdbStore(place / "ledger")
                replicas[founder.member] = Replica(founder.member, self.genesis, store, machine, self.settings.faults)
            keys = {name: secret.validator for name, secret in secrets.items()}
            clock = self.settings.clock
            self.engine = EmbeddedEngine(replicas, keys, machine, clock, self.settings.heartbeat_s)
            for name, secret in secrets.items():
                member = self._members[name] = Member(
                    name,
                    folder / "members" / name,
                    secret,
                    replicas[name],
                    self.engine,
                    LocalTransport(self.switchboard, name),
                    shipped_packs(),
                    clock,
                    self.settings.faults,
                )
                self.switchboard.doors[name] = member.door
        except BaseException:
            for replica in replicas.values():
                replica.close()
            raise
        self._replicas = replicas
        self._tending: asyncio.Task[None] | None = None
        self._collector = CalmCollector()

    @property
    def members(self) -> list[Member]:
        """All members, in the genesis's order."""
        return list(self._members.values())

    @property
    def committee(self) -> CommitteeId:
        """The network's first committee."""
        return first_committee(self.genesis.chain)

    def __getitem__(self, name: str) -> Member:
        return self._members[MemberId(name)]

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def ledger(self) -> Replica:
        """The copy that is furthest."""
        return self.engine.newest()

    @property
    def failure(self) -> BaseException | None:
        """Why the engine makes no more blocks."""
        return self.engine.failure

    async def receipt(self, tx_id: Digest) -> bytes:
        """See `Hosted.receipt`."""
        return encode(await self.engine.receipt(tx_id))

    async def start(self) -> None:
        """Catch up, make blocks, finish what a crash left unfinished, and keep tending."""
        await self.engine.start()
        self._collector.begin()
        for member in self.members:
            try:
                await member.author.resume()
            except SalusError:
                continue  # Too few members are up: it goes on with the next round.
        if self.settings.tend_every_s is not None:
            self._tending = asyncio.create_task(self._tend_for_ever(self.settings.tend_every_s))

    async def stop(self) -> None:
        """Stop in order: housekeeping, engine, stores."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        await self.engine.stop()
        self.close()

    def close(self) -> None:
        """Let go of all stores at once, as a crash would."""
        self._collector.end()
        for member in self.members:
            member.close()
        for replica in self._replicas.values():
            replica.close()

    async def tend(self) -> list[Tended]:
        """One round of housekeeping at every member that is up."""
        done: list[Tended] = []
        for member in self.members:
            if member.name in self.switchboard.off_line:
                continue
            try:
                done.append(await member.tend())
            except SalusError:
                done.append(Tended())
        return done

    async def take_down(self, name: str) -> None:
        """A member goes: it neither answers nor votes."""
        self.switchboard.off_line.add(MemberId(name))
        self.engine.hold(MemberId(name))

    async def bring_back(self, name: str) -> None:
        """The member is back, and catches up."""
        self.switchboard.off_line.discard(MemberId(name))
        await self.engine.release(MemberId(name))

    async def __aenter__(self) -> "Network":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _tend_for_ever(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self.tend()
