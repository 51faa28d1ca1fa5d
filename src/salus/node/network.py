"""A network of members in one process, on the embedded engine, in one folder.

    genesis        what everybody starts from, and what `salus verify` needs
    members/…      a folder per member, see `member.py`
    packs/…        packs that were proposed here, beside those of this version
    people/…       keys of people who act in a demo: clinicians, patients

Who is a member is what the ledger says: members join, leave and change keys while the network runs (`Network.follow`).
Each member has its own keys, stores, clock and view of the ledger; they talk through typed messages alone.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from salus.contracts.consent import pack_root
from salus.contracts.members.founding import first_committee
from salus.contracts.members.reads import member_of, members_of, pack_roots_of
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
from salus.node.first_light import bring_up, is_of_first_light
from salus.node.folder import packs_in, read_genesis
from salus.node.http.places import Part
from salus.node.keyring import with_openers
from salus.node.keys import KEYS_FOLDER, Secrets, settle_secrets
from salus.node.local import LocalTransport, Switchboard
from salus.node.member import Member
from salus.node.observing.logs import say, say_error
from salus.node.observing.watching import SplitDoor, WatchedEngine, WatchedTransport
from salus.node.settings import Settings
from salus.node.tending import Housekeeping, Tended
from salus.sdk.hands import Hands
from salus.state.state import State


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
        if is_of_first_light(folder):
            say("brought_up", count=bring_up(folder, signatures.verify))
        self.genesis = read_genesis(folder)
        self.switchboard = Switchboard()
        self.hands = Hands()  # Of all members: an import lends them its workers.
        self._machine = Machine(remembering(signatures.verify))
        self._replicas: dict[MemberId, Replica] = {}
        self._members: dict[MemberId, Member] = {}
        self.doors: dict[MemberId, SplitDoor] = {}
        self.watched: dict[MemberId, WatchedEngine] = {}
        self._following = asyncio.Lock()
        try:
            self._open_replicas()
            state = max(self._replicas.values(), key=lambda replica: replica.height).state
            secrets = {name: self._secrets(state, name) for name in self._replicas}
            keys = {name: secret.validator for name, secret in secrets.items()}
            clock = self.settings.clock
            self.engine = EmbeddedEngine(self._replicas, keys, self._machine, clock, self.settings.heartbeat_s)
            for name, secret in secrets.items():
                self._run(name, secret)
        except BaseException:
            for replica in self._replicas.values():
                replica.close()
            raise
        self._housekeeping = Housekeeping(self.tend)
        self._collector = CalmCollector()

    def _open_replicas(self) -> None:
        """Those of all members there are now and whose folders are here: founders first, then who joined since."""
        names: Sequence[MemberId] = [founder.member for founder in self.genesis.members]
        present: tuple[MemberId, ...] = ()
        while names:
            for name in names:
                self._replicas[name] = self._replica(name)
            present = members_of(max(self._replicas.values(), key=lambda replica: replica.height).state)
            names = [name for name in present if name not in self._replicas and self._is_here(name)]
        for name in [name for name in self._replicas if name not in present]:
            self._replicas.pop(name).close()

    def _place(self, name: MemberId) -> Path:
        return self.folder / "members" / name

    def _is_here(self, name: MemberId) -> bool:
        return (self._place(name) / "keys").is_dir()

    def _replica(self, name: MemberId) -> Replica:
        store = LmdbStore(self._place(name) / "ledger")
        return Replica(name, self.genesis, store, self._machine, self.settings.faults)

    def _secrets(self, state: State, name: MemberId) -> Secrets:
        entry = member_of(state, name)
        assert entry is not None, "Replicas are open for members alone."
        keys = self._place(name) / KEYS_FOLDER
        return with_openers(keys, settle_secrets(keys, entry.keys), self.settings.clock)

    def _run(self, name: MemberId, secrets: Secrets) -> None:
        watched = self.watched[name] = WatchedEngine(self.engine, name, Part.GATEWAY)
        member = self._members[name] = Member(
            name,
            self._place(name),
            secrets,
            self._replicas[name],
            watched,
            WatchedTransport(LocalTransport(self.switchboard, name), name, Part.GATEWAY),
            packs_in(self.folder),
            self.settings.clock,
            self.settings.faults,
            self.hands,
        )
        self.switchboard.doors[name] = self.doors[name] = SplitDoor(member.door, name)

    async def follow(self) -> list[MemberId]:
        """Run what members decided: who joined starts, who left stops, who has other keys or packs starts anew.

        Returns whom this concerned. What is under way through one of them ends.
        """
        async with self._following:
            present = members_of(self.engine.newest().state)
            changed = [name for name in self._members if name not in present]
            for name in changed:
                self._let_go(name)
            state = self.engine.newest().state  # Of a replica that stays.
            for name in present:
                if name in self._members:
                    if self._is_outdated(state, name):
                        await self._restart(name, self._secrets(state, name))
                        changed.append(name)
                elif self._is_here(name):
                    self._replicas[name] = self._replica(name)
                    await self._restart(name, self._secrets(state, name))
                    changed.append(name)
            return changed

    def _is_outdated(self, state: State, name: MemberId) -> bool:
        member, entry = self._members[name], member_of(state, name)
        if entry is None or member.secrets.public == entry.keys:
            roots = {pack_root(pack) for pack in packs_in(self.folder)}
            return bool((roots & set(pack_roots_of(state))) - member.pack_roots)
        return settle_secrets(self._place(name) / "keys", entry.keys).public != member.secrets.public

    async def _restart(self, name: MemberId, secrets: Secrets) -> None:
        """Run a member on its replica, anew if it runs already: a network of one has no other replica to go on with."""
        if name in self._members:
            self._members.pop(name).close()
        self._replicas[name].forget_listeners()
        await self.engine.admit(name, self._replicas[name], secrets.validator)
        self._run(name, secrets)
        if name in self.switchboard.off_line:
            self.engine.hold(name)

    def _let_go(self, name: MemberId) -> None:
        self.engine.dismiss(name)
        self._members.pop(name).close()
        self._replicas.pop(name).close()
        for kept in (self.switchboard.doors, self.doors, self.watched):
            kept.pop(name, None)

    @property
    def members(self) -> list[Member]:
        """All members, in the genesis's order, then as they joined."""
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
        await self._housekeeping.begin((member.author for member in self.members), self.settings.tend_every_s)

    async def stop(self) -> None:
        """Stop in order: housekeeping, engine, stores."""
        await self._housekeeping.end()
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
        """One round of housekeeping at every member that is up; first, what members decided is followed."""
        with contextlib.suppress(SalusError):  # Said to whoever decides (`follow`), and tried again next time.
            await self.follow()
        done: list[Tended] = []
        for member in self.members:
            if member.name in self.switchboard.off_line:
                continue
            try:
                done.append(await member.tend())
            except SalusError as error:
                say_error(error, member=member.name)
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
