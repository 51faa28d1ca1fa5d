"""One member, running whole in one process: its copy of the ledger, keeper and vault, gateway, in a folder of its own.

members/mercy/keys/       one file per duty
              ledger/     LMDB: blocks and state
              keeper.db, vault/   see `keeper_side.py`
              gateway.db          see `gateway_side.py`

The two sides share nothing but the folder and the ledger: between machines each is a process.
"""

from pathlib import Path

from salus.contracts.consent import Pack, pack_root
from salus.core.clock import Clock
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import MemberId
from salus.core.transport import Door, Transport
from salus.engines.engine import Engine
from salus.engines.replica import Replica
from salus.node.gateway_side import GatewaySide
from salus.node.keeper_side import KeeperSide
from salus.node.keys import Secrets
from salus.node.sponsor import LedgerSponsor
from salus.node.tending import Tended
from salus.sdk.hands import Hands


class Member(GatewaySide):
    """A gateway with its keeper beside it. Not for two threads."""

    def __init__(
        self,
        name: MemberId,
        folder: Path,
        secrets: Secrets,
        replica: Replica,
        engine: Engine,
        transport: Transport,
        packs: tuple[Pack, ...],
        clock: Clock,
        faults: Faults = NO_FAULTS,
        hands: Hands | None = None,
    ) -> None:
        sponsor = LedgerSponsor(name, replica.chain, secrets.ledger, engine, replica, clock)
        shared = (name, folder, secrets, replica, transport, sponsor, packs, clock, faults, hands or Hands())
        super().__init__(*shared)
        self.replica = replica
        self.pack_roots = frozenset(pack_root(pack) for pack in packs)
        self.keeping = KeeperSide(*shared, blobs=self.blobs)
        self.keeper, self.vault = self.keeping.keeper, self.keeping.vault
        self.door = Door()
        self.keeping.open_door(self.door)
        self.open_door(self.door)

    async def reconcile(self) -> bool:
        """See `KeeperSide.reconcile` and `GatewaySide.reconcile`; whether both serve."""
        is_done = await self.keeping.reconcile()
        return await super().reconcile() and is_done

    async def tend(self) -> Tended:
        """One round of housekeeping on both sides."""
        return await self.keeping.tend() + await super().tend()

    async def scrub(self) -> int:
        """See `KeeperSide.scrub`."""
        return await self.keeping.scrub()

    def close(self) -> None:
        """Let go of the folder; the replica is the network's to close."""
        self.keeping.close()
        super().close()
