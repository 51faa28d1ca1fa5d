"""Four members' ledger processes, and transactions through the sockets that their gateways use."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from salus.cli.bench.network.load import Network, Way, transactions
from salus.cli.bench.network.processes import Running, started, until
from salus.core.errors import UnavailableError
from salus.core.ids import ChainId, MemberId
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine
from salus.engines.cometbft.receipts import read_receipt
from salus.engines.cometbft.supervisor import BINARY_VARIABLE
from salus.machine.block import ACCEPTED
from salus.node.folder import found_apart, member_folder, read_genesis, usual_names
from salus.node.keys import load_secrets

MEMBERS = 4
CHAIN = ChainId("salus-bench-network")


@asynccontextmanager
async def ledgers(folder: Path, binary: Path) -> AsyncIterator[Network]:
    """A new network of ledger processes on this CometBFT, once all of them order."""
    names = usual_names(MEMBERS)
    found_apart(folder, names, chain=CHAIN)
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(ledger(folder, name, binary)) for name in names]
        engines = [LinkEngine(member_folder(folder, name) / LINK_SOCKET, read_receipt) for name in names]
        for engine in engines:
            stack.push_async_callback(engine.close)
        await until(lambda: all_order(engines), running)
        ways = [way(folder, name, engine) for name, engine in zip(names, engines, strict=True)]
        machines = [one.pids[0] for one in running]
        yield Network(ways, {"machine": machines, "engine": [pid for one in running for pid in one.pids[1:]]})


def ledger(folder: Path, name: MemberId, binary: Path) -> AbstractAsyncContextManager[Running]:
    words = (sys.executable, "-m", "salus.node.parts", "ledger", "--home", str(folder), "--member", name)
    environment = {BINARY_VARIABLE: str(binary), "PYTHONPATH": os.pathsep.join(sys.path)}
    return started(words, folder / f"{name}.log", environment)


async def all_order(engines: list[LinkEngine]) -> bool:
    try:
        said = [await engine.status() for engine in engines]
    except UnavailableError:
        return False
    return all(one.height > 0 and one.peers == MEMBERS - 1 and not one.catching_up for one in said)


def way(folder: Path, name: MemberId, engine: LinkEngine) -> Way:
    async def submit(tx: bytes) -> bool:
        return (await engine.submit(tx)).code == ACCEPTED

    key = load_secrets(member_folder(folder, name) / "keys").ledger
    return Way(submit, transactions(read_genesis(folder).chain, name, key))
