"""The processes of a member that runs apart: `python -m salus.node.parts ledger|keeper --home FOLDER --member NAME`.

    ledger    CometBFT and the machine beside it as one unit; the way in for the other two. After a restore it looks on
              first, without a vote
    keeper    keeper and vault, behind their door to other members
    gateway   is started by `salus`, which serves people's commands too: see `gateways.py`

Each runs until SIGTERM or SIGINT, stops in order, and ends with exit code 1 where what it stands on has failed, so that
whoever supervises it starts it again; with 3 where its member has left the network and with 6 where the operator must
look first, so that nobody does.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from salus.core.errors import IntegrityError, SalusError
from salus.core.ids import Digest, MemberId
from salus.crypto.digests import digest
from salus.engines.cometbft.collect import collect
from salus.engines.cometbft.config import EngineSettings, StateSync
from salus.engines.cometbft.receipts import CometReceipt
from salus.engines.cometbft.unit import LedgerUnit, UnitSettings, engine_rpc
from salus.node.attached import Attached, attach
from salus.node.checkpointing import Checkpointing
from salus.node.checkpoints import checkpoints_to, is_beyond
from salus.node.collector import calm_collector
from salus.node.departing import DEPARTED, DepartedError, departed, departed_and_released
from salus.node.folder import member_folder, read_genesis
from salus.node.http.light import LightPort
from salus.node.http.places import Part
from salus.node.keeper_side import KeeperSide
from salus.node.keys import KEYS_FOLDER
from salus.node.observing.logs import Logs, say_error, watch_loop
from salus.node.observing.logs import begin as begin_log
from salus.node.observing.operating import Operating
from salus.node.observing.parts_here import show_keeper, show_unit
from salus.node.observing.traces import begin as begin_traces
from salus.node.observing.watching import WatchedEngine
from salus.node.processes import FOR_THE_OPERATOR
from salus.node.settings import Settings, system_clock
from salus.node.site import Site, host_and_port, read_site
from salus.node.validating import Validating

FAILED = 1
LIGHT_CALLS = 4  # Of strangers at the engine at once.
LEDGER, KEEPER = "ledger", "keeper"

Begin = Callable[[], Operating]
"""Makes what a process shows of itself; anew for each life of what it shows."""

Run = Callable[[Begin, Path, MemberId, asyncio.Event], Awaitable[BaseException | None]]


async def run_ledger(begin: Begin, home: Path, member: MemberId, stop: asyncio.Event) -> BaseException | None:
    """Order and apply transactions until told to stop; what failed, if something did."""
    folder = member_folder(home, member)
    site = read_site(folder)
    engine = EngineSettings(listen=site.engine, peers=site.peers, state_sync=_sync(site))
    while True:
        validating = Validating(folder / KEYS_FOLDER, member)
        settings = UnitSettings(
            member=member,
            folder=folder,
            genesis=read_genesis(home),
            validator_seed=validating.seed,
            seed_at=validating.settle,
            clock=system_clock,
            engine=engine,
            receipt_of=lambda tx_id: _receipt(unit, tx_id),
            snapshot_every_blocks=site.snapshot_every_blocks,
            kept_blocks=site.kept_blocks or None,
            watched=lambda engine: WatchedEngine(engine, member, LEDGER),
            told=say_error,
        )
        async with LedgerUnit(settings) as unit:
            validating.follow(unit.replica)
            here = begin()
            show_unit(here, unit)
            if validating.looks_on:
                here.check(lambda: [((member, LEDGER), "votes", lambda: False)])
            async with _light(folder, site), here.listening(site.ledger_operator):
                gone = departed_and_released(unit.replica, member)
                with calm_collector():
                    failed = await _until(stop, unit.failed(), gone, validating.turned())
        if failed is not None or stop.is_set():
            return failed


@asynccontextmanager
async def _light(folder: Path, site: Site) -> AsyncIterator[None]:
    """Let light clients ask the member's engine what they need, and no more."""
    asking = engine_rpc(folder, LIGHT_CALLS)
    try:
        async with LightPort(asking).listening(*host_and_port(site.rpc)):
            yield
    finally:
        asking.close()


def _sync(site: Site) -> StateSync | None:
    """How a joiner's first start begins; CometBFT passes over it once it has blocks. It wants two to ask."""
    if not site.trust_height or not site.light:
        return None
    servers = tuple(f"http://{address}" for address in site.light)
    return StateSync(servers if len(servers) > 1 else 2 * servers, site.trust_height, site.trust_hash)


async def _receipt(unit: LedgerUnit, tx_id: Digest) -> CometReceipt:
    """The proof of a final transaction, from the blocks that this member's CometBFT keeps."""
    proven, genesis = unit.replica.receipt(tx_id), unit.settings.genesis
    height = proven.header.height
    is_late = is_beyond(genesis, proven.header.time)
    checkpoints = checkpoints_to(unit.settings.folder, genesis, height) if is_late else ()
    return await collect(unit.rpc, genesis, height, digest(proven.tx), checkpoints=checkpoints)


async def run_keeper(begin: Begin, home: Path, member: MemberId, stop: asyncio.Event) -> BaseException | None:
    """Keep shares and ciphertext, and answer other members, until told to stop; what failed, if something did."""
    settings = Settings()
    attached = await attach(home, member, Part.KEEPER, settings)
    try:
        side, checkpointing = attached.keeper_side(), attached.checkpointing()
        checkpointing.open_door(attached.door)
        server = await attached.serve(side, attached.site.keeper)
        here = begin()
        show_keeper(here, attached, side, server)
        tending = asyncio.create_task(_tend_for_ever(attached, side, checkpointing, settings.tend_every_s or 1.0))
        try:
            async with here.listening(attached.site.keeper_operator):
                return await _until(stop, _ended(attached.following), departed(attached.ledger, member))
        finally:
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)
            await server.stop()
            checkpointing.close()
            side.close()
    finally:
        await attached.close()


async def _until(stop: asyncio.Event, *ending: Coroutine[object, object, BaseException | None]) -> BaseException | None:
    """Wait for the first of these; None where all was well until told to stop, or to begin anew."""
    ends, stopped = [asyncio.create_task(one) for one in ending], asyncio.create_task(stop.wait())
    await asyncio.wait({*ends, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (*ends, stopped):
        task.cancel()
    return next((end.result() for end in ends if end.done() and not end.cancelled()), None)


async def _ended(task: "asyncio.Task[None]") -> BaseException:
    """What ended a task that should run for ever."""
    await asyncio.wait({task})
    return task.exception() or RuntimeError("it ended by itself")


async def _tend_for_ever(attached: Attached, side: KeeperSide, checkpointing: Checkpointing, every_s: float) -> None:
    async def own() -> None:
        attached.tend()

    while True:
        for due in (own, side.tend, checkpointing.tend):
            try:
                await due()
            except SalusError as error:
                say_error(error)
        await asyncio.sleep(every_s)


def main(argv: list[str] | None = None) -> int:
    """Run one process of a member; its exit code."""
    parser = argparse.ArgumentParser(prog="salus.node.parts", description="One process of a member.")
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--home", type=Path, required=True, help="the folder of the network")
    parser.add_argument("--member", required=True, help="whose process it is")
    asked = parser.parse_args(argv)
    logs = begin_log(part=asked.part, member=asked.member)
    try:
        failed = asyncio.run(_run(asked.part, logs, asked.home, MemberId(asked.member)))
    except SalusError as error:
        failed = error
    if failed is None:
        return 0
    if isinstance(failed, DepartedError):
        say_error(failed, "departed")
        return DEPARTED
    say_error(failed, "failed")
    return FOR_THE_OPERATOR if isinstance(failed, IntegrityError) else FAILED


async def _run(part: str, logs: Logs, home: Path, member: MemberId) -> BaseException | None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    watch_loop(loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tracer = begin_traces()
    return await PARTS[part](lambda: Operating(part, logs, tracer), home, member, stop)


PARTS: dict[str, Run] = {LEDGER: run_ledger, KEEPER: run_keeper}

if __name__ == "__main__":
    sys.exit(main())
