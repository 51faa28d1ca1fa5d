"""CometBFT's built-in kvstore on four validators with our settings: what the ordering engine alone could do.

No signature, no rule, no tree and no store stands behind it, and no process of ours. It gets as many bytes from as
many callers in two ways: with one call to CometBFT for each transaction, as its clients do, and many with one call, as
our ledger process does.
"""

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from salus.cli.bench.network.load import TX_BYTES, Network, Way
from salus.cli.bench.network.ordering import CHAIN, MEMBERS
from salus.cli.bench.network.processes import started, until
from salus.core.errors import UnavailableError
from salus.engines.cometbft.config import EngineSettings, rpc_address, write_config
from salus.engines.cometbft.handing import Handing
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.cometbft.unit import ENGINE_FOLDER
from salus.node.folder import found_apart, member_folder, usual_names
from salus.node.keys import load_secrets
from salus.node.site import read_site

_LOOK_S = 0.005


@asynccontextmanager
async def kvstores(folder: Path, binary: Path) -> AsyncIterator[tuple[Network, Network]]:
    """Four validators of a new chain, once all of them order: called for each transaction, and for many at once."""
    names = usual_names(MEMBERS)
    genesis = found_apart(folder, names, chain=CHAIN)
    async with AsyncExitStack() as stack:
        running, rpcs = [], []
        for name in names:
            place, site = member_folder(folder, name), read_site(member_folder(folder, name))
            settings = EngineSettings(listen=site.engine, peers=site.peers, more={"proxy_app": "kvstore"})
            seed = load_secrets(place / "keys").validator.seed
            write_config(place / ENGINE_FOLDER, genesis, name, seed, settings)
            words = (str(binary), "start", "--home", ".")
            running.append(
                await stack.enter_async_context(started(words, folder / f"{name}.log", folder=place / ENGINE_FOLDER))
            )
            rpcs.append(CometRpc(rpc_address(place / ENGINE_FOLDER, settings)))
            stack.callback(rpcs[-1].close)
        await until(lambda: _all_order(rpcs), running)
        blocks = Blocks(rpcs[0])
        looking = asyncio.create_task(blocks.look())
        stack.callback(looking.cancel)
        handings = [Handing(rpc) for rpc in rpcs]
        for handing in handings:
            stack.push_async_callback(handing.stop)
        pids = {"engine": [one.process.pid for one in running]}
        by_one = Network([_way(rpc, blocks) for rpc in rpcs], pids)
        yield by_one, Network([_many(handing, blocks) for handing in handings], pids)


class Blocks:
    """Who waits for which transaction, told by one validator's blocks."""

    def __init__(self, rpc: CometRpc) -> None:
        self._rpc = rpc
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._awaited = asyncio.Event()

    def wait_for(self, tx: bytes) -> "asyncio.Future[None]":
        """Done once a block holds it."""
        self._awaited.set()
        return self._waiting.setdefault(tx, asyncio.get_running_loop().create_future())

    async def look(self) -> None:
        """Read one block after the other while somebody waits, until cancelled."""
        height = 1
        while True:
            if not self._waiting:
                self._awaited.clear()
                await self._awaited.wait()
            try:
                said = await self._rpc.call("block", height=str(height))
            except UnavailableError:
                await asyncio.sleep(_LOOK_S)
                continue
            for tx in said["block"]["data"]["txs"] or ():
                waiting = self._waiting.pop(b64decode(tx), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            height += 1


def _way(rpc: CometRpc, blocks: Blocks) -> Way:
    async def submit(tx: bytes) -> bool:
        final = blocks.wait_for(tx)
        said = await rpc.call("broadcast_tx_sync", tx=b64encode(tx).decode())
        if said["code"] != 0:
            return False
        await final
        return True

    return Way(submit, _pairs())


def _many(handing: Handing, blocks: Blocks) -> Way:
    async def submit(tx: bytes) -> bool:
        final = blocks.wait_for(tx)
        handing.offer(tx)
        await final
        handing.withdraw(tx)
        return True

    return Way(submit, _pairs())


def _pairs() -> Iterator[bytes]:
    """A key and a value in kvstore's own form, without end."""
    while True:
        key = os.urandom(16).hex().encode()
        yield key + b"=" + os.urandom((TX_BYTES - len(key)) // 2).hex().encode()[: TX_BYTES - len(key) - 1]


async def _all_order(rpcs: list[CometRpc]) -> bool:
    with suppress(UnavailableError):
        said: list[Any] = [(await rpc.call("status"), await rpc.call("net_info")) for rpc in rpcs]
        return all(
            int(status["sync_info"]["latest_block_height"]) > 0 and int(net["n_peers"]) == MEMBERS - 1
            for status, net in said
        )
    return False
