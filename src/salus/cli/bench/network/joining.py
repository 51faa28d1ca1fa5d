"""`joining`: a new member of a network whose state has a million entries, from its first start to the newest block.

Four members are founded with that state on their disks, as if a long history had led to it; they make a few blocks and
their snapshots. The fifth accepts an invitation, verifies the block to begin from, and takes a snapshot over: fetched
from the others, its tree built anew, its root compared with the one that the validators signed; meanwhile others order
transactions. Floor: the same rows put into an empty store with their tree, in one process, without a network.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from salus.cli.bench.figures import Figure, Options, Outcome, at_most
from salus.cli.bench.network.load import Way
from salus.cli.bench.network.ordering import MEMBERS, all_order, ledger, way
from salus.cli.bench.network.processes import processor_s, until
from salus.contracts.members.messages import Genesis
from salus.core.errors import UnavailableError
from salus.core.ids import ChainId, MemberId
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine
from salus.engines.cometbft.receipts import read_receipt
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.cometbft.supervisor import find_binary
from salus.engines.cometbft.unit import LEDGER_FOLDER, SNAPSHOTS_FOLDER
from salus.engines.growth import fill
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import no_cyclic_collector
from salus.node.cards import Card, card_id
from salus.node.catching_up import begin_from, newest_block
from salus.node.enlisting import accept, begin, peers_of_genesis
from salus.node.folder import found_apart, member_folder, usual_names
from salus.node.invitations import LASTS_MS, Invitation
from salus.node.settings import system_clock
from salus.node.site import host_and_port, read_site, write_site
from salus.state import tree
from salus.state.key_value import Prefixed
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX

NAME = "joining"
TARGETS = {"state_sync_s": at_most(60)}
ENTRIES, ENTRIES_SHORT = 1_000_000, 2_000
EVERY_BLOCKS = 100
CHAIN = ChainId("salus-bench-joining")
JOINER = MemberId("southport")
SNAPSHOT_S = 900.0
JOINED_S = 900.0
PAUSE_S = 1.0


def measure(options: Options) -> Outcome:
    """Takes minutes: four members get the entries onto their disks first."""
    entries = ENTRIES_SHORT if options.short else ENTRIES
    with tempfile.TemporaryDirectory(prefix="salus-bench-", dir=options.folder) as name:
        return asyncio.run(joined(Path(name), entries))


async def joined(place: Path, entries: int) -> Outcome:
    """As `measure`, in a folder."""
    four, names = place / "four", usual_names(MEMBERS)
    with LmdbStore(place / "entries") as store:
        fill(store, 0, entries)
    for name in names:
        shutil.copytree(place / "entries", member_folder(four, name) / LEDGER_FOLDER)
    floor_s, floor_cpu_s = _bare(place / "bare", place / "entries")
    genesis = found_apart(four, names, chain=CHAIN)  # Its state is laid over the entries when a ledger first starts.
    for name in names:
        own = member_folder(four, name)
        write_site(own, replace(read_site(own), snapshot_every_blocks=EVERY_BLOCKS))
    async with AsyncExitStack() as stack:
        binary = find_binary()
        running = [await stack.enter_async_context(ledger(four, name, binary)) for name in names]
        engines = [LinkEngine(member_folder(four, name) / LINK_SOCKET, read_receipt) for name in names]
        for engine in engines:
            stack.push_async_callback(engine.close)
        await until(lambda: all_order(engines), running)
        mercy = way(four, names[0], engines[0])
        snapshots = [member_folder(four, name) / SNAPSHOTS_FOLDER for name in names]
        async with asyncio.timeout(SNAPSHOT_S):
            while not _all_there(snapshots):
                assert await mercy.submit(next(mercy.txs)), "A transaction of a new network is accepted."
        figures = await _joined(place / JOINER, four, names, genesis, engines[0], mercy)
    newest = max(snapshots[0].iterdir(), key=lambda path: int(path.name))
    pieces = [path for path in newest.iterdir() if path.name.isdigit()]
    size = sum(path.stat().st_size for path in pieces)
    figures |= {"entries": entries, "snapshot_mib": round(size / (1 << 20), 1), "pieces": len(pieces)}
    return Outcome(NAME, figures, TARGETS, {"bare_s": round(floor_s, 2), "bare_cpu_s": round(floor_cpu_s, 2)})


async def _joined(
    folder: Path, four: Path, names: list[MemberId], genesis: Genesis, ahead: LinkEngine, mercy: Way
) -> dict[str, Figure]:
    """What it takes from the invitation to the newest block, in the joiner's own processes."""
    card = begin(folder, JOINER, chain=CHAIN)
    invitation = await _invitation(four, names, genesis, card)
    began = time.perf_counter()
    sync = await begin_from(invitation, system_clock())
    assert sync is not None, "There are snapshots."
    accept(folder, invitation, sync)
    accepted_s = time.perf_counter() - began
    place = member_folder(folder, JOINER)
    began = time.perf_counter()
    async with ledger(folder, JOINER, find_binary()) as running, _load(mercy):
        link = LinkEngine(place / LINK_SOCKET, read_receipt)
        try:
            await until(lambda: _caught_up(link, ahead), [running], JOINED_S)
            took_s = time.perf_counter() - began
            used = [processor_s([pid]) for pid in running.pids]
        finally:
            await link.close()
    return {
        "state_sync_s": round(took_s, 2),
        "state_sync_cpu_s": round(used[0], 2),
        "state_sync_engine_cpu_s": round(sum(used[1:]), 2),
        "verified_s": round(accepted_s, 2),
    }


async def _invitation(four: Path, names: list[MemberId], genesis: Genesis, card: Card) -> Invitation:
    sites = [read_site(member_folder(four, name)) for name in names]
    rpc = CometRpc(host_and_port(sites[0].rpc))
    try:
        trusted = await newest_block(rpc, EVERY_BLOCKS)
    finally:
        rpc.close()
    return Invitation(
        genesis=genesis,
        inviter=names[0],
        invited=(card_id(card),),
        peers=peers_of_genesis(genesis),
        light=tuple(site.rpc for site in sites),
        trusted=trusted,
        proposal=None,
        snapshot_every_blocks=EVERY_BLOCKS,
        expires=system_clock() + LASTS_MS,
    )


@asynccontextmanager
async def _load(through: Way) -> AsyncIterator[None]:
    """A few transactions a second, so that there are blocks as in a network that is used."""

    async def go_on() -> None:
        while True:
            await through.submit(next(through.txs))
            await asyncio.sleep(PAUSE_S)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _caught_up(own: LinkEngine, ahead: LinkEngine) -> bool:
    try:
        mine, theirs = await own.status(), await ahead.status()
    except UnavailableError:
        return False
    return not mine.catching_up and mine.height >= theirs.height


def _all_there(snapshots: list[Path]) -> bool:
    """Whether everybody has two snapshots, and writes none."""
    named = [[path.name for path in folder.glob("*")] for folder in snapshots]
    return all(len(each) >= 2 and all(name.isdigit() for name in each) for each in named)


def _bare(folder: Path, source: Path) -> tuple[float, float]:
    """The same rows and their tree in one transaction: seconds, and seconds of processor time."""
    with LmdbStore(source) as full, LmdbStore(folder) as store, no_cyclic_collector():
        began, used = time.perf_counter(), time.process_time()
        rows = dict(Prefixed(full, VALUES_PREFIX).scan(b""))
        with store.write():
            values = Prefixed(store, VALUES_PREFIX)
            for key, value in rows.items():
                values.put(key, value)
            tree.update(Prefixed(store, PAGES_PREFIX), rows)
        return time.perf_counter() - began, time.process_time() - used
