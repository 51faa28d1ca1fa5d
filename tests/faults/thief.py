"""Somebody with a stolen TLS key, who speaks to members as its owner would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from salus.contracts.members.reads import tls_keys_of
from salus.core.errors import SalusError
from salus.core.ids import MemberId, PublicKey
from salus.core.transport import ask
from salus.crypto.signatures import SigningKey
from salus.keeper.keeper import HeldFound, HeldWanted
from salus.node.folder import member_folder
from salus.node.http.client import Calling, HttpTransport
from salus.node.http.places import places_of
from salus.node.http.trust import Pins, Trust
from salus.node.settings import system_clock
from tests.faults.members import Members

CALL_S = 8.0


def tls_key(net: Members, name: str) -> SigningKey:
    """A member's TLS key, as it lies in its folder."""
    return SigningKey((member_folder(net.folder, MemberId(name)) / "keys" / "tls").read_bytes())


class Thief:
    """Calls members with somebody's key, over connections that stay open."""

    def __init__(self, net: Members, owner: str, key: SigningKey) -> None:
        watched = net.follower(next(name for name in net.names if name != owner))

        def keys_of(member: MemberId) -> tuple[PublicKey, ...]:
            return (key.public,) if member == owner else tls_keys_of(watched.state, member)

        pins = Pins(lambda: tuple(MemberId(name) for name in net.names), keys_of, lambda: watched.height)
        trust = Trust(MemberId(owner), key, pins, system_clock)
        calling = Calling(CALL_S, attempts_max=1, failures_max=1_000)
        self.transport = HttpTransport(MemberId(owner), net.genesis.chain, trust, places_of(watched), calling)
        self._look = watched.look

    async def is_believed_by(self, peer: str) -> bool:
        """Whether a member's keeper answers."""
        await self._look()
        try:
            await ask(self.transport, MemberId(peer), HeldWanted(batches=()), HeldFound)
        except SalusError:
            return False
        return True


@asynccontextmanager
async def thief(net: Members, owner: str, key: SigningKey) -> AsyncIterator[Thief]:
    """A thief whose connections are closed at the end."""
    one = Thief(net, owner, key)
    try:
        yield one
    finally:
        await one.transport.close()


async def until_alone(net: Members, owner: str, public: PublicKey, timeout_s: float = 60.0) -> None:
    """Wait until all members' ledgers hold this TLS key of somebody's, and no other."""
    async with asyncio.timeout(timeout_s):
        for name in net.names:
            follower = net.follower(name)
            while tls_keys_of(follower.state, MemberId(owner)) != (public,):
                await follower.look()
                await asyncio.sleep(0.05)
