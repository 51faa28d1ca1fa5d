"""The crash matrix: where CometBFT ends, times where the application ends while it replays, in both forms.

Three lives of one member, while three others go on under load: in the first its engine exits at its own fail point
(`FAIL_TEST_INDEX`, two blocks' worth of them); in the second the application is killed at one of its points, on the
way through the replay or right after; the third must catch up, with the same roots as everybody, all that was
acknowledged, and nothing twice. CI runs 20 cells by seed; SALUS_FAULTS=all runs all 120.
"""

import os
import random
from pathlib import Path

import pytest

from salus.core.ids import MemberId
from salus.engines.cometbft.supervisor import LOG_FILE
from salus.engines.cometbft.unit import ENGINE_FOLDER
from salus.node.folder import member_folder
from tests.faults.chain import Load, check
from tests.faults.members import Members, members
from tests.faults.part import KILLED, Plan
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

ENGINE_POINTS = range(20)
POINTS = ("application.finalize", "ledger.{member}.block", "application.commit")  # Prepared, kept, answered.
CELLS = [(at, f"{point}:{when}") for at in ENGINE_POINTS for point in POINTS for when in ("before", "after")]
SEED = int(os.environ.get("SALUS_SEED", "1"))
IN_CI = 20
AT_ONCE = 10  # Cells on one network.


def chosen() -> list[tuple[int, str]]:
    """All cells, or those that the seed picks: every point of the application, all over the engine's."""
    if os.environ.get("SALUS_FAULTS") == "all":
        return CELLS
    chance = random.Random(SEED)
    picked = chance.sample(CELLS, IN_CI - len(POINTS) * 2)
    for point in {point for _, point in CELLS}:  # Each at least once.
        picked.append((chance.choice(ENGINE_POINTS), point))
    return sorted(picked)


CHOSEN = chosen()
SHEAVES = [CHOSEN[at : at + AT_ONCE] for at in range(0, len(CHOSEN), AT_ONCE)]


@pytest.mark.parametrize("cells", SHEAVES, ids=[f"seed{SEED}-{at * AT_ONCE}" for at in range(len(SHEAVES))])
async def test_a_member_that_is_killed_anywhere_comes_back_with_the_same_ledger(
    cells: list[tuple[int, str]], tmp_path: Path
) -> None:
    async with members(tmp_path) as net:
        await net.start(("ledger",))
        load = Load(net)
        load.start()
        for number, (index, point) in enumerate(cells):
            victim = net.names[number % len(net.names)]
            await three_lives(net, victim, index, point.format(member=victim))
        await load.stop()
        assert len(load.acknowledged) > len(cells)
        await check(net, load)


def engine_log(net: Members, name: str) -> str:
    """What a member's CometBFT has said."""
    return (member_folder(net.folder, MemberId(name)) / ENGINE_FOLDER / LOG_FILE).read_text()


async def three_lives(net: Members, victim: str, index: int, point: str) -> None:
    """Up to where the victim is level with the others again."""
    await net.stop_one("ledger", victim)
    await net.start_one("ledger", victim, Plan(engine={"FAIL_TEST_INDEX": str(index)}))
    assert await net.ended("ledger", victim) == 1, f"Its engine did not fail at {index}: {net.said('ledger', victim)}"
    assert engine_log(net, victim).endswith(f"*** fail-test {index} ***\n"), "Something else ended it."
    await net.start_one("ledger", victim, Plan(point=point, at=1 + index % 3))
    assert await net.ended("ledger", victim) == KILLED, f"It was not killed at {point}: {net.said('ledger', victim)}"
    await net.start_one("ledger", victim)
    await net.reaches(max((await net.heights()).values()), [victim])
