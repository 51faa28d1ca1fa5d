"""What `salus up` shows of itself: a log of its own, and an operator's port where one is named.

Where members run apart, this is the gateways' process, and their sites name the port; what it says goes to standard
error, which its supervisor keeps. A network in one process logs to `logs/network.log` in its folder.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from salus.cli.errors import FileError
from salus.node.hosted import Hosted
from salus.node.network import Network
from salus.node.observing import logs, traces
from salus.node.observing.logs import Logs

LOGS_FOLDER = "logs"
NETWORK_LOG = "network.log"


def begin_log(folder: Path, *, apart: bool) -> Logs:
    """Let this process's log begin.

    Raises:
        FileError: the log cannot be written.
    """
    if apart:
        return logs.begin(part="gateway")
    try:
        (folder / LOGS_FOLDER).mkdir(mode=0o700, exist_ok=True)
        return logs.begin((folder / LOGS_FOLDER / NETWORK_LOG).open("a", encoding="utf-8"), part="network")
    except OSError:
        raise FileError(file=NETWORK_LOG) from None


@asynccontextmanager
async def operated(network: Hosted, log: Logs, port: int | None) -> AsyncIterator[None]:
    """Let an operator look while the block runs, if there is a port for it."""
    logs.watch_loop(asyncio.get_running_loop())
    if isinstance(network, Network):
        if port is None:
            yield
            return
        from salus.node.observing.operating import Operating
        from salus.node.observing.parts_here import show_network

        here = Operating("network", log, traces.begin())
        show_network(here, network)
    else:
        from salus.node.gateways import Gateways
        from salus.node.observing.operating import Operating
        from salus.node.observing.parts_here import show_gateways

        assert isinstance(network, Gateways)
        here, port = Operating("gateway", log, traces.begin()), network.running[0][0].site.gateway_operator
        show_gateways(here, network)
    async with here.listening(port):
        yield
