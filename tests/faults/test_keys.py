"""Keys that are replaced while four members run: the old ones are worth nothing afterwards, and nobody waits for it."""

import asyncio
import os
import time
from pathlib import Path

from salus.contracts.members.reads import member_of, tls_keys_of
from salus.core.ids import MemberId
from salus.node.folder import member_folder
from salus.node.keys import MADE, PUBLIC_DUTIES, STAGED, load_secrets, staged_public
from salus.node.renewing import TLS_AGE_MS_MAX
from tests.faults.client import UNAVAILABLE
from tests.faults.stage import Stage, staged
from tests.faults.thief import thief, tls_key, until_alone
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

MERCY = MemberId("mercy")


async def test_a_stolen_tls_key_is_believed_until_it_is_replaced_and_by_nobody_afterwards(tmp_path: Path) -> None:
    """Once in two steps, without a pause for anybody; once at once, for a key that is known to be stolen."""
    async with staged(tmp_path) as on:
        keys, stolen = member_folder(tmp_path, MERCY) / "keys", tls_key(on.net, MERCY)
        async with thief(on.net, MERCY, stolen) as robber:
            assert await robber.is_believed_by("st-luke")
            ending = asyncio.Event()
            load = [asyncio.create_task(keep_reading(on, via, ending)) for via in ("mercy", "lakeside")]
            said = await on.client.done("rotate", "tls", "--as", MERCY)
            assert (said["announced"], said["in_use"]) == (["tls"], [])
            new = staged_public(keys, "tls")
            assert new is not None
            await on.net.level()
            assert tls_keys_of(on.net.follower("st-luke").state, MERCY) == (stolen.public, new)
            assert await robber.is_believed_by("st-luke"), "Both count while servers change over."
            await until_alone(on.net, MERCY, new)
            for peer in ("st-luke", "lakeside", "northgate"):
                assert not await robber.is_believed_by(peer), "Also on a connection that was open."
            ending.set()
            assert min(await asyncio.gather(*load)) > 2, "There was load, and nothing of it failed."
        assert tls_key(on.net, MERCY).public == new
        assert not (keys / STAGED / "tls").exists()
        again = tls_key(on.net, MERCY)
        async with thief(on.net, MERCY, again) as robber:
            assert await robber.is_believed_by("lakeside")
            said = await on.client.done("rotate", "tls", "--as", MERCY, "--now")
            assert (said["announced"], said["in_use"]) == ([], ["tls"])
            await on.net.level()
            await asyncio.sleep(0.5)  # For their keepers to see the block.
            assert not await robber.is_believed_by("lakeside")
        await on.check()


async def test_a_tls_key_that_is_old_is_replaced_by_the_member_itself(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        keys = member_folder(tmp_path, MERCY) / "keys"
        old, aged_s = tls_key(on.net, MERCY).public, time.time() - TLS_AGE_MS_MAX / 1000
        (keys / MADE).unlink()  # Then the files' own times count.
        os.utime(keys / "tls", (aged_s, aged_s))
        async with asyncio.timeout(30.0):
            while (new := staged_public(keys, "tls")) is None:  # noqa: ASYNC110 - Another process writes the file.
                await asyncio.sleep(0.1)
        await until_alone(on.net, MERCY, new)
        assert new != old
        assert await on.person.seen(on.person.name, via=MERCY) == on.sources


async def test_every_other_key_is_replaced_by_decision_while_all_goes_on(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        before = load_secrets(keys_of(on)).public
        ending = asyncio.Event()
        load = [asyncio.create_task(keep_reading(on, via, ending)) for via in ("mercy", "lakeside")]
        for duties in (("keeper", "sealing"), ("gateway",), ("ledger",), ("validator",), ("checkpoint",)):
            await rotated(on, *duties)
            await on.write(f"after-{duties[0]}", "mercy")
        ending.set()
        assert min(await asyncio.gather(*load)) > 2, "There was load, and nothing of it failed."
        after = load_secrets(keys_of(on)).public
        changed = [duty for duty in PUBLIC_DUTIES if getattr(before, duty) != getattr(after, duty)]
        assert changed == [duty for duty in PUBLIC_DUTIES if duty != "tls"]
        await on.net.down("northgate")  # Now mercy's new validator key is needed for each block.
        await on.write("needed", "mercy")
        await on.net.up("northgate")
        await on.net.down("mercy")
        await on.net.up("mercy")
        await on.check()


def keys_of(on: Stage, name: str = MERCY) -> Path:
    """Where a member's keys lie."""
    return member_folder(on.net.folder, MemberId(name)) / "keys"


async def rotated(on: Stage, *duties: str) -> None:
    """Have mercy's keys of these duties replaced, by vote where it takes one, and wait until its folder has them."""
    said = await on.client.done("rotate", *duties, "--as", MERCY)
    if said["proposed"]:
        for voter in ("st-luke", "lakeside"):
            await on.client.done("vote", said["proposal"]["id"], "--as", voter)
    async with asyncio.timeout(30.0):
        while any((keys_of(on) / STAGED / duty).exists() for duty in duties):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await on.net.level()
    entry = member_of(on.net.follower("st-luke").state, MERCY)
    held = load_secrets(keys_of(on)).public
    assert entry is not None
    assert [getattr(held, duty) for duty in duties] == [getattr(entry.keys, duty) for duty in duties]


async def keep_reading(on: Stage, via: str, ending: asyncio.Event) -> int:
    """Read until it is over, through a member; how often. A read that fails, or misses a seat, raises."""
    done = 0
    while not ending.is_set():
        answer = await on.client.once("read", "--as", on.person.name, "--patient", "1", "--via", via, "--json")
        assert answer.code != UNAVAILABLE, answer
        assert answer.code == 0, answer
        record = answer.json
        without = {name: value for name, value in record.items() if name != "documents"}
        assert not record["gaps"], without
        assert not record["is_stale"]
        assert not record["accusations"]
        done += 1
    return done
