"""A real CometBFT node on this machine: a single validator, fast, on ports of its own."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from salus.core.errors import UnavailableError
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.rpc import CometRpc

STARTED_S = 30.0


def binary() -> str:
    """Where the engine is; without it, the test says so."""
    found = os.environ.get("SALUS_COMETBFT") or shutil.which("cometbft") or str(Path.home() / "go/bin/cometbft")
    if not Path(found).exists():
        pytest.skip("NO COMETBFT HERE: this test compares with the real engine. Build it (make engine).")
    return found


def make_home(folder: Path, indexer: str = "null") -> None:
    """A validator's keys, genesis and configuration."""
    subprocess.run([binary(), "init", "--home", str(folder)], check=True, capture_output=True)
    config = folder / "config" / "config.toml"
    text = config.read_text()
    for name, value in {
        "timeout_commit": '"10ms"',
        "create_empty_blocks": "false",
        "indexer": f'"{indexer}"',
        "recheck": "false",
    }.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    config.write_text(text)


@asynccontextmanager
async def running(folder: Path, app: str) -> AsyncIterator[CometRpc]:
    """The node beside an application (`kvstore`, or a socket's address) and its RPC, once it has a block."""
    rpc_port, peer_port = free_port(), free_port()
    ports = ("--rpc.laddr", f"tcp://127.0.0.1:{rpc_port}", "--p2p.laddr", f"tcp://127.0.0.1:{peer_port}")
    with (folder / "log").open("wb") as log:
        words = (binary(), "node", "--home", str(folder), "--proxy_app", app, *ports)
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _has_block(rpc: CometRpc) -> bool:
    try:
        await light_block(rpc, 1)
    except UnavailableError:
        return False
    return True
