"""An attack on a joiner's light client over the network: three of four validators sign a second block at one height.

With three of four keys a fork is signed as well as the truth, and one source alone cannot be told from the other. What
helps is to ask another member: then the attack shows, and names who signed both.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from salus.core.ids import Height, MemberId
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import header_hash
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.light import LightBlockError
from salus.engines.cometbft.rpc import CometRpc, EngineAwayError
from salus.node.catching_up import AttackedError, NobodyToAskError, UnconfirmedError, begin_from
from salus.node.folder import member_folder
from salus.node.http.light import LightPort
from salus.node.invitations import Invitation
from salus.node.keys import load_secrets
from salus.node.settings import system_clock
from salus.node.site import free_ports, host_and_port, read_site
from tests.engines.cometbft.chain import forged
from tests.engines.cometbft.chain_rpc import commit_of
from tests.faults.chain import Load
from tests.faults.members import Members, members
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

HOST = "127.0.0.1"
EVERY_BLOCKS = 4
HEIGHT = 10


class Forking:
    """A member's RPC that tells of another block, signed by these keys, from a height on."""

    def __init__(self, rpc: CometRpc, keys: list[SigningKey], height: Height) -> None:
        self._rpc = rpc
        self._keys = keys
        self._height = height
        self.lies = 0

    async def call(self, method: str, timeout_s: float = 5.0, **parameters: object) -> Any:
        if method != "commit" or int(str(parameters["height"])) < self._height:
            return await self._rpc.call(method, timeout_s, **parameters)
        self.lies += 1
        block = await light_block(self._rpc, int(str(parameters["height"])))
        return commit_of(forged(block, self._keys, app_hash=digest(b"another state")))


class Attacked:
    """Four members, and one of them a second time, with a fork."""

    def __init__(self, net: Members) -> None:
        self.net = net
        self.addresses = {name: read_site(self._folder(name)).rpc for name in net.names}
        self.truth = CometRpc(host_and_port(self.addresses["mercy"]))

    def keys(self, *names: str) -> list[SigningKey]:
        return [load_secrets(self._folder(name) / "keys").validator for name in names]

    def _folder(self, name: str) -> Path:
        return member_folder(self.net.folder, MemberId(name))

    async def invitation(self, *addresses: str) -> Invitation:
        """As `mercy` would write it: from block 1, and these to ask."""
        return Invitation(
            genesis=self.net.genesis,
            inviter=MemberId("mercy"),
            invited=(bytes(32),),
            peers=(),
            light=addresses,
            trusted=await light_block(self.truth, 1),
            proposal=None,
            snapshot_every_blocks=EVERY_BLOCKS,
            expires=system_clock() + 60_000,
        )

    @asynccontextmanager
    async def fork(self, *signers: str) -> AsyncIterator[str]:
        """Where a fork is told that these members signed."""
        lying = Forking(self.truth, self.keys(*signers), 2)
        port = LightPort(lying)
        async with port.listening(HOST):
            yield f"{HOST}:{port.port}"
        assert lying.lies, "Nobody was lied to."


async def test_a_joiner_is_not_led_onto_a_fork_that_three_of_four_signed(tmp_path: Path) -> None:
    async with members(tmp_path) as net:
        await net.start(("ledger",))
        load = Load(net)
        load.start()
        await net.reaches(HEIGHT)
        await load.stop()
        on = Attacked(net)
        try:
            await a_fork_is_an_attack_whoever_is_asked_first(on)
            await two_keys_sign_no_block(on)
            await nobody_is_believed_alone(on)
            await strangers_get_nothing_else(on)
        finally:
            on.truth.close()


async def a_fork_is_an_attack_whoever_is_asked_first(on: Attacked) -> None:
    async with on.fork("mercy", "lakeside", "northgate") as fork:
        true = on.addresses["st-luke"]
        for addresses in ((fork, true), (true, fork), (true, on.addresses["mercy"], fork)):
            with pytest.raises(AttackedError) as error:
                await begin_from(await on.invitation(*addresses), system_clock())
            assert error.value.facts["attacks"] == 1


async def two_keys_sign_no_block(on: Attacked) -> None:
    """They are half of the power: no block at all, and a witness that cannot prove its own confirms nothing."""
    async with on.fork("mercy", "lakeside") as fork:
        with pytest.raises(LightBlockError):
            await begin_from(await on.invitation(fork, on.addresses["st-luke"]), system_clock())
        with pytest.raises(UnconfirmedError):
            await begin_from(await on.invitation(on.addresses["st-luke"], fork), system_clock())
        others = await on.invitation(on.addresses["st-luke"], fork, on.addresses["lakeside"])
        assert await begin_from(others, system_clock()) is not None


async def nobody_is_believed_alone(on: Attacked) -> None:
    """Where the invitation names others, one of them must say the same."""
    [port] = free_ports(1)
    away = f"{HOST}:{port}"
    with pytest.raises(NobodyToAskError):
        await begin_from(await on.invitation(away), system_clock())
    async with on.fork("mercy", "lakeside", "northgate") as fork:
        for source in (fork, on.addresses["st-luke"]):
            with pytest.raises(UnconfirmedError):
                await begin_from(await on.invitation(source, away), system_clock())
    alone = await begin_from(await on.invitation(on.addresses["st-luke"]), system_clock())
    both = await begin_from(
        await on.invitation(away, on.addresses["st-luke"], on.addresses["lakeside"]), system_clock()
    )
    assert alone is not None
    assert both is not None
    assert alone.trust_hash == both.trust_hash == await _hash(on, both.trust_height)


async def _hash(on: Attacked, height: Height) -> str:
    return header_hash((await light_block(on.truth, height)).header).hex().upper()


async def strangers_get_nothing_else(on: Attacked) -> None:
    """The port that a running member opens is not CometBFT's own."""
    for method in ("net_info", "dump_consensus_state", "unconfirmed_txs", "broadcast_tx_sync"):
        with pytest.raises(EngineAwayError):
            await on.truth.call(method)
    assert int((await on.truth.call("status"))["sync_info"]["latest_block_height"]) >= HEIGHT
