"""One of four members with a clock that is a minute off: that it is so is looked at first, then what must hold.

CometBFT's own clock cannot be set from outside and stays right. All of Salus is off: what a keeper takes for fresh and
for expired, what a ledger takes into a block, what a gateway signs until when.
"""

from pathlib import Path

import pytest

from salus.core.ids import MINUTE_MS, SECOND_MS
from tests.faults.figures import figure
from tests.faults.members import GATEWAY
from tests.faults.part import Plan
from tests.faults.people import observations, reading
from tests.faults.stage import Stage, long, staged
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

VICTIM = "northgate"
AHEAD, BEHIND = MINUTE_MS, -MINUTE_MS


@pytest.mark.parametrize("skew_ms", [AHEAD, pytest.param(BEHIND, marks=long)])
async def test_a_clock_that_is_a_minute_off_costs_its_own_member_at_most(skew_ms: int, tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        await on.net.replace(VICTIM, Plan(skew_ms=skew_ms))
        for part in ("ledger", "keeper"):
            assert await off_by_ms(on, part) == pytest.approx(skew_ms, abs=20 * SECOND_MS)
        await on.write("later", "mercy", VICTIM)
        await on.grant("st-luke")
        record = await on.person.record("clinician@st-luke")
        assert record["accusations"] == [], "A wrong clock is no lie."
        assert await on.person.seen("clinician@st-luke") == on.sources
        await on.net.kill("keeper", "mercy")  # So that the one with the wrong clock is needed for each threshold.
        if skew_ms == AHEAD:  # Its newest block looks older than a minute: it releases nothing.
            answer = await on.client.once("read", *reading(on.person, "clinician@st-luke"), "--json")
            assert (answer.code, answer.json["is_stale"]) == (0, True)
            assert {document["author"] for document in answer.json["documents"]} == {"st-luke"}, "Its own, no other."
            await on.net.replace(VICTIM, Plan())
        assert await on.person.seen("clinician@st-luke") == on.sources
        await on.net.up("mercy")
        await on.revoke("st-luke")
        assert await on.person.seen("clinician@st-luke") == {s for s in on.sources if "-st-luke-" in s}
        await on.check()


@long
@pytest.mark.parametrize("skew_ms", [AHEAD, BEHIND])
async def test_a_gateway_whose_clock_is_a_minute_off_does_what_it_is_told_and_says_what_it_doubts(
    skew_ms: int, tmp_path: Path
) -> None:
    async with staged(tmp_path) as on:
        await on.net.stop_one(GATEWAY)
        await on.net.start_one(GATEWAY, plan=Plan(skew_ms=skew_ms))
        await on.net.serves(GATEWAY)
        assert await off_by_ms(on, GATEWAY) == pytest.approx(skew_ms, abs=20 * SECOND_MS)
        await on.write("later", "mercy", VICTIM)
        await on.grant("st-luke")
        record = await on.client.done("read", *reading(on.person, "clinician@st-luke"))
        assert (observations(record), record["gaps"], record["accusations"]) == (on.sources, [], [])
        assert record["is_stale"] is (skew_ms == AHEAD), "To it, the newest block is older than a minute."
        await on.revoke("st-luke")
        record = await on.client.done("read", *reading(on.person, "clinician@st-luke"))
        assert observations(record) == {s for s in on.sources if "-st-luke-" in s}


async def off_by_ms(on: Stage, part: str) -> float:
    """How far a process's clock is ahead of the newest block, less how far another member's keeper is."""
    own = await figure(on.net, part, VICTIM, "view_age_seconds")
    right = await figure(on.net, "keeper", "mercy", "view_age_seconds")
    return (own - right) * SECOND_MS
