"""What a process shows at its operator's port, one figure at a time."""

import asyncio

import httpx

from salus.core.ids import MemberId
from salus.node.folder import member_folder
from salus.node.site import read_site
from tests.faults.members import GATEWAY, Members

BETWEEN_S = 0.1


async def figure(net: Members, part: str, name: str, shown: str, **labels: str) -> float:
    """A figure of a member's process, summed over all that has these labels; 0 where it shows none."""
    site = read_site(member_folder(net.folder, MemberId(name)))
    first = read_site(member_folder(net.folder, MemberId(net.names[0])))
    ports = {"ledger": site.ledger_operator, "keeper": site.keeper_operator, GATEWAY: first.gateway_operator}
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        text = (await client.get(f"http://127.0.0.1:{ports[part]}/metrics")).text
    wanted = [f'{label}="{value}"' for label, value in {"member": name, "part": part, **labels}.items()]
    lines = [line for line in text.splitlines() if line.startswith(f"salus_{shown}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(one in line for one in wanted))


async def shows(net: Members, part: str, name: str, counted: str, timeout_s: float = 60.0, **labels: str) -> None:
    """Wait until a process has counted something."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await figure(net, part, name, counted, **labels):
                return
            await asyncio.sleep(BETWEEN_S)
