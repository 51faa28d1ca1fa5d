"""A process that is killed while it seals: real `kill -9`, real files, and what it had acknowledged is all there."""

import asyncio
import os
import random
import sys
from pathlib import Path

from salus.core.wire import encode
from salus.sdk.author_store import Stage as Progress
from salus.sdk.reader import Reader
from salus.sdk.wallet import Wallet
from tests.node.stage import Clock, data_of, shown, stage

ROOT = Path(__file__).parents[2]
RUNS = 3


async def test_killed_processes_lose_nothing_they_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("SALUS_SEED", "1")))
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await on.patient("mercy")
    acknowledged: list[str] = []
    for _ in range(RUNS):
        clock.now += 1_000
        acknowledged += await killed(tmp_path, wallet, clock.now, chance.uniform(0.05, 0.6))
    clock.now += 1_000
    async with stage(tmp_path, clock=clock) as on:
        assert len({member.replica.header for member in on.network.members}) == 1
        for member in on.network.members:
            await member.tend()
        assert not on["mercy"].store.plans(Progress.PLANNED)
        assert not on["mercy"].store.plans(Progress.FINAL)
        view = await on.view("mercy", Reader(wallet.device_key()), wallet)
        seen = shown(view)
        assert (view.gaps, view.accusations, view.notices) == ([], [], [])
        assert {data_of(source) for source in acknowledged} <= set(seen)
        assert len(seen) == len(set(seen))
        assert len(seen) % 3 == 0, "A batch is half visible."


async def killed(folder: Path, wallet: Wallet, now_ms: int, after_s: float) -> list[str]:
    """Let a process seal, kill it some time after it came up, and return what it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulation.sealing_process",
        str(folder),
        encode(wallet).hex(),
        str(now_ms),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
    )
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 60)).strip() == b"up"
    await asyncio.sleep(after_s)
    process.kill()
    told = await process.stdout.read()
    await process.wait()
    lines = told.decode().split("\n")[:-1]  # The last one was cut short, if it was begun.
    return [source for line in lines for source in line.split()]
