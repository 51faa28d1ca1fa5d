"""A network whose processes a test starts, kills, stops and cuts off one by one; a supervisor would only be in the way.

async with members(folder, proxied=True) as net:
    await net.start()                        # all ledgers, all keepers, the gateways
    await net.kill("ledger", "st-luke")      # with its CometBFT, by SIGKILL
    await net.start_one("ledger", "st-luke", Plan(point="application.commit:after"))
    net.links["mercy", "st-luke"].weather = CUT
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from salus.cli.socket import socket_path
from salus.contracts.members.messages import Genesis
from salus.core.ids import MemberId
from salus.engines.cometbft.sockets import connected
from salus.engines.cometbft.unit import LEDGER_FOLDER
from salus.engines.follower import Follower
from salus.node.folder import found_apart, member_folder, read_genesis, usual_names
from salus.node.site import host_and_port, read_site, write_site
from tests.faults.part import VARIABLE, Plan
from tests.faults.proxy import CUT, FAIR, Proxy, Weather

UP_S = 60.0
DOWN_S = 30.0
LOOK_S = 0.05
GATEWAY = "gateway"
Key = tuple[str, str]  # A part and a member; of the gateways the member is "".


@dataclass
class Link:
    """All ways from one member to another: their engines' port, its keeper, its gateway."""

    proxies: dict[str, Proxy]

    @property
    def weather(self) -> Weather:
        """As it is at the engine's port."""
        return self.proxies["engine"].weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        for proxy in self.proxies.values():
            proxy.weather = weather


@dataclass
class Members:
    """The processes of one network."""

    folder: Path
    names: list[str]
    genesis: Genesis
    links: dict[Key, Link] = field(default_factory=dict)
    processes: dict[Key, asyncio.subprocess.Process] = field(default_factory=dict)
    followers: dict[str, Follower] = field(default_factory=dict)

    async def start(self, parts: Sequence[str] = ("ledger", "keeper", GATEWAY), plan: Plan | None = None) -> None:
        """Start these parts of all members, and wait until they serve."""
        for part in parts:
            for name in [""] if part == GATEWAY else self.names:
                await self.start_one(part, name, plan)
        await asyncio.gather(*(self.serves(part, name) for part, name in list(self.processes)))

    async def start_one(self, part: str, name: str = "", plan: Plan | None = None) -> None:
        """Start one process."""
        assert not self.is_up(part, name), "It runs already."
        plan = replace_places(plan or Plan(), self.links)
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        who = ["--member", name] if name else []
        if part == GATEWAY:
            socket_path(self.folder).unlink(missing_ok=True)
        with (logs / f"{part}-{name}.log").open("ab") as out:
            self.processes[part, name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.part", part, "--home", str(self.folder), *who),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, VARIABLE: msgspec.json.encode(plan).decode()},
            )

    def is_up(self, part: str, name: str = "") -> bool:
        """Whether it runs."""
        process = self.processes.get((part, name))
        return process is not None and process.returncode is None

    async def serves(self, part: str, name: str = "", timeout_s: float = UP_S) -> None:
        """Wait until it can be reached."""
        async with asyncio.timeout(timeout_s):
            while not await self._can_be_reached(part, name):
                assert self.is_up(part, name), f"{part} {name} ended: {self.said(part, name)}"
                await asyncio.sleep(LOOK_S)

    async def ended(self, part: str, name: str = "", timeout_s: float = UP_S) -> int:
        """Wait until it has ended by itself, and end what it left behind; its exit code, negative for a signal."""
        process = self.processes[part, name]
        async with asyncio.timeout(timeout_s):
            code = await process.wait()
        signal_group(process, signal.SIGKILL)
        return code

    async def kill(self, part: str, name: str = "") -> None:
        """SIGKILL, for it and all that it started."""
        process = self.processes.pop((part, name), None)
        if process is not None:
            signal_group(process, signal.SIGKILL)
            await process.wait()

    async def stop_one(self, part: str, name: str = "") -> int:
        """Ask it to end in order; its exit code."""
        process = self.processes.pop((part, name))
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DOWN_S):
                code = await process.wait()
        finally:
            signal_group(process, signal.SIGKILL)
        return code

    async def down(self, name: str) -> None:
        """A member's machine is gone."""
        for part in ("ledger", "keeper"):
            await self.kill(part, name)

    async def up(self, name: str) -> None:
        """It is back."""
        for part in ("ledger", "keeper"):
            if not self.is_up(part, name):
                await self.start_one(part, name)
        for part in ("ledger", "keeper"):
            await self.serves(part, name)

    async def replace(self, name: str, plan: Plan, parts: Sequence[str] = ("ledger", "keeper")) -> None:
        """Stop a member's processes in order, and start them with something wrong; or, with no plan, without."""
        for part in reversed(parts):
            await self.stop_one(part, name)
        for part in parts:
            await self.start_one(part, name, plan)
        for part in parts:
            await self.serves(part, name)

    def freeze(self, name: str, is_frozen: bool = True) -> None:
        """SIGSTOP or SIGCONT for a member's ledger and keeper."""
        for part in ("ledger", "keeper"):
            process = self.processes.get((part, name))
            if process is not None:
                signal_group(process, signal.SIGSTOP if is_frozen else signal.SIGCONT)

    def partition(self, *sides: Iterable[str]) -> None:
        """Nobody reaches another side; nothing at all heals it."""
        where = {name: at for at, side in enumerate(sides) for name in side}
        for (one, other), link in self.links.items():
            link.weather = CUT if sides and where[one] != where[other] else FAIR

    def said(self, part: str, name: str = "") -> str:
        """The end of its log."""
        with suppress(OSError):
            return (self.folder / "logs" / f"{part}-{name}.log").read_text()[-3_000:]
        return ""

    def follower(self, name: str) -> Follower:
        """A member's ledger on its disk, opened once for reading beside whoever writes it."""
        if name not in self.followers:
            place = member_folder(self.folder, MemberId(name)) / LEDGER_FOLDER
            self.followers[name] = Follower(MemberId(name), self.genesis, place)
        return self.followers[name]

    async def height(self, name: str) -> int:
        """What a member's ledger holds now."""
        await self.follower(name).look()
        return self.followers[name].height

    async def heights(self) -> dict[str, int]:
        """Of all members, up or down."""
        return {name: await self.height(name) for name in self.names}

    async def reaches(self, height: int, names: Iterable[str] = (), timeout_s: float = UP_S) -> None:
        """Wait until members hold a height."""
        waited = list(names) or self.names
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if min([await self.height(name) for name in waited]) >= height:
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            logs = {name: self.said("ledger", name) for name in waited}
            raise AssertionError(f"wanted {height}: {await self.heights()} {logs}") from None

    async def level(self, timeout_s: float = UP_S) -> int:
        """Wait until all members hold the height that the furthest has now; that height."""
        height = max((await self.heights()).values())
        await self.reaches(height, timeout_s=timeout_s)
        return height

    async def close(self) -> None:
        """End everything."""
        for follower in self.followers.values():
            follower.close()
        for process in self.processes.values():
            signal_group(process, signal.SIGCONT)
            signal_group(process, signal.SIGKILL)
        await asyncio.gather(*(process.wait() for process in self.processes.values()))
        for link in self.links.values():
            await asyncio.gather(*(proxy.close() for proxy in link.proxies.values()))

    async def _can_be_reached(self, part: str, name: str) -> bool:
        folder = member_folder(self.folder, MemberId(name))
        try:
            if part == GATEWAY:
                _, writer = await asyncio.open_unix_connection(str(socket_path(self.folder)))
            elif part == "ledger":
                connected(folder / "link.sock", timeout_s=1.0).close()
                return True
            else:
                _, writer = await asyncio.open_connection(*host_and_port(read_site(folder).keeper))
        except OSError:
            return False
        writer.close()
        return True


def signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """For a process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def replace_places(plan: Plan, links: dict[Key, Link]) -> Plan:
    """A plan with the proxies as addresses of all peers."""
    table = {
        f"{one}/{other}/{part}": link.proxies[part].address
        for (one, other), link in links.items()
        for part in ("keeper", "gateway")
    }
    return msgspec.structs.replace(plan, places=table) if table else plan


@asynccontextmanager
async def members(folder: Path, count: int = 4, *, proxied: bool = False) -> AsyncIterator[Members]:
    """A new network, none of whose processes run yet; all that do are killed at the end."""
    names = usual_names(count)
    if not (folder / "genesis").exists():
        found_apart(folder, names)
    net = Members(folder, [str(name) for name in names], read_genesis(folder))
    try:
        if proxied:
            await _put_between(net)
        yield net
    finally:
        await net.close()


async def _put_between(net: Members) -> None:
    """A proxy on each way between two members."""
    sites = {name: read_site(member_folder(net.folder, MemberId(name))) for name in net.names}
    ids = {
        member.member: member.endpoints.engine.partition("@")[0] for member in net.genesis.members if member.endpoints
    }
    for one in net.names:
        for other in net.names:
            if one != other:
                to = {"engine": sites[other].engine, "keeper": sites[other].keeper, "gateway": sites[other].gateway}
                net.links[one, other] = Link({part: await Proxy.listen(address) for part, address in to.items()})
        peers = [
            f"{ids[MemberId(other)]}@{net.links[one, other].proxies['engine'].address}"
            for other in net.names
            if other != one
        ]
        write_site(member_folder(net.folder, MemberId(one)), replace(sites[one], peers=tuple(peers)))
