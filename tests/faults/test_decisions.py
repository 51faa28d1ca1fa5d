"""What members decide on a network of processes: every kind of proposal, and an upgrade with members restarting."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest

from salus.contracts.consent import pack_root, read_pack
from salus.contracts.members.messages import Change
from salus.contracts.members.reads import (
    chain_of,
    committee_of,
    member_of,
    members_of,
    pack_root_of,
    rules_ahead,
    suspension_of,
)
from salus.contracts.members.tables import COMMITTEES
from salus.core.ids import MemberId
from salus.node.folder import member_folder
from salus.state.state import State
from tests.faults.members import GATEWAY, Members
from tests.faults.part import Plan
from tests.faults.rules import NEWER, STAMPS
from tests.faults.stage import Stage, staged
from tests.faults.test_byzantine import LIAR, twin_of
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

OTHERS = ("st-luke", "lakeside")
FOR_THE_OPERATOR = 6
SHIPPED = (files("salus.contracts.consent") / "packs" / "us.json").read_bytes()


async def proposed(on: Stage, *words: str) -> dict[str, Any]:
    """A proposal by mercy, as the command shows it."""
    shown: dict[str, Any] = await on.client.done("propose", *words, "--as", "mercy")
    return shown


async def decided(on: Stage, *words: str, by: Sequence[str] = OTHERS) -> dict[str, Any]:
    """A proposal by mercy that these approve too; it must have been executed, on every ledger."""
    return await voted(on, await proposed(on, *words), by)


async def voted(on: Stage, shown: dict[str, Any], by: Sequence[str] = OTHERS) -> dict[str, Any]:
    """A proposal that these approve; it must have been executed, on every ledger."""
    for voter in by:
        if shown["standing"] == "open":
            shown = await on.client.done("vote", shown["id"], "--as", voter)
    assert (shown["standing"], shown["code"]) == ("executed", ""), shown
    await on.net.level()
    return shown


def state_of(on: Stage, name: str = "lakeside") -> State:
    """What a member's ledger says."""
    return on.net.follower(name).state


def entry(on: Stage, name: str) -> Any:
    return member_of(state_of(on), MemberId(name))


@asynccontextmanager
async def load(on: Stage, *ways: str) -> AsyncIterator[list[int]]:
    """Reads through these gateways all the while, none of which may fail; how many there were."""
    from tests.faults.test_keys import keep_reading

    ending, counts = asyncio.Event(), [0] * len(ways)
    tasks = [asyncio.create_task(keep_reading(on, via, ending)) for via in ways]
    try:
        yield counts
    finally:
        ending.set()
        counts[:] = await asyncio.gather(*tasks)


async def test_what_the_rules_refuse_is_refused_over_the_wire_too(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        refused = {
            ("quota", "mercy", "1"): "members.quota_too_small",
            ("quota", "nobody", "1048576"): "cli.unknown_member",
            ("validator", "mercy", "--at", "1"): "members.height_passed",
            ("reinstate", "mercy"): "members.not_suspended",
            ("committee", "--seat", "mercy", "--seat", "mercy"): "members.seat_twice",
            ("committee", "--seat", "southport"): "members.unknown_holder",
            ("limits", "--block-bytes", "1"): "members.unusable_parameters",
            ("upgrade", "3", "--from", "100000"): "members.not_next_rules",
            ("upgrade", "2", "--from", "1"): "members.height_passed",
        }
        for words, code in refused.items():
            answer = await on.client("propose", *words, "--as", "mercy")
            assert answer.code == 3
            assert answer.error in (code, "sdk.ledger_refused"), (words, answer)
            assert code in answer.out, (words, answer)
        open_one = await proposed(on, "quota", "mercy", "2097152")
        again = await on.client("vote", open_one["id"], "--as", "mercy")
        assert "members.voted_already" in again.out
        for voter in OTHERS:
            open_one = await on.client.done("vote", open_one["id"], "--as", voter, "--reject")
        assert open_one["standing"] == "rejected"
        assert entry(on, "mercy").quota_bytes == 1 << 20
        late = await on.client("vote", open_one["id"], "--as", "northgate")
        assert "members.proposal_closed" in late.out


async def test_every_kind_of_proposal_is_carried_out_on_a_network_of_processes(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        async with load(on, "mercy", "st-luke") as counts:
            await decided(on, "quota", "mercy", "2097152")
            assert entry(on, "mercy").quota_bytes == 2_097_152
            await decided(on, "limits", "--messages", "32")
            assert chain_of(state_of(on)).parameters.messages_max == 32
            await decide_pack(on)
            await decide_committees(on)
            await decided(on, "keys", "st-luke", "--duty", "keeper", "--duty", "sealing")
            await decide_on_a_joiner(on)
            await decided(on, "remove-member", "southport", "--successor", "lakeside", by=(*OTHERS, "northgate"))
            assert MemberId("southport") not in members_of(state_of(on))
            await decided(on, "validator", "northgate", "--stop")
            assert not entry(on, "northgate").validator
            await decided(on, "validator", "northgate")
            await decided(on, "upgrade", "2", "--from", "1000000")
            assert rules_ahead(state_of(on))[-1][0] == 1_000_000
            waiting = await proposed(on, "quota", "lakeside", "2097152")
            await decided(on, "cancel", waiting["id"])
            await on.write("afterwards", "mercy")
        assert min(counts) > 3, "There was load, and nothing of it failed."
        await reinstate(on, tmp_path / "twin")
        listed = (await on.client.done("proposals", "--all"))["proposals"]
        kinds = {change["kind"] for one in listed if one["standing"] == "executed" for change in one["changes"]}
        assert kinds == {str(kind.__struct_config__.tag) for kind in get_args(Change)}
        assert [one["standing"] for one in listed if one["id"] == waiting["id"]] == ["cancelled"]
        await on.check()
        checked = await on.client.done("ledger", "check")
        assert checked["is_sound"], checked


async def decide_on_a_joiner(on: Stage) -> None:
    """Southport's keys are made where it will live; its card is all that others see of it."""
    place = on.net.folder / "southport"
    words = ("init", "southport", "--to", str(place), "--chain", on.net.genesis.chain, "--json")
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "salus.cli.main", *words], capture_output=True, check=True
    )
    card, invitation = str(json.loads(done.stdout)["card"]), str(on.net.folder / "southport.invitation")
    made = await on.client.done("invite", card, "--to", invitation, "--as", "mercy", "--no-validator")
    await voted(on, {"id": made["proposal"], "standing": "open"})
    assert MemberId("southport") in members_of(state_of(on))


async def decide_pack(on: Stage) -> None:
    """Another version of the law: keepers and gateways apply it at once, and what is sealed then follows it."""
    data = SHIPPED.replace(b'"version": 1,', b'"version": 2,')
    path = on.net.folder / "us-2.json"
    path.write_bytes(data)
    await decided(on, "pack", str(path))
    assert pack_root_of(state_of(on), "us") == pack_root(read_pack(data))
    assert await on.person.seen(on.person.name) == on.sources
    await on.write("under-the-new-law", "st-luke")


async def decide_committees(on: Stage) -> None:
    """A committee more, and the first one in another order."""
    before = {id for id, _ in COMMITTEES.items(state_of(on))}
    await decided(on, "committee", "--seat", "mercy", "--seat", "st-luke", "--seat", "lakeside")
    assert len({id for id, _ in COMMITTEES.items(state_of(on))} - before) == 1
    (first,) = before
    seats = [word for name in ("northgate", "lakeside", "st-luke", "mercy") for word in ("--seat", name)]
    await decided(on, "seats", first.hex(), *seats)
    committee = committee_of(state_of(on), first)
    assert committee is not None
    assert (committee.epoch, committee.seats[0].member) == (2, "northgate")
    await on.write("by-other-seats", "mercy")


async def reinstate(on: Stage, folder: Path) -> None:
    """A validator whose key signed twice is suspended, and comes back by decision."""
    await on.net.stop_one("ledger", LIAR)
    twin = twin_of(on.net, folder)
    try:
        await on.net.start_one("ledger", LIAR)
        await twin.start_one("ledger", LIAR)
        async with asyncio.timeout(90.0):
            while suspension_of(state_of(on), MemberId(LIAR)) is None:
                answer = await on.client("rotate", "gateway", "--as", "mercy")
                assert answer.code == 0, answer
                await on.net.heights()
    finally:
        await twin.close()
    await decided(on, "reinstate", LIAR)
    assert suspension_of(state_of(on), MemberId(LIAR)) is None


async def test_members_upgrade_one_by_one_under_load_and_a_program_of_yesterday_stops_at_the_height(
    tmp_path: Path,
) -> None:
    """Three start the newer program before the height, with no request failed. The fourth forgot, and stops."""
    late = "northgate"
    async with staged(tmp_path) as on:
        await on.net.stop_one(GATEWAY)
        await on.net.start_one(GATEWAY, plan=Plan(rules=NEWER))
        await on.net.serves(GATEWAY)
        async with load(on, "mercy", "lakeside") as counts:
            for name in on.net.names:
                if name != late:
                    await restarted(on.net, name, Plan(rules=NEWER))
            height = (await on.net.level()) + 30
            await decided(on, "upgrade", str(NEWER), "--from", str(height))
            assert await on.net.ended("ledger", late, timeout_s=120.0) == FOR_THE_OPERATOR
            assert await on.net.height(late) == height - 1, "It applied nothing by rules that it does not know."
            await on.write("by-newer-rules", "mercy", "lakeside")
        assert min(counts) > 3, "There was load, and nothing of it failed."
        await on.net.heights()
        assert STAMPS.get(state_of(on, "mercy"), "newest") is not None
        assert STAMPS.get(state_of(on, late), "newest") is None
        await on.net.stop_one("keeper", late)
        await on.net.stop_one(GATEWAY)  # Both read the ledger's folder, which now goes.
        await replayed(on.net, late, Plan(), height - 1)
        await replayed(on.net, late, Plan(rules=NEWER), None)
        await on.net.start_one("keeper", late, Plan(rules=NEWER))
        await on.net.start_one(GATEWAY, plan=Plan(rules=NEWER))
        await asyncio.gather(on.net.serves("keeper", late), on.net.serves(GATEWAY))
        await on.check()
        checked = await on.client.done("ledger", "check")
        assert checked["is_sound"], checked


async def restarted(net: Members, name: str, plan: Plan) -> None:
    """A member's processes, one after the other, by another program."""
    for part in ("keeper", "ledger"):
        assert await net.stop_one(part, name) == 0
    for part in ("ledger", "keeper"):
        await net.start_one(part, name, plan)
        await net.serves(part, name)
    await net.level()


async def replayed(net: Members, name: str, plan: Plan, stops_at: int | None) -> None:
    """A member's ledger, worked out again from the genesis by a program; which may stop for want of rules."""
    net.processes.pop(("ledger", name), None)
    net.followers.pop(name).close()
    shutil.rmtree(member_folder(net.folder, MemberId(name)) / "ledger")
    await net.start_one("ledger", name, plan)
    if stops_at is None:
        await net.serves("ledger", name)
        await net.level()
        return
    assert await net.ended("ledger", name, timeout_s=120.0) == FOR_THE_OPERATOR
    assert await net.height(name) == stops_at


@pytest.mark.parametrize("part", ["ledger", "keeper"])
async def test_what_contradicts_itself_ends_a_process_with_a_code_for_the_operator(tmp_path: Path, part: str) -> None:
    async with staged(tmp_path) as on:
        await on.net.stop_one(part, "northgate")
        key = member_folder(tmp_path, MemberId("northgate")) / "keys" / ("validator" if part == "ledger" else "keeper")
        key.write_bytes(b"short")
        await on.net.start_one(part, "northgate")
        assert await on.net.ended(part, "northgate") == FOR_THE_OPERATOR
