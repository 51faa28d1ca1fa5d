"""A whole network whose members speak over real HTTPS sockets, each with a keeper's and a gateway's address."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from salus.core.ids import MemberId
from salus.core.transport import Door
from salus.node.http.client import HttpTransport
from salus.node.http.places import Part, places_of
from salus.node.http.server import Server
from salus.node.http.trust import Trust, pins_of
from salus.node.local import Switchboard
from salus.node.member import Member
from tests.node.http.wires import HOST, clock
from tests.node.stage import Stage, data_of, permit, shown, stage


@dataclass(frozen=True, slots=True)
class Wired:
    """A stage, the servers of its members, and their calling ends."""

    on: Stage
    servers: Mapping[tuple[MemberId, Part], Server]
    transports: Mapping[MemberId, HttpTransport]

    async def unplug(self, member: str) -> None:
        for part in Part:
            await self.servers[MemberId(member), part].stop(0)


@asynccontextmanager
async def wired(folder: Path, monkeypatch: pytest.MonkeyPatch, members: int = 4) -> AsyncIterator[Wired]:
    """Nothing is carried by hand: what the process's own transport is given goes out over HTTP."""
    transports: dict[MemberId, HttpTransport] = {}

    async def carry(_board: Switchboard, sender: MemberId, to: MemberId, request: bytes) -> bytes:
        return await transports[sender].call(to, request)

    monkeypatch.setattr(Switchboard, "carry", carry)
    async with stage(folder, members) as on, AsyncExitStack() as stack:
        servers: dict[tuple[MemberId, Part], Server] = {}
        trusts = {one.name: Trust(one.name, one.secrets.tls, pins_of(one.replica), clock) for one in on.network.members}
        for member in on.network.members:
            for part, door in doors_of(member).items():
                server = Server(door, member.replica.chain, trusts[member.name])
                await server.start(HOST)
                stack.push_async_callback(server.stop, 0)
                servers[member.name, part] = server
        table = {at: f"{HOST}:{server.port}" for at, server in servers.items()}
        for member in on.network.members:
            places = places_of(member.replica, table)
            transport = HttpTransport(member.name, member.replica.chain, trusts[member.name], places)
            transports[member.name] = transport
            stack.push_async_callback(transport.close)
        yield Wired(on, servers, transports)


def doors_of(member: Member) -> dict[Part, Door]:
    """What each of a member's processes answers."""
    doors = {part: Door() for part in Part}
    member.keeping.open_door(doors[Part.KEEPER])
    member.open_door(doors[Part.GATEWAY])
    return doors


async def test_four_members_seal_grant_read_and_revoke_over_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired(tmp_path, monkeypatch) as wires:
        on = wires.on
        reader = await on.clinician("st-luke")
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a", "b")
        assert sealed.is_durable
        assert shown(await on.view("st-luke", reader, wallet)) == []
        granted = await on.change(wallet, rules=(permit("st-luke"),))
        view = await on.view("st-luke", reader, granted)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert (view.accusations, view.gaps, view.notices, view.answered) == ([], [], [], 4)
        await on.change(granted, rules=())
        assert shown(await on.view("st-luke", reader, wallet)) == []
        for (member, part), server in wires.servers.items():
            assert set(server.seen) <= {"ok"}, (member, part, server.seen)
            assert server.seen["ok"] > 0 or part is Part.GATEWAY
        assert wires.servers[MemberId("mercy"), Part.GATEWAY].seen["ok"] > 0  # The link, to itself.
        assert all(transport.seen == {} for transport in wires.transports.values())


async def test_a_member_whose_sockets_are_gone_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wired(tmp_path, monkeypatch) as wires:
        on = wires.on
        reader = await on.clinician("st-luke")
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await wires.unplug("northgate")
        sealed = await on.seal("mercy", wallet, "a")
        assert not sealed.is_durable
        view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a")]
        assert (view.answered, len(view.absent)) == (3, 1)
