"""What a member's keeper and gateway processes stand on: the ledger its ledger process keeps, and the wire to others.

The ledger's folder is read directly, as far as it is final; transactions go through the ledger process's socket. Other
members are reached over mutual TLS at the addresses, and believed by the keys, that the ledger holds.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from salus.contracts.consent import Pack
from salus.contracts.members.messages import Genesis
from salus.core.clock import Clock
from salus.core.errors import UnavailableError
from salus.core.ids import MemberId
from salus.core.transport import Door
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine, follow
from salus.engines.cometbft.receipts import read_receipt
from salus.engines.cometbft.unit import LEDGER_FOLDER, engine_rpc
from salus.engines.follower import Follower
from salus.node.checkpointing import Checkpointing
from salus.node.folder import member_folder, read_genesis
from salus.node.gateway_side import GatewaySide
from salus.node.http.client import HttpTransport
from salus.node.http.places import Part, places_of
from salus.node.http.server import Server
from salus.node.http.trust import Trust, pins_of
from salus.node.keeper_side import KeeperSide
from salus.node.keyring import KeyRing
from salus.node.keys import KEYS_FOLDER, Secrets
from salus.node.observing.watching import WatchedDoor, WatchedEngine, WatchedTransport
from salus.node.renewing import tend_tls
from salus.node.settings import Settings
from salus.node.shelf import Shelf
from salus.node.site import Site, host_and_port, read_site
from salus.node.sponsor import LedgerSponsor
from salus.sdk.hands import Hands

LEDGER_WAIT_S = 30.0  # For the ledger process to found, or open, its store.
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Attached:
    """One member's ledger and wire, in a process that is not its ledger's. Use `attach`, then `close`."""

    member: MemberId
    folder: Path
    site: Site
    ring: KeyRing
    shelf: Shelf
    ledger: Follower
    engine: LinkEngine
    trust: Trust
    transport: HttpTransport
    sponsor: LedgerSponsor
    settings: Settings
    door: WatchedDoor
    watched: WatchedEngine
    following: asyncio.Task[None] = field(repr=False)  # Ends only by failing: the process must then end too.

    def keeper_side(self) -> KeeperSide:
        """The member's keeper and vault, opened here."""
        side = KeeperSide(*self._shared())
        self.shelf.lead(side)
        return side

    def gateway_side(self, hands: Hands | None = None) -> GatewaySide:
        """The member's gateway, opened here; what it seals, these hands may help with."""
        side = GatewaySide(*self._shared(), hands=hands)
        self.shelf.lead(side)
        return side

    async def serve(self, side: KeeperSide | GatewaySide, address: str) -> Server:
        """Let other members in at an address.

        Raises:
            OSError: the address cannot be had.
        """
        side.open_door(self.door)
        server = Server(self.door, self.ledger.chain, self.trust)
        await server.start(*host_and_port(address))
        return server

    def checkpointing(self) -> Checkpointing:
        """The member's part in checkpoints, behind its keeper's door."""
        return Checkpointing(
            self.folder,
            self.ledger,
            WatchedTransport(self.transport, self.member, self.door.part),
            engine_rpc(self.folder),
            lambda: self.ring.checkpoint,
            self.settings.clock,
        )

    def tend(self) -> None:
        """See to what this process holds of the member: keys and packs. Raises as `KeyRing.follow`."""
        self.ring.tend()
        self.shelf.tend()

    async def tend_tls(self) -> bool:
        """See to the TLS key's age, in one process of the member; whether something was due.

        Raises:
            SalusError: as `renewing.tend_tls`.
        """
        servers = (self.site.keeper, self.site.gateway)
        return await tend_tls(
            self.folder / KEYS_FOLDER, self.ledger.state, self.member, self.sponsor, self.trust, servers
        )

    async def close(self) -> None:
        """Let go of the wire, then of the ledger."""
        self.ring.close()
        await self.transport.close()
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)
        await self.engine.close()
        self.ledger.close()

    def _shared(
        self,
    ) -> tuple[MemberId, Path, Secrets, Follower, WatchedTransport, LedgerSponsor, tuple[Pack, ...], Clock]:
        return (
            self.member,
            self.folder,
            self.ring.secrets,
            self.ledger,
            WatchedTransport(self.transport, self.member, self.door.part),
            self.sponsor,
            self.shelf.packs,
            self.settings.clock,
        )


async def attach(
    home: Path, member: MemberId, part: Part, settings: Settings, genesis: Genesis | None = None
) -> Attached:
    """Attach a part of a member to its ledger process, waiting for it to be there.

    Raises:
        UnavailableError: the ledger process does not come up in time.
        IntegrityError: the member's folder lacks keys or addresses.
    """
    genesis = genesis or read_genesis(home)
    folder = member_folder(home, member)
    site, clock = read_site(folder), settings.clock
    ledger = await _opened(member, genesis, folder / LEDGER_FOLDER)
    ring = KeyRing(folder / KEYS_FOLDER, ledger, part, clock)
    engine = LinkEngine(folder / LINK_SOCKET, read_receipt)
    following = asyncio.create_task(follow(ledger, folder / LINK_SOCKET))
    shelf = Shelf(home, ledger)
    reached = {host_and_port(site.reached(address))[0] for address in (site.keeper, site.gateway)}
    hosts = tuple(reached | {host_and_port(address)[0] for address in (site.keeper, site.gateway)})
    trust = Trust(member, ring.tls, pins_of(ledger), clock, hosts)
    ring.show(trust)
    transport = HttpTransport(member, ledger.chain, trust, places_of(ledger))
    watched, door = WatchedEngine(engine, member, part), WatchedDoor(Door(), member, part)
    sponsor = LedgerSponsor(member, ledger.chain, ring.secrets.ledger, watched, ledger, clock)
    return Attached(
        member, folder, site, ring, shelf, ledger, engine, trust, transport, sponsor, settings, door, watched, following
    )


async def _opened(member: MemberId, genesis: Genesis, folder: Path) -> Follower:
    """The ledger, once its process has founded it."""
    give_up = asyncio.get_running_loop().time() + LEDGER_WAIT_S
    while True:
        try:
            return Follower(member, genesis, folder)
        except UnavailableError:
            if asyncio.get_running_loop().time() > give_up:
                raise
        await asyncio.sleep(LOOK_EVERY_S)
