"""A member's ledger process: its replica, the application on its socket, CometBFT beside it, the way in for the rest.

    members/mercy/ledger/    LMDB: blocks and state
                  engine/    CometBFT's folder, see `config.py`
                  snapshots/ the newest ones, see `snapshots.py`
                  link.sock  where the member's other processes ask, see `link.py`

Started in order: application, CometBFT, link; stopped in reverse, so that nobody asks what is gone. When CometBFT or
the application fails, `failed` says so and whoever runs the unit stops it and starts it again.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from salus.contracts.members.messages import Genesis
from salus.contracts.members.reads import member_of
from salus.core.clock import Clock
from salus.core.errors import UnavailableError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import Digest, MemberId
from salus.core.wire import Record, replace
from salus.crypto import signatures
from salus.engines.cometbft.application import Application
from salus.engines.cometbft.config import ABCI_SOCKET, RPC_SOCKET, EngineSettings, rpc_address, write_config
from salus.engines.cometbft.engine import CometEngine
from salus.engines.cometbft.link import LINK_SOCKET, LinkServer, Status
from salus.engines.cometbft.peering import engine_peers
from salus.engines.cometbft.restoring import Restorer
from salus.engines.cometbft.retaining import retaining
from salus.engines.cometbft.rpc import CONNECTIONS, CometRpc
from salus.engines.cometbft.server import AbciServer
from salus.engines.cometbft.snapshots import Offering
from salus.engines.cometbft.supervisor import EngineEndedError, Supervisor, find_binary
from salus.engines.engine import Engine
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.engines.snapshots import EVERY_BLOCKS, Snapshots
from salus.machine.admission import remembering
from salus.machine.machine import Machine

LEDGER_FOLDER = "ledger"
ENGINE_FOLDER = "engine"
SNAPSHOTS_FOLDER = "snapshots"
STATUS_S = 2.0


def engine_rpc(folder: Path, connections: int = CONNECTIONS) -> CometRpc:
    """The engine of the member in this folder, as its other processes call it; strangers ask `node/http/light.py`."""
    return CometRpc(folder / ENGINE_FOLDER / RPC_SOCKET, connections)


@dataclass(frozen=True, slots=True, repr=False)
class UnitSettings:
    """What a unit is opened with: the member's folder, its validator's seed, and how its engine runs."""

    member: MemberId
    folder: Path
    genesis: Genesis
    validator_seed: bytes
    clock: Clock
    engine: EngineSettings = field(default_factory=EngineSettings)
    binary: Path | None = None  # None: found by itself.
    receipt_of: Callable[[Digest], Awaitable[Record]] | None = None
    faults: Faults = NO_FAULTS
    snapshot_every_blocks: int = EVERY_BLOCKS  # The same on all members, or a joiner finds each at one of them only.
    kept_blocks: int | None = None  # By CometBFT, at least; None: all.
    environment: dict[str, str] = field(default_factory=dict)  # Of CometBFT, for fail-points.
    seed_at: Callable[[Replica], bytes] | None = None  # Where the validator's key may have been replaced.
    watched: Callable[[Engine], Engine] = lambda engine: engine  # What looks on while the link submits.
    told: Callable[[BaseException], None] = lambda _: None  # Of what failed and ended nothing.


class LedgerUnit:
    """Use as `async with LedgerUnit(settings) as unit`. For one event loop."""

    def __init__(self, settings: UnitSettings) -> None:
        """Open the ledger.

        Raises:
            NoEngineError: CometBFT is not installed.
            FolderInUseError: another process has the ledger open.
        """
        self.settings = settings
        engine = settings.folder / ENGINE_FOLDER
        binary = settings.binary or find_binary()
        machine = Machine(remembering(signatures.verify))
        store = LmdbStore(settings.folder / LEDGER_FOLDER)
        try:
            self.replica = Replica(settings.member, settings.genesis, store, machine, settings.faults)
            own = dataclasses.replace(settings.engine, peers=self._peers())
            seed = settings.validator_seed if settings.seed_at is None else settings.seed_at(self.replica)
            write_config(engine, settings.genesis, settings.member, seed, own)
        except BaseException:
            store.close()
            raise
        self.application = Application(self.replica, machine, settings.clock)
        self.application.on_final(self._tell)
        self.application.on_fault(settings.told)
        self.snapshots = Snapshots(settings.folder / SNAPSHOTS_FOLDER, self.replica, settings.snapshot_every_blocks)
        self.restorer = restorer = Restorer(self.replica, settings.clock)
        offering = Offering(self.snapshots)
        self.application.also("list_snapshots", offering.list)
        self.application.also("load_snapshot_chunk", offering.load)
        self.application.also("offer_snapshot", restorer.offer)
        self.application.also("apply_snapshot_chunk", restorer.apply)
        self.application.retain(retaining(self.replica, self.snapshots.heights, settings.kept_blocks))
        self.server = AbciServer(self.application, engine / ABCI_SOCKET)
        self.supervisor = Supervisor(engine, binary, settings.environment)
        self.rpc = CometRpc(rpc_address(engine, settings.engine))
        self.engine = CometEngine(self.replica, self.rpc, settings.receipt_of)
        self.application.on_checked(self.engine.checked)
        self.submitting = settings.watched(self.engine)
        self.link = LinkServer(settings.folder / LINK_SOCKET, self.submitting, self.replica, self)
        self._telling: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[BaseException] | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen, then start CometBFT. It may take a few seconds until transactions are accepted: submissions wait."""
        self._failed = asyncio.get_running_loop().create_future()
        await self.server.start()
        (self.settings.folder / ENGINE_FOLDER / RPC_SOCKET).unlink(missing_ok=True)  # Of a CometBFT that was killed.
        await self.supervisor.start()
        await self.link.start()
        self._watches = [asyncio.create_task(self._watch_engine()), asyncio.create_task(self._watch_application())]

    async def stop(self) -> None:
        """Stop in order: the way in, submissions, CometBFT, application, ledger. Stopping twice is harmless."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await self.link.stop()
        await self.engine.stop()
        await self.supervisor.stop()
        await self.server.stop()
        await asyncio.gather(*self._telling, return_exceptions=True)
        await self.snapshots.made()
        self.replica.close()

    async def failed(self) -> BaseException:
        """Wait until this unit has failed, and say why: it must then be stopped, and its process exit with an error."""
        assert self._failed is not None
        return await asyncio.shield(self._failed)

    async def status(self, number: int = 0) -> Status:
        """Where the ledger stands; CometBFT's own words on peers and catching up where it answers."""
        header = self.replica.header
        done, of = self.restorer.progress
        here = Status(
            number=number,
            height=header.height,
            time=header.time,
            app_hash=header.app_hash,
            pieces_done=done,
            pieces=of,
            is_member=member_of(self.replica.state, self.settings.member) is not None,
        )
        try:
            said, peers = await self.rpc.call("status", STATUS_S), await self.rpc.call("net_info", STATUS_S)
        except UnavailableError:
            return here
        return replace(here, peers=int(peers["n_peers"]), catching_up=bool(said["sync_info"]["catching_up"]))

    async def __aenter__(self) -> "LedgerUnit":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _peers(self) -> tuple[str, ...]:
        settings = self.settings
        return engine_peers(self.replica.state, self.replica.height, settings.member, settings.engine.peers)

    def _tell(self) -> None:
        """Tell listeners of the new block once CometBFT has its answer; begin a snapshot where one is due."""
        self.snapshots.block_arrived()
        task = asyncio.get_running_loop().create_task(self.replica.announce())
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: "asyncio.Task[None]") -> None:
        self._telling.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    async def _watch_engine(self) -> None:
        code = await self.supervisor.ended()
        self._fail(EngineEndedError(exit_code=code))

    async def _watch_application(self) -> None:
        self._fail(await self.server.failed())

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(error)
