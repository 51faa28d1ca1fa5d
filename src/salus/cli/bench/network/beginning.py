"""From `salus up` in an empty folder until each process of four members says that it is ready.

It is the command that people give, in a process of its own: keys, genesis and addresses are made first, then ledgers,
keepers and gateways start and find each other.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from salus.cli.bench.figures import Figure
from salus.cli.bench.network.ordering import MEMBERS
from salus.cli.bench.network.processes import started, until
from salus.core.errors import SalusError
from salus.node.folder import member_folder, members_here, read_genesis
from salus.node.observing.asking import operator_ports
from salus.node.site import LOOPBACK, read_site

_ASKED = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_READY = b"HTTP/1.1 200 "


async def begun(folder: Path) -> dict[str, Figure]:
    """How long a new network takes until all of it serves; it is stopped again."""
    home = folder / "network"
    argv = (sys.executable, "-m", "salus.cli.main", "up", "--engine", "cometbft", "--orgs", str(MEMBERS))
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    began = time.perf_counter()
    async with started((*argv, "--home", str(home)), folder / "up.log", environment) as running:
        await until(lambda: _is_ready(home), [running])
        return {"up_s": round(time.perf_counter() - began, 2)}


async def _is_ready(home: Path) -> bool:
    """Whether every process of every member says so by itself."""
    try:
        names = members_here(home, read_genesis(home))
        ports = operator_ports({name: read_site(member_folder(home, name)) for name in names})
    except SalusError:
        return False  # The folder is still being made.
    for port in sorted(set(ports.values())):
        if not await _says_ready(port):
            return False
    return len(names) == MEMBERS


async def _says_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(_ASKED)
        return (await reader.readline()).startswith(_READY)
    except OSError:
        return False
    finally:
        writer.close()
