"""Keepers that lie, with their own keys: the reader still has everything, and names them.

Seat 1 lies here, whose share is always among those that are combined and whose header is the first that a reader sees.
"""

from collections.abc import Collection
from contextlib import AbstractContextManager

from salus.cli.drill.attack import Outcome, attack, must
from salus.cli.drill.liars import (
    alter_entries,
    digest_of,
    flipped,
    lying_keeper,
    other_header,
    stuck_policy,
)
from salus.cli.drill.pooling import Pool
from salus.cli.drill.world import Document, World, deny, permit, sources
from salus.contracts.records.header import Header
from salus.core.ids import FhirType, MemberId
from salus.core.wire import reopen, replace
from salus.crypto.shares import combine, threshold
from salus.keeper.messages import Entry
from salus.keeper.policies import Held
from salus.keeper.releasing import Candidate, Found
from salus.sdk.views import View

LIAR = MemberId("mercy")
READER = "clinician@st-luke"


@attack("keeper with a bad share", guard="salus.sdk.checks.Checks._take_share")
async def bad_share(world: World) -> Outcome:
    """A keeper answers with shares that it was never dealt, to make every record unreadable."""

    def tamper(found: list[Found]) -> None:
        alter_entries(found, lambda entry: replace(entry, share=flipped(entry.share)))

    return await _lied(world, lying_keeper(world.network[LIAR], tamper), "bad_share")


@attack("keeper with a bad share and a hash to match", guard="salus.sdk.checks._Batches._check")
async def bad_share_and_hash(world: World) -> Outcome:
    """A keeper makes up a share and the promise that it was dealt."""

    def forged(entry: Entry) -> Entry:
        share = flipped(entry.share)
        return replace(entry, share=share, share_hashes=digest_of(share) + entry.share_hashes[32:])

    return await _lied(
        world, lying_keeper(world.network[LIAR], lambda found: alter_entries(found, forged)), "wrong_header"
    )


@attack("keeper with a wrong header", guard="salus.sdk.checks._Batches._check")
async def wrong_header(world: World) -> Outcome:
    """A keeper tells that a record is of another kind, and not restricted."""

    def forged(entry: Entry) -> Entry:
        return replace(entry, header=other_header(entry.header))

    return await _lied(
        world, lying_keeper(world.network[LIAR], lambda found: alter_entries(found, forged)), "wrong_header"
    )


@attack("keeper with another patient's records", guard="salus.sdk.checks.Checks._rows")
async def another_patients_records(world: World) -> Outcome:
    """A keeper answers with true records, but of somebody else."""
    keeper = world.network[LIAR].keeper

    def tamper(found: list[Found]) -> None:
        decision = found[0].released[0][1]
        for author, batch_id, _, holding in keeper.deposits.holdings_of(world.b.wallet.subject):
            headers = [reopen(Header, entry.header) for entry in holding.entries]
            candidates = [Candidate(place, header, None) for place, header in enumerate(headers)]
            released = [(candidate, decision) for candidate in candidates]
            found.append(Found(author, batch_id, holding, candidates, released))

    return await _lied(world, lying_keeper(world.network[LIAR], tamper), "wrong_header")


@attack("keeper that leaves records out", guard="salus.sdk.checks.Checks.omissions")
async def omitted_record(world: World) -> Outcome:
    """A keeper says that it holds nothing, to keep a record from whoever may read it."""
    return await _lied(world, lying_keeper(world.network[LIAR], lambda found: found.clear()), "omitted_record")


@attack("keeper that misses a grant", guard="salus.sdk.hearing.Hearing._leave_out_other_policies")
async def stale_policy(world: World) -> Outcome:
    """A keeper goes on deciding by the policy before a grant."""
    await world.allow(world.a, deny("st-luke"))
    held = await _held(world)
    return await _lied(world, stuck_policy(world.network[LIAR], held), "stale_policy")


@attack("keeper that ignores a revocation", guard="salus.sdk.hearing.Hearing._leave_out_other_policies")
async def ignored_revocation(world: World) -> Outcome:
    """A keeper goes on releasing what the patient has revoked; alone it opens nothing, and shows not even a header."""
    honest = await _honest(world)
    held = await _held(world)
    await world.allow(world.a, deny("st-luke"))
    must(not (await world.read(READER, world.a)).records, "the revocation holds where nobody lies")
    with stuck_policy(world.network[LIAR], held):
        view = await world.read(READER, world.a)
    seen = len(view.records) + len(view.gaps)
    if seen or _named(view) != {(LIAR, "stale_policy")}:
        return Outcome("SUCCEEDED", f"{seen} of {len(honest)} records shown after the revocation")
    return Outcome("detected", f"{LIAR} named for stale_policy; nothing shown")


@attack("t-1 keepers pooling all they have", guard="salus.sdk.dealing.threshold")
async def pooled_keepers(world: World) -> Outcome:
    """Two keepers put shares, databases, keys and every member's ciphertext together, and try all to open a record."""
    seats = len(world.network.members)
    colluders = ["st-luke", "northgate"]
    must(len(colluders) == threshold(seats) - 1, "the colluders are one fewer than the threshold")
    record = (await world.seal("mercy", world.a, Document("pooled", FhirType("Observation"), "2023-01-02")))[0]
    enough = Pool(world, ["st-luke", "lakeside", "northgate"])
    must(enough.opens(record, [combine(enough.shares(record))]) is not None, "t keepers together do open it")
    pool = Pool(world, colluders)
    tried, data = pool.try_all(record)
    if data is not None:
        return Outcome("SUCCEEDED", f"{len(colluders)} of {seats} keepers opened {len(data)} bytes")
    return Outcome("refused", f"{tried} keys tried by {' and '.join(colluders)}, none opens")


async def _lied(world: World, lie: AbstractContextManager[None], what: str) -> Outcome:
    """Read while somebody lies: all records as before, and this liar named for this, nobody else."""
    honest = await _honest(world)
    with lie:
        view = await world.read(READER, world.a)
    return judged(view, sources(world.a, view) == honest and not view.gaps, {(LIAR, what)})


async def _held(world: World) -> Held:
    """The policy of patient A that the liar decides by now."""
    held = await world.network[LIAR].keeper.policies.current(world.a.wallet.subject)
    must(held is not None, "the keeper knows the patient")
    assert held is not None, "Checked just before."
    return held


def judged(view: View, is_whole: bool, expected: set[tuple[MemberId, str]]) -> Outcome:
    """Detected, if the view is whole and exactly these members are named for exactly this."""
    named = _named(view)
    if not is_whole or named != expected:
        return Outcome("SUCCEEDED", f"{len(view.records)} records, {len(view.gaps)} gaps, named: {_shown(named)}")
    return Outcome("detected", f"named: {_shown(expected)}; all {len(view.records)} records read all the same")


async def _honest(world: World) -> set[str]:
    """What the reader sees, under a permit, while everybody is honest."""
    await world.allow(world.a, permit("st-luke"))
    view = await world.read(READER, world.a)
    honest = sources(world.a, view)
    must({"visit", "laboratory"} <= honest and not view.gaps, "the reader has records of two authors")
    must(not view.accusations, "nobody is named where nobody lies")
    return honest


def _named(view: View) -> set[tuple[MemberId, str]]:
    return {(one.member, one.what) for one in view.accusations}


def _shown(named: Collection[tuple[MemberId, str]]) -> str:
    return ", ".join(f"{member} for {what}" for member, what in sorted(named)) or "nobody"
