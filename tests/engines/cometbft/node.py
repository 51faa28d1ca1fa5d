"""A real CometBFT node on this machine: a single validator, fast, on ports of its own."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from salus.core.errors import UnavailableError
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.cometbft.supervisor import find_binary
from tests.engines.cometbft.real import free_ports

STARTED_S = 30.0


def make_home(folder: Path, indexer: str = "null") -> None:
    """A validator's keys, genesis and configuration."""
    subprocess.run([str(find_binary()), "init", "--home", str(folder)], check=True, capture_output=True)
    config = folder / "config" / "config.toml"
    text = config.read_text()
    for name, value in {
        "timeout_commit": '"10ms"',
        "create_empty_blocks": "true",
        "create_empty_blocks_interval": '"1s"',  # A refused transaction changes no state: its proof is a heartbeat.
        "indexer": f'"{indexer}"',
        "recheck": "false",
    }.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    config.write_text(text)


@asynccontextmanager
async def running(folder: Path, app: str) -> AsyncIterator[CometRpc]:
    """The node beside an application (`kvstore`, or a socket's address) and its RPC, once it has a block."""
    rpc_port, peer_port = free_ports(2)
    ports = ("--rpc.laddr", f"tcp://127.0.0.1:{rpc_port}", "--p2p.laddr", f"tcp://127.0.0.1:{peer_port}")
    with (folder / "log").open("wb") as log:
        words = (str(find_binary()), "node", "--home", str(folder), "--proxy_app", app, *ports)
        process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
    rpc = CometRpc(("127.0.0.1", rpc_port))
    try:
        async with asyncio.timeout(STARTED_S):
            while not await _has_block(rpc):
                assert process.returncode is None, (folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.05)
        yield rpc
    finally:
        rpc.close()
        process.terminate()
        await process.wait()


async def _has_block(rpc: CometRpc) -> bool:
    try:
        await light_block(rpc, 1)
    except UnavailableError:
        return False
    return True
