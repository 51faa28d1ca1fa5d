"""A crash at every durable step of sealing, linking, advancing, releasing, anchoring and dealing again, in both forms.

*Failed and not kept*: the process ends before the write is durable. *Failed but kept*: it ends right after. All objects
are dropped as they are, the folder is opened again, and then: nothing acknowledged is lost, nothing else is half
visible, the outbox finishes, all roots agree, and whatever failed can be done again without doubles. The steps of a
member that was put back from a backup are in `test_coming_back.py`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from salus.contracts.members.reads import former
from salus.contracts.records.reads import batch_of
from salus.core.errors import SalusError
from salus.core.ids import HOUR_MS
from salus.core.wire import reopen, replace
from salus.crypto.digests import digest
from salus.keeper.messages import LogEntry
from salus.keeper.widenings import KIND
from salus.node.folder import found, usual_names
from salus.node.member import Member
from salus.node.network import Network
from salus.node.settings import Settings
from salus.sdk import consent
from salus.sdk.author_store import Stage as Progress
from salus.sdk.errors import LedgerRefusedError
from salus.sdk.reader import Reader
from salus.sdk.wallet import Wallet
from salus.vault.messages import PutBlobs
from tests.node.changing import assert_whole, joined, left, seated, share_roots
from tests.node.stage import Clock, Stage, data_of, documents, permit, shown
from tests.simulation import test_coming_back as coming_back
from tests.simulation.crashing import Crash, CrashAt

BATCH = ("a", "b", "c")
EVIDENCE = digest(b"a letter of the patient")
ORPHAN = bytes(range(16))
SOURCES = Path(__file__).parents[2] / "src"
POINT = re.compile(r"""(?:\.commit\(|step\(self\._faults, )"([a-z_.]+)\"""")
ELSEWHERE = {
    "author.directory": "what belongs to no patient; an import enters it again",
    "author.links": "many of `author.link` at once, for an import that is repeated",
    "bench.fill": "a measurement's own",
    "custody.give_up": "tests/cli/test_people.py, a claim that a crash cut off",
    "custody.keep": "tests/cli/test_people.py, a patient whose cell could not be opened",
    "drill": "an attack's own",
}


@dataclass
class Story:
    """What has been acknowledged so far, and who is in it."""

    on: Stage
    wallet: Wallet
    reader: Reader
    acknowledged: set[str] = field(default_factory=set)
    kept_by_mercy: Wallet | None = None  # Of a patient whose keys a hospital keeps.
    inherited: Wallet | None = None  # Of a patient about whom a member wrote that has left.
    corrected: Wallet | None = None  # Of a patient one of whose documents is corrected twice over.

    async def seal(self) -> None:
        """One document takes the place of an older one, two are new."""
        author = self.on["mercy"].author
        older = author.version_of(self.wallet.subject, "old")
        fresh = [doc for doc in documents(self.wallet, *BATCH) if not was_sealed(self.on, self.wallet, doc.source)]
        if fresh:
            fresh[0] = replace_document(fresh[0], replaces=older) if fresh[0].source == "a" else fresh[0]
            await author.seal(fresh)
        self.acknowledged.add("seal")

    async def advance(self) -> None:
        """A grant."""
        granted = replace(self.wallet, rules=(permit("st-luke"),))
        await consent.change(self.on["mercy"].gateway, self.wallet, granted)
        self.acknowledged.add("advance")

    async def widen(self) -> None:
        """A custodian's grant with a second writer's word: noticed, logged, told to every writer, put in force."""
        mercy, lukes = self.on["mercy"], self.on["st-luke"]
        if self.kept_by_mercy is None:
            self.kept_by_mercy = await self.on.patient("mercy", "st-luke", custodian="mercy")
        wider = replace(self.kept_by_mercy, rules=(permit("lakeside"),))
        try:
            await consent.change(mercy.gateway, self.kept_by_mercy, wider, EVIDENCE, lukes.gateway)
        finally:
            telling = [member.keeper.widenings._telling for member in self.on.network.members]
            await asyncio.gather(*(task for task in telling if task is not None), return_exceptions=True)
        self.acknowledged.add("widen")

    async def abandon(self) -> None:
        """A correction of what was corrected already: the ledger refuses it for good, and its source is free again."""
        author = self.on["mercy"].author
        if self.corrected is None:
            self.corrected = await self.on.patient("mercy")
            first = await author.seal(documents(self.corrected, "first"))
            await author.seal(documents(self.corrected, "second", replaces=first.records[0]))
        older = author.version_of(self.corrected.subject, "first")
        with pytest.raises(LedgerRefusedError):
            await author.seal(documents(self.corrected, "third", replaces=older))
        if author.was_sealed(self.corrected.subject, "third", data_of("third")) is None:
            await author.seal(documents(self.corrected, "third"))
        view = await self.on.view("mercy", Reader(self.corrected.device_key()), self.corrected)
        assert shown(view) == [data_of("second"), data_of("third")]
        self.acknowledged.add("abandon")

    async def tidy(self) -> None:
        """Blobs of a batch that never came, dropped by the vault that keeps them after their time."""
        mercy, lukes = self.on["mercy"], self.on["st-luke"]
        await lukes.vault.put(mercy.name, PutBlobs(batch_id=ORPHAN, blobs=(b"ciphertext of nobody's",)))
        await self.on.wait(3 * HOUR_MS)
        await lukes.tend()
        assert ORPHAN not in {batch_id for _, batch_id, _ in lukes.blobs.packs()}
        assert len(list(lukes.blobs.packs())) == self.packs_of_batches()
        self.acknowledged.add("tidy")

    def packs_of_batches(self) -> int:
        """How many packs St Luke's vault holds of batches on the ledger."""
        lukes = self.on["st-luke"]
        packs = lukes.blobs.packs()
        return sum(batch_of(lukes.replica.state, author, batch_id) is not None for author, batch_id, _ in packs)

    async def link(self) -> None:
        """A link arrives and is accepted."""
        held = self.on["mercy"].store.copy(self.wallet.subject)
        assert held is not None
        await consent.send_link(self.on["mercy"].gateway, self.wallet, held[0], self.on["mercy"].name, "CODE")
        await self.on["mercy"].desk.accept_link("CODE", "again")
        self.acknowledged.add("link")

    async def release(self) -> None:
        """A read through the keepers, and one of the author's own."""
        mercy = await self.on.clinician("mercy")
        await self.on.view("st-luke", self.reader, self.wallet)
        await self.on["mercy"].reading(mercy, self.on.wanted(self.wallet)).read()
        self.acknowledged.add("release")

    async def tend(self) -> None:
        """Log roots onto the ledger, batches to all seats."""
        for member in self.on.network.members:
            await member.tend()
        self.acknowledged.add("tend")

    async def join(self) -> None:
        """A further member, whose keeper has no seat yet."""
        await joined(self.on, "southport")

    async def deal_again(self) -> None:
        """The new member sits where northgate sat: old shares are dealt to it, its policies fetched, old ones gone."""
        if self.on["mercy"].gateway.committee(self.wallet.committee).epoch == 1:
            await seated(self.on, "mercy", "st-luke", "lakeside", "southport")
        for _ in range(2):
            for member in self.on.network.members:
                await member.tend()
        self.acknowledged.add("deal again")

    async def depart(self) -> None:
        """Lakeside wrote too, and leaves; southport sits in its stead, and what is mercy's is dealt to it."""
        self.inherited = await self.on.patient("lakeside", by="lakeside", rules=(permit("st-luke"),))
        await self.on.seal("lakeside", self.inherited, "left")
        await self.join()
        await left(self.on, "lakeside", "st-luke", seats=("mercy", "st-luke", "northgate", "southport"))
        await self.keep()
        await self.on["mercy"].redealer.work()
        await self.keep()

    async def keep(self) -> None:
        """Every keeper does what is due."""
        for member in self.on.network.members:
            await member.keeping.tend()

    async def repair(self) -> None:
        """St Luke's deals again what lakeside wrote."""
        await self.on["st-luke"].repairer.work()
        await self.keep()
        self.acknowledged.add("repair")

    async def seal_without_a_keeper(self) -> None:
        """Final, not durable: the outbox has something to do."""
        self.on.network.switchboard.off_line.add(self.on["northgate"].name)
        await self.seal()
        self.on.network.switchboard.off_line.clear()
        await self.on["mercy"].author.work_outbox()


Step = Callable[[Story], Awaitable[None]]
BLOCKS = ("ledger.mercy.block", "ledger.northgate.block")
MATRIX: dict[str, tuple[Step, tuple[str, ...]]] = {
    "sealing": (
        Story.seal,
        ("author.plan", "vault.pack", "author.vault_receipts", "keeper.deposit", "author.durable", *BLOCKS),
    ),
    "outbox": (Story.seal_without_a_keeper, ("author.final", "author.durable", "keeper.deposit")),
    "abandoning": (Story.abandon, ("author.abandon",)),
    "tidying": (Story.tidy, ("vault.drop",)),
    "widening": (Story.widen, ("keeper.widening", "log.append", "keeper.policy", "author.notice", *BLOCKS)),
    "linking": (Story.link, ("author.waiting", "author.link", "author.taken")),
    "advancing": (Story.advance, ("keeper.policy", "author.policy", *BLOCKS)),
    "dealing again": (
        Story.deal_again,
        (
            "author.vault_receipts",
            "vault.pack",
            "keeper.deposit",
            "author.durable",
            "keeper.destroy",
            "keeper.policy",
            "keeper.seated",
            *BLOCKS,
        ),
    ),
    "repairing": (
        Story.repair,
        (
            "log.append",
            "author.repair",
            "author.repaired",
            "vault.pack",
            "keeper.deposit",
            "keeper.destroy",
            *BLOCKS,
        ),
    ),
    "releasing": (Story.release, ("log.append", "store.reconciled", *BLOCKS)),
    "anchoring": (Story.tend, ("log.leaving", "log.anchored", "keeper.drop", "keeper.policy.drop", *BLOCKS)),
}
BEFORE: dict[str, Step] = {"dealing again": Story.join, "repairing": Story.depart}
CASES = [
    (name, f"{point}:{when}")
    for name, (_, points) in MATRIX.items()
    for point in points
    for when in ("before", "after")
]


@pytest.mark.parametrize(("name", "point"), CASES, ids=lambda value: value)
async def test_a_crash_leaves_nothing_or_a_whole(tmp_path: Path, name: str, point: str) -> None:
    clock, faults = Clock(), CrashAt()
    found(tmp_path, usual_names(4), chain="test", clock=clock)
    network = Network(tmp_path, Settings(clock=clock, faults=faults, tend_every_s=None))
    await network.start()
    story = await begun(Stage(network, clock))
    if name in BEFORE:
        await BEFORE[name](story)
    faults.point = point
    with suppress(Crash, SalusError):
        await MATRIX[name][0](story)
    assert point in faults.passed, "The step does not pass this point: the matrix is out of date."
    network.close()  # No orderly end: stores are let go as they are.
    await network.engine.stop()

    async with Network(tmp_path, Settings(clock=clock, tend_every_s=None)) as again:
        story.on = Stage(again, clock)
        await check(story)
        await MATRIX[name][0](story)
        await finished(story)


async def begun(on: Stage) -> Story:
    """A patient with one sealed document, read once, before anything fails."""
    wallet = await on.patient("mercy")
    await on.seal("mercy", wallet, "old")
    reader = await on.clinician("st-luke")
    story = Story(on, wallet, reader)
    await on.view("st-luke", reader, wallet)
    return story


async def check(story: Story) -> None:
    """What must hold right after the restart, before anything is tried again."""
    on, author = story.on, story.on["mercy"].author
    assert len({member.replica.header for member in on.network.members}) == 1, "Roots differ."
    assert not author._store.plans(Progress.PLANNED), "A plan was left behind."
    await on["mercy"].redealer.work()
    await author.work_outbox()
    assert not author._store.plans(Progress.FINAL), "The outbox did not finish."
    assert all(not member.keeper.log.broken_chains() for member in on.network.members)
    seen = await seen_by_the_patient(story)
    whole = sorted([data_of("a"), data_of("b"), data_of("c")])
    assert seen in ([data_of("old")], whole), "A batch is half visible."
    if "seal" in story.acknowledged:
        assert seen == whole, "An acknowledged batch was lost."
    shown_now = shown(await on.view("st-luke", story.reader, story.wallet))
    assert shown_now in ([], seen)
    if "advance" in story.acknowledged:
        assert shown_now == seen, "An acknowledged grant was lost."
    if "release" in story.acknowledged:
        assert on["mercy"].own_log.entries(story.wallet.subject)


async def finished(story: Story) -> None:
    """After what failed was done again: every document once, all policies alike, logs whole."""
    seen = await seen_by_the_patient(story)
    for member in story.on.network.members:
        await member.tend()
    assert seen in ([data_of("old")], sorted(data_of(source) for source in BATCH))
    assert len(seen) == len(set(seen))
    if "deal again" in story.acknowledged:
        assert former(story.on.network.ledger.state, story.wallet.committee) == ()
        held = {name: share_roots(story.on, name) for name in ("mercy", "st-luke", "lakeside", "southport")}
        assert [len(roots) for roots in held.values()] == [1, 1, 1, 1]
        assert share_roots(story.on, "northgate") == set()
    if story.inherited is not None:
        assert former(story.on.network.ledger.state, story.wallet.committee) == ()
        assert story.on["st-luke"].store.repairs() == []
        assert_whole(await story.on.view("st-luke", story.reader, story.inherited), "left")
        for member in story.on.network.members:
            await member.tend()
    if "widen" in story.acknowledged:
        assert story.kept_by_mercy is not None
        for member in story.on.network.members:
            held = await member.keeper.policies.current(story.kept_by_mercy.subject)
            assert held is not None
            assert len(held.policy.rules) == 1
            told = [entry.kind for entry in log_of(member, story.kept_by_mercy)]
            assert told.count(KIND) >= 1, "A widening went unnoticed."
        assert story.on["st-luke"].store.notices(story.kept_by_mercy.cell)
    commitments = {
        held.commitment
        for member in story.on.network.members
        if (held := await member.keeper.policies.current(story.wallet.subject)) is not None
    }
    assert len(commitments) == 1
    assert all(not member.keeper.log.broken_chains() for member in story.on.network.members)
    assert all(not member.keeper.log.has_news for member in story.on.network.members)


async def seen_by_the_patient(story: Story) -> list[bytes]:
    view = await story.on.view("mercy", Reader(story.wallet.device_key()), story.wallet)
    assert (view.accusations, view.gaps, view.notices) == ([], [], [])
    return shown(view)


def was_sealed(on: Stage, wallet: Wallet, source: str) -> bool:
    return on["mercy"].author.was_sealed(wallet.subject, source, data_of(source)) is not None


def replace_document(document: object, **changes: object) -> object:
    from dataclasses import replace as changed

    return changed(document, **changes)  # type: ignore[type-var]


def log_of(member: Member, wallet: Wallet) -> list[LogEntry]:
    return [reopen(LogEntry, data) for data in member.keeper.log.entries(wallet.subject)]


def test_every_durable_step_of_the_sources_is_in_the_matrix() -> None:
    written = {name for path in SOURCES.rglob("*.py") for name in POINT.findall(path.read_text())}
    written |= {f"author.{progress.name.lower()}" for progress in (Progress.FINAL, Progress.DURABLE)}
    named = {point for _, points in MATRIX.values() for point in points if not point.startswith("ledger.")}
    assert "keeper.deposit" in written
    assert written - named - coming_back.POINTS == set(ELSEWHERE)


async def test_every_durable_step_of_a_whole_story_is_in_the_matrix(tmp_path: Path) -> None:
    clock, faults = Clock(), CrashAt()
    found(tmp_path, usual_names(4), chain="test", clock=clock)
    async with Network(tmp_path, Settings(clock=clock, faults=faults, tend_every_s=None)) as network:
        story = await begun(Stage(network, clock))
        faults.passed.clear()
        for step in (Story.seal, Story.link, Story.release, Story.advance, Story.tend):
            await step(story)
    named = {point for _, points in MATRIX.values() for point in points} | set(OTHER_MEMBERS)
    assert {point.rsplit(":", 1)[0] for point in faults.passed} <= named


OTHER_MEMBERS = ("ledger.st-luke.block", "ledger.lakeside.block")  # As the other two.
