"""A crash at every durable step of a member on its way back to serving, in both forms, as in `test_crashes.py`.

Its databases are put back from a backup, by hand or not, or are gone. Meanwhile a batch was sealed, a permit became
another's, a cell was closed, and its logs went on. The process ends at a step, the folder is opened again, and then:
nothing is served before it is whole, what it serves is what the others serve, no number of a log is used twice, what
was erased is gone for good, and the way back can be gone on with.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.core.errors import SalusError, UnavailableError
from salus.core.faults import NO_FAULTS
from salus.keeper.errors import RestoredError
from salus.keeper.formats import RECONCILING_SINCE
from salus.keeper.store import HOLDINGS, LOG, SubjectStore
from salus.node.member import Member
from salus.node.network import Network
from salus.node.settings import Settings
from salus.sdk import consent
from salus.sdk.patient_log import LogFault
from salus.sdk.reader import Reader
from salus.sdk.wallet import Wallet
from tests.keeper.coming_back import LOST, again, log_of, named, put_back, taken
from tests.node.stage import Stage, data_of, permit, shown, stage
from tests.simulation.crashing import Crash, CrashAt


@dataclass
class Way:
    """How a member's databases come to be older than the ledger, and which durable steps it passes on its way back."""

    files: tuple[str, ...]
    points: tuple[str, ...]
    is_marked: bool = True  # As one that `salus restore` put back.
    is_lost: bool = False


LOG_GOES_ON = ("log.jump", "log.leaving", "log.anchored", "store.reconciled")
BATCHES_COME = ("author.put_back", "keeper.reconciling", "keeper.deposit", "author.durable")
WAYS = {
    "keeper put back": Way(
        ("keeper.db",),
        (
            "keeper.erase",
            "keeper.policy",
            *BATCHES_COME,
            *LOG_GOES_ON,
            "log.bridge",
            "log.append",
        ),
    ),
    "keeper put back by hand": Way(("keeper.db",), ("store.reconciled",), is_marked=False),
    "keeper lost": Way(("keeper.db",), (*BATCHES_COME, *LOG_GOES_ON), is_lost=True),
    "gateway put back": Way(("gateway.db",), (*LOG_GOES_ON, "log.append")),
    "gateway put back by hand": Way(("gateway.db",), ("store.reconciled",), is_marked=False),
}
POINTS = {point for way in WAYS.values() for point in way.points}
CASES = [
    (name, f"{point}:{when}") for name, way in WAYS.items() for point in way.points for when in ("before", "after")
]


@dataclass
class Story:
    """Who is in it, and what was used up before the loss."""

    on: Stage
    wallet: Wallet  # Of a patient of Mercy, who lets St Luke's read, and no longer Lakeside.
    gone: Wallet  # Of one whose cell was closed after the backup.
    own: Wallet  # Of one whose records the lost member wrote itself.
    reader: Reader
    kept: dict[str, list[int]]  # The numbers of each log of the lost member that are in its backup,
    used: dict[str, int]  # and the newest one that was used.

    async def reconcile(self) -> None:
        """One round."""
        await self.on[LOST].reconcile()

    async def deal_again(self) -> None:
        """What the authors do by themselves meanwhile."""
        for name in ("mercy", LOST):
            await self.on[name].author.work_outbox()

    async def ask_for_the_log(self) -> None:
        """The patient does, before anybody has used it again."""
        await log_of(self.on, self.wallet)

    async def use(self) -> None:
        """A read through the keepers, and one of its own records at the lost member."""
        await self.on.view("st-luke", self.reader, self.wallet)
        await self.use_own()

    async def use_own(self) -> None:
        reading = self.on[LOST].reading(await self.on.clinician(LOST), self.on.wanted(self.own))
        assert [one.data for one in (await reading.read()).view.records] == [data_of("n")]


Step = Callable[[Story], Awaitable[None]]
STEPS: tuple[Step, ...] = (Story.reconcile, Story.deal_again, Story.reconcile, Story.ask_for_the_log, Story.use)


@pytest.mark.parametrize(("name", "point"), CASES, ids=lambda value: value)
async def test_a_crash_on_the_way_back_is_gone_on_from(tmp_path: Path, name: str, point: str) -> None:
    way, faults = WAYS[name], CrashAt()
    story = await lost(tmp_path, way)
    faults.point = point
    await come_back_until(story, tmp_path, way, faults)
    assert point in faults.passed, "The way back does not pass this point: the matrix is out of date."

    async with again(tmp_path, story.on.clock) as story.on:
        await check(story, way, is_back=serves_after(point, way))
        for step in STEPS:
            await step(story)
        await whole(story, way)


@pytest.mark.parametrize("name", WAYS)
async def test_every_durable_step_of_the_way_back_is_in_the_matrix(tmp_path: Path, name: str) -> None:
    way, faults = WAYS[name], CrashAt()
    story = await lost(tmp_path, way)
    await come_back_until(story, tmp_path, way, faults)
    passed = {point.rsplit(":", 1)[0] for point in faults.passed if not point.startswith("ledger.")}
    assert passed <= POINTS


async def lost(folder: Path, way: Way) -> Story:
    """A member stops, and what it starts with next is older than what it had, or is gone."""
    async with stage(folder) as on:
        wallet = await on.patient("mercy", rules=(permit("lakeside"),))
        gone = await on.patient("mercy", rules=(permit("st-luke"),))
        own = await on.patient(LOST)
        story = Story(on, wallet, gone, own, await on.clinician("st-luke"), {}, {})
        await on.seal("mercy", wallet, "a")
        await on.seal("mercy", gone, "g")
        await on.seal(LOST, own, "n")
        await on.view("st-luke", story.reader, gone)
        await story.use_own()
        await on.network.tend()
        backup = taken(folder, is_marked=way.is_marked)
        if not way.is_lost:
            story.kept = {file: numbers(store) for file, store in stores(on[LOST]).items()}
        await on.seal("mercy", wallet, "b")
        story.wallet = await on.change(wallet, rules=(permit("st-luke"),))
        await consent.close(on["mercy"].gateway, gone)
        await story.use()
        await on.network.tend()
        story.used = {file: max(numbers(store)) for file, store in stores(on[LOST]).items()}
    put_back(folder, None if way.is_lost else backup, files=way.files)
    return story


async def come_back_until(story: Story, folder: Path, way: Way, faults: CrashAt) -> None:
    """All steps, or those up to the crash, at which all objects are dropped as they are."""
    point = faults.point
    with suppress(Crash):
        network = Network(folder, Settings(clock=story.on.clock, faults=faults, tend_every_s=None))
        await network.start()
        story.on = Stage(network, story.on.clock)
        for member in network.members:
            if member.name != LOST or "keeper.db" not in way.files:
                member.keeping._store.faults = NO_FAULTS  # It has lost nothing.
        await story.on.clinician("mercy")
        await story.on.settled()
        for step in STEPS:
            if point not in faults.passed:
                with suppress(Crash, SalusError):
                    await step(story)
        network.close()
        await network.engine.stop()


def serves_after(point: str, way: Way) -> bool:
    """Whether the crash came so late that the member may serve as soon as it runs again."""
    is_by_hand = not way.is_marked
    return not is_by_hand and point.startswith(("store.reconciled:after", "log.bridge", "log.append"))


async def check(story: Story, way: Way, *, is_back: bool) -> None:
    """What must hold right after the restart: no answer but a whole one."""
    on = story.on
    assert len({member.replica.header for member in on.network.members}) == 1, "Roots differ."
    assert all(not log.broken_chains() for member in on.network.members for log in (member.keeper.log, member.own_log))
    is_keeper_back, is_gateway_back = (is_back or file not in way.files for file in stores(on[LOST]))
    assert (on[LOST].keeping.is_reconciled, on[LOST].is_reconciled) == (is_keeper_back, is_gateway_back)
    view = await on.view("st-luke", story.reader, story.wallet)
    assert (shown(view), view.gaps, named(view)) == ([data_of("a"), data_of("b")], [], set())
    assert view.absent == (() if is_keeper_back else (LOST,))
    assert shown(await on.view("lakeside", await on.clinician("lakeside"), story.wallet)) == []
    if not is_keeper_back:
        with pytest.raises(RestoredError):
            on[LOST].keeper.log.told(story.wallet.subject, 0)
    if not is_gateway_back:
        with pytest.raises(UnavailableError):
            await story.use_own()


async def whole(story: Story, way: Way) -> None:
    """After the way back was gone to its end: as if nothing had been lost, but for a gap that everybody can see."""
    on = story.on
    await on.network.tend()
    await check(story, way, is_back=True)
    await on.network.tend()
    mercy, lost = (on[name].keeping._store for name in ("mercy", LOST))
    assert all(shares(lost, wallet) == shares(mercy, wallet) != set() for wallet in (story.wallet, story.own))
    assert shares(lost, story.gone) == set() or "keeper.db" not in way.files
    assert not lost.meta(RECONCILING_SINCE)
    held = [await member.keeper.policies.current(story.wallet.subject) for member in on.network.members]
    assert len({None if one is None else one.commitment for one in held}) == 1
    for file in way.files:
        kept, now = set(story.kept.get(file, ())), set(numbers(stores(on[LOST])[file]))
        assert kept < now
        assert min(now - kept) > story.used[file], "A number is used twice."
    log = await log_of(on, story.own if "gateway.db" in way.files else story.wallet)
    assert set(log.faults) == {LogFault(LOST, "restored")}
    assert log.anchored == len(log.entries)
    assert all(not log.has_news for member in on.network.members for log in (member.keeper.log, member.own_log))


def stores(member: Member) -> dict[str, SubjectStore]:
    """Its databases, by file: the keeper's, then the gateway's."""
    return {"keeper.db": member.keeping._store, "gateway.db": member.store}


def numbers(store: SubjectStore) -> list[int]:
    return list(store.connection.execute(sa.select(LOG.c.number).order_by(LOG.c.number)).scalars())


def shares(store: SubjectStore, wallet: Wallet) -> set[bytes]:
    """Of which dealings a keeper holds shares of a patient."""
    query = sa.select(HOLDINGS.c.share_root).where(HOLDINGS.c.tag == store.tag(wallet.subject))
    return {bytes(one) for one in store.connection.execute(query).scalars()}
