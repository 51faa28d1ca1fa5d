"""Members sign a block each day, each what it holds itself; keys change, members come back, and liars get nowhere."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from salus.contracts.members.messages import KeyProof, ReplaceKeys
from salus.contracts.members.statements import prove, replacing
from salus.core.ids import DAY_MS, MemberId, TimeMs
from salus.core.transport import Door, PeerRefusalError, PeerUnavailableError, ask
from salus.core.wire import replace
from salus.crypto.lasting import LastingSigningKey
from salus.engines.cometbft.checkpoints import (
    CheckpointError,
    SignedCheckpoint,
    chain_to,
    check_checkpoints,
    checkpoint_keys,
    keys_named,
    sign_checkpoint,
)
from salus.engines.cometbft.light import MS_NS
from salus.node.checkpointing import (
    AGAIN_MS,
    SPREAD_MS,
    ChainWanted,
    Checkpointing,
    CheckpointOffered,
    CheckpointTaken,
    Signatures,
    SignatureWanted,
)
from salus.node.checkpoints import CHECKPOINTS_FOLDER, KeptCheckpointError, checkpoints_to, kept_checkpoints
from salus.node.keys import BEFORE, KEYS_FOLDER, write_secret
from salus.node.local import LocalTransport, Switchboard
from tests.engines.cometbft.chain import Chain, forged
from tests.engines.cometbft.chain_rpc import ChainRpc
from tests.node.stage import Clock
from tests.support.governance import QUORUM, approve, entry, proposal_id, propose
from tests.support.network import NAMES, network

NET = network(4)
DAY_NS = DAY_MS * MS_NS


class View:
    """A member's own copy of the chain, that may end early."""

    def __init__(self, member: str, chain: Chain) -> None:
        self.member = MemberId(member)
        self.of = chain
        self.genesis = NET.genesis
        self.chain = NET.chain
        self.behind = 0

    @property
    def height(self) -> int:
        return len(self.of.blocks) - self.behind

    @property
    def time(self) -> TimeMs:
        return self.of.at(self.height).header.time // MS_NS

    @property
    def state(self) -> Any:
        return self.of.ledger.state

    def block(self, height: int) -> Any:
        return SimpleNamespace(header=SimpleNamespace(app_hash=self.of.at(height + 1).header.app_hash))

    async def reached(self, height: int, _timeout_s: float) -> bool:
        return height <= self.height


class Rpc(ChainRpc):
    """A node's RPC that can be closed."""

    def close(self) -> None:
        """Nothing is open."""


class Team:
    """Four members over one chain, in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chain = Chain(NET)
        self.clock = Clock(NET.genesis.time)
        self.switchboard = Switchboard(timeout_s=2.0)
        self.views = {name: View(name, self.chain) for name in NAMES}
        self.keys = {name: NET.party(name).checkpoint for name in NAMES}
        self.parts = {name: self.opened(name) for name in NAMES}
        self.grow(0)

    def opened(self, name: str) -> Checkpointing:
        """A member's part, as after a start."""
        place = self.folder / name
        (place / KEYS_FOLDER / BEFORE).mkdir(parents=True, exist_ok=True)
        view: Any = self.views[name]
        rpc: Any = Rpc(self.chain, 10**9)
        transport = LocalTransport(self.switchboard, MemberId(name))
        part = Checkpointing(place, view, transport, rpc, lambda: self.keys[name], self.clock)
        door = self.switchboard.doors[MemberId(name)] = Door()
        part.open_door(door)
        return part

    def grow(self, days: int) -> None:
        """Blocks of so many days later."""
        self.chain.add(after_ns=max(1, days) * DAY_NS)
        for _ in range(2):
            self.chain.add()
        self.clock.now = self.chain.time // MS_NS

    async def tend(self, *names: str, late_ms: int = SPREAD_MS) -> list[bool]:
        """A round of housekeeping, and one when the wait by chance is over."""
        before = [await self.parts[name].tend() for name in names or NAMES]
        self.clock.now += late_ms
        return [was or await self.parts[name].tend() for was, name in zip(before, names or NAMES, strict=True)]

    def newest(self, name: str) -> SignedCheckpoint | None:
        return next(kept_checkpoints(self.folder / name), None)

    def rotate(self, name: str, seed: bytes) -> None:
        """By decision: a member's key for checkpoints becomes another; the one before goes aside."""
        party, member = NET.party(name), entry(self.chain.ledger.state, name)
        new = LastingSigningKey(seed)
        keys = replace(member.keys, checkpoint=new.public)
        change = ReplaceKeys(
            member=MemberId(name), version=member.version, keys=keys, proof=proof(name, member.version, keys)
        )
        id = proposal_id(name, self.chain.ledger.height)
        self.chain.add(self.chain.ledger.tx(QUORUM[0], propose(id, change)))
        for voter in QUORUM[1:]:
            self.chain.add(self.chain.ledger.tx(voter, approve(id)))
        assert entry(self.chain.ledger.state, name).keys.checkpoint == new.public, party.member
        old_seed = seeds[name]
        write_secret(self.folder / name / KEYS_FOLDER / BEFORE / "checkpoint", old_seed, replace=True)
        self.keys[name], seeds[name] = new, seed


def proof(name: str, version: int, keys: Any) -> KeyProof:
    party = NET.party(name)
    statement = replacing(chain=NET.chain, member=MemberId(name), version=version, keys=keys)
    return prove(statement, ledger=party.ledger, validator=party.validator, keeper=party.keeper, tls=party.tls)


seeds: dict[str, bytes] = {}


@pytest.fixture
def team(tmp_path: Path) -> Team:
    from salus.crypto.digests import derive

    seeds.update({name: derive(NET.seed, MemberId(name), "checkpoint") for name in NAMES})
    return Team(tmp_path)


def held(team: Team, names: Sequence[str] = NAMES) -> set[int | None]:
    """At which heights the newest checkpoints of these members are."""
    newest = [team.newest(name) for name in names]
    return {None if signed is None else signed.checkpoint.height for signed in newest}


async def test_none_is_signed_on_the_day_of_the_genesis_and_of_a_block_that_is_not_there(team: Team) -> None:
    assert await team.tend() == [False] * 4
    peer = LocalTransport(team.switchboard, MemberId("mercy"))
    for height in (0, 1, 99):
        with pytest.raises(PeerUnavailableError, match="no_checkpoint"):
            await ask(peer, MemberId("st-luke"), SignatureWanted(height=height), Signatures)
    with pytest.raises(PeerUnavailableError, match="no_checkpoint"):
        await ask(peer, MemberId("st-luke"), ChainWanted(), Signatures)
    assert held(team) == {None}


async def test_a_block_of_long_ago_is_not_signed_as_nobody_knows_who_the_members_were(team: Team) -> None:
    team.grow(3)
    peer = LocalTransport(team.switchboard, MemberId("mercy"))
    with pytest.raises(PeerUnavailableError, match="no_checkpoint"):
        await ask(peer, MemberId("st-luke"), SignatureWanted(height=3), Signatures)


async def test_what_the_engine_tells_and_the_own_ledger_does_not_hold_is_not_signed(team: Team) -> None:
    team.grow(1)
    height = team.views["st-luke"].height
    team.chain.blocks[height - 1] = forged(team.chain.at(height), team.chain.keys, app_hash=bytes(32))
    real = team.views["st-luke"].block
    team.views["st-luke"].block = lambda at: SimpleNamespace(  # type: ignore[method-assign]
        header=SimpleNamespace(app_hash=team.chain.ledger.app_hash if at == height - 1 else real(at).header.app_hash)
    )
    peer = LocalTransport(team.switchboard, MemberId("mercy"))
    with pytest.raises(PeerRefusalError, match=r"engine\.checkpoint"):
        await ask(peer, MemberId("st-luke"), SignatureWanted(height=height), Signatures)


async def test_with_two_of_four_away_none_comes_about_and_with_one_it_does(team: Team) -> None:
    team.grow(1)
    team.switchboard.off_line |= {MemberId("lakeside"), MemberId("northgate")}
    assert await team.tend("mercy", "st-luke") == [False, False]
    assert held(team) == {None}
    team.switchboard.off_line.clear()
    assert await team.tend("mercy", late_ms=SPREAD_MS) == [False], "It waits before it asks again."
    assert await team.tend("mercy", late_ms=AGAIN_MS) == [True]
    assert len(held(team)) == 1
    team.grow(1)
    team.switchboard.off_line.add(MemberId("northgate"))
    assert await team.tend("mercy") == [True]
    assert held(team, NAMES[:3]) != held(team, ["northgate"])


async def test_a_checkpoint_that_too_few_signed_or_that_names_others_is_not_taken(team: Team) -> None:
    team.grow(1)
    await team.tend("mercy")
    whole = team.newest("mercy")
    assert whole is not None
    for name in NAMES:
        for path in (team.folder / name / CHECKPOINTS_FOLDER).glob("*"):
            path.unlink()
        team.parts[name] = team.opened(name)
    peer = LocalTransport(team.switchboard, MemberId("mercy"))
    few = replace(whole, signatures=whole.signatures[:2])
    lie = replace(whole.checkpoint, header=bytes(32))
    keys = {name: team.keys[name] for name in NAMES}
    signed = tuple(replace(one, signature=sign_checkpoint(keys[one.member], lie)) for one in whole.signatures)
    for wrong in (few, SignedCheckpoint(lie, signed)):
        with pytest.raises(PeerRefusalError, match=r"engine\.checkpoint"):
            await ask(peer, MemberId("st-luke"), CheckpointOffered(signed=wrong), CheckpointTaken)
    assert held(team) == {None}
    await ask(peer, MemberId("st-luke"), CheckpointOffered(signed=whole), CheckpointTaken)
    assert team.newest("st-luke") == whole


async def test_one_gathers_and_all_keep_the_same_each_day_and_after_a_restart(team: Team) -> None:
    found = []
    for _ in range(3):
        team.grow(1)
        assert sum(await team.tend()) == 1, "The others have it by then."
        assert len(held(team)) == 1
        newest = team.newest("northgate")
        assert newest is not None
        found.append(newest.checkpoint.height)
        team.parts["northgate"] = team.opened("northgate")
        assert await team.tend() == [False] * 4
    assert found == sorted(set(found))
    assert [one.checkpoint.height for one in kept_checkpoints(team.folder / "northgate")] == found[::-1]
    chain = checkpoints_to(team.folder / "northgate", NET.genesis, found[1])
    assert [one.checkpoint.height for one in chain] == [found[1]], "The founders signed it themselves."
    check_checkpoints(chain, NET.genesis)
    assert checkpoints_to(team.folder / "northgate", NET.genesis, found[0] - 1) == ()


async def test_keys_are_replaced_one_after_another_and_a_way_leads_from_the_genesis_to_the_newest(team: Team) -> None:
    for number, name in enumerate(NAMES):
        team.grow(1)
        team.rotate(name, bytes([number]) * 32)
        assert (team.folder / name / KEYS_FOLDER / BEFORE / "checkpoint").exists()
        assert sum(await team.tend()) == 1
        newest = team.newest(name)
        assert newest is not None
        assert len(newest.signatures) == 4, "Also by the one whose key is new."
        assert keys_named(newest.checkpoint)[MemberId(name)] == team.keys[name].public
        assert not (team.folder / name / KEYS_FOLDER / BEFORE / "checkpoint").exists(), "It is needed no more."
    found = list(kept_checkpoints(team.folder / "mercy"))
    assert not set(keys_named(found[0].checkpoint).values()) & set(checkpoint_keys(NET.genesis).values())
    chain = chain_to(found, NET.genesis)
    assert chain[-1] == found[0]
    assert len(chain) > 1
    check_checkpoints(chain, NET.genesis)
    with pytest.raises(CheckpointError):
        chain_to(found[:1], NET.genesis)


async def test_who_was_away_while_all_others_changed_their_keys_takes_over_what_they_have(team: Team) -> None:
    away = MemberId("northgate")
    team.switchboard.off_line.add(away)
    for number, name in enumerate(NAMES[:3]):
        team.grow(1)
        team.rotate(name, bytes([number]) * 32)
        assert any(await team.tend(*NAMES[:3]))
    team.switchboard.off_line.clear()
    assert held(team, ["northgate"]) == {None}
    assert await team.tend("northgate") == [True]
    assert held(team) == held(team, ["mercy"])
    check_checkpoints(checkpoints_to(team.folder / away, NET.genesis, 10**6), NET.genesis)


async def test_a_damaged_checkpoint_is_said(team: Team) -> None:
    team.grow(1)
    await team.tend("mercy")
    (path,) = (team.folder / "mercy" / CHECKPOINTS_FOLDER).glob("*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(KeptCheckpointError):
        team.opened("mercy")
