"""The gateway process: gateways of the members that live in a folder, each on its own ledger process.

A member on its own machine has one; a network that runs on one machine for a start has all of them here, so that its
people act through one socket. Keepers, vaults and ledgers are processes of their own in either case.
"""

import asyncio
import fcntl
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from salus.contracts.members.founding import first_committee
from salus.core.errors import SalusError
from salus.core.ids import CommitteeId, Digest, MemberId
from salus.core.wire import encode
from salus.engines.engine import Ledger
from salus.engines.lmdb_errors import FolderInUseError
from salus.node.attached import Attached, attach
from salus.node.departing import DepartedError, departure
from salus.node.folder import members_here, read_genesis
from salus.node.gateway_side import GatewaySide
from salus.node.http.places import Part
from salus.node.http.server import Server
from salus.node.observing.logs import say_error
from salus.node.settings import Settings
from salus.node.tending import Housekeeping, Tended
from salus.sdk.hands import Hands

LOCK_FILE = "gateway.lock"


class Gateways:
    """Running gateways. Use as `async with Gateways(folder) as gateways`."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        """Read the folder.

        Raises:
            NoNetworkError: there is no network here.
            NotANetworkError: its genesis cannot be read.
        """
        self.folder = folder
        self.settings = settings or Settings()
        self.genesis = read_genesis(folder)
        self.hands = Hands()  # Of all gateways: an import lends them its workers.
        self._attached: list[Attached] = []
        self._members: dict[MemberId, GatewaySide] = {}
        self._servers: list[Server] = []
        self._housekeeping = Housekeeping(self.tend)
        self._lock: IO[bytes] | None = None
        self._departed: DepartedError | None = None  # The last one that went.

    @property
    def members(self) -> Sequence[GatewaySide]:
        """All gateways here, in the genesis's order."""
        return list(self._members.values())

    @property
    def running(self) -> list[tuple[Attached, GatewaySide, Server]]:
        """Each gateway here, with what it stands on and the door it is reached by."""
        return list(zip(self._attached, self._members.values(), self._servers, strict=True))

    @property
    def committee(self) -> CommitteeId:
        """The network's first committee."""
        return first_committee(self.genesis.chain)

    @property
    def ledger(self) -> Ledger:
        """The copy here that is furthest."""
        return max((one.ledger for one in self._attached), key=lambda ledger: ledger.height)

    @property
    def failure(self) -> BaseException | None:
        """What broke a follower of the ledger. A ledger process that ends is started again by whoever supervises it."""
        broken = (one.following.exception() for one in self._attached if one.following.done())
        failed = next((error for error in broken if error is not None), None)
        return failed or (self._departed if not self._attached else None)

    async def receipt(self, tx_id: Digest) -> bytes:
        """See `Hosted.receipt`: the ledger process works it out."""
        newest = max(self._attached, key=lambda one: one.ledger.height)
        return encode(await newest.engine.receipt(tx_id))

    async def start(self) -> None:
        """Attach to every member's ledger, open the gateways, let others in, finish what a crash left unfinished.

        Raises:
            FolderInUseError: another process serves these gateways.
            UnavailableError: a ledger process does not come up in time, or an address cannot be had.
        """
        self._lock = lock(self.folder / LOCK_FILE)
        for name in members_here(self.folder, self.genesis):
            attached = await attach(self.folder, name, Part.GATEWAY, self.settings, self.genesis)
            self._attached.append(attached)
            side = self._members[name] = attached.gateway_side(self.hands)
            self._servers.append(await attached.serve(side, attached.site.gateway))
        await self._housekeeping.begin((side.author for side in self.members), self.settings.tend_every_s)

    async def stop(self) -> None:
        """Stop in order: housekeeping, doors, stores, wire. Stopping twice is harmless."""
        await self._housekeeping.end()
        await asyncio.gather(*(server.stop() for server in self._servers))
        for side in self.members:
            side.close()
        for attached in self._attached:
            await attached.close()
        self._servers, self._attached, self._members = [], [], {}
        if self._lock is not None:
            self._lock.close()

    async def tend(self) -> list[Tended]:
        """One round of housekeeping at every gateway here, after those have ended whose members have left."""
        await self.let_go()
        done: list[Tended] = []
        for attached, side, _ in self.running:
            try:
                attached.tend()
                await attached.tend_tls()
                done.append(await side.tend())
            except SalusError as error:
                say_error(error, member=side.name)
                done.append(Tended())
        return done

    async def let_go(self) -> None:
        """End the gateways of members that have left the network."""
        for attached, side, server in self.running:
            gone = departure(attached.ledger, attached.member)
            if gone is None or attached.member not in self._members:
                continue
            say_error(gone, "departed")
            self._departed = gone
            self._attached.remove(attached)
            self._servers.remove(server)
            del self._members[attached.member]
            await server.stop()
            side.close()
            await attached.close()

    def __getitem__(self, name: str) -> GatewaySide:
        return self._members[MemberId(name)]

    def __contains__(self, name: str) -> bool:
        return name in self._members

    async def __aenter__(self) -> "Gateways":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def lock(path: Path) -> IO[bytes]:
    """Hold a file for this process, until it is closed or the process ends.

    Raises:
        FolderInUseError: another process holds it.
    """
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise FolderInUseError from None
    return file
