"""Authors that deal wrongly: keepers refuse what they can see, and whoever opens names the author for the rest."""

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.liars import LastSeatAuthor, LyingAuthor, OtherKeyAuthor, TwoHeadersAuthor, WrongShareAuthor
from salus.cli.drill.world import Document, World, permit
from salus.contracts.records.header import Header, RecordId
from salus.core.errors import SalusError
from salus.core.ids import FhirType, MemberId
from salus.core.wire import reopen
from salus.sdk.errors import LedgerRefusedError
from salus.sdk.views import View

DEALER = MemberId("lakeside")
READER = "clinician@st-luke"
DOCUMENT = Document("dealt", FhirType("Observation"), "2023-03-04")


@attack("dealer whose shares are not what it promised", guard="salus.keeper.checking.check_shares", harmful=True)
async def wrong_share(world: World) -> Outcome:
    """An author sends seats other shares than those whose hashes everybody gets."""
    author = WrongShareAuthor(world.network[DEALER])
    try:
        await _sealed(world, author)
    except SalusError:
        must(len(author.refusals) == len(world.network.members), "every keeper refused")
        return verdict(False, author.refusals[0], "keeper.inconsistent_dealer")
    return Outcome("SUCCEEDED", "keepers signed for shares that open nothing")


@attack("dealer of one share off the curve", guard="salus.sdk.checks.Checks._dealt_again", harmful=True)
async def share_off_the_curve(world: World) -> Outcome:
    """An author deals so that the record opens today, and not on the day when other seats answer."""
    return await _dealt(world, LastSeatAuthor(world.network[DEALER]))


@attack("dealer that commits to another key", guard="salus.sdk.checks.Checks._dealt_again", harmful=True)
async def other_key(world: World) -> Outcome:
    """An author commits to one key and deals another, to be able to show another document later."""
    return await _dealt(world, OtherKeyAuthor(world.network[DEALER]))


@attack("two headers for one leaf, half and half", guard="salus.contracts.records.transitions._check_signatures")
async def two_headers(world: World) -> Outcome:
    """An author has half of the keepers sign for one header of a record and half for another, and anchors both."""
    author = TwoHeadersAuthor(world.network[DEALER], frozenset({3, 4}), keep_receipts=True)
    try:
        await _sealed(world, author)
    except LedgerRefusedError as error:
        return verdict(False, error.said, "records.bad_receipt")
    return Outcome("SUCCEEDED", "a batch is final that no quorum holds")


@attack("two headers for one leaf, one keeper apart", guard="salus.sdk.checks._Batches._check", harmful=True)
async def one_keeper_apart(world: World) -> Outcome:
    """An author gives one keeper another header for a record that the rest has anchored, to show it to some."""
    author = TwoHeadersAuthor(world.network[DEALER], frozenset({1}), keep_receipts=False)
    record = await _sealed(world, author)
    await world.allow(world.a, permit("st-luke"))
    view = await world.read(READER, world.a)
    shown = [one.header for one in view.records if one.header.record == record]
    must(len(shown) == 1, "the record is read")
    if shown[0] != _anchored_header(world, record):
        return Outcome("SUCCEEDED", "a reader was shown a header that is not on the ledger")
    return Outcome("refused", "3 seats serve the anchored header, the other one is served by nobody")


async def _sealed(world: World, author: LyingAuthor) -> RecordId:
    sealed = await author.seal([world.sealable(world.a, DOCUMENT)])
    return sealed.records[0]


async def _dealt(world: World, author: LyingAuthor) -> Outcome:
    """Let it deal, read, and see that the author is named and the record a gap."""
    record = await _sealed(world, author)
    must(not author.refusals, "no keeper could see it")
    await world.allow(world.a, permit("st-luke"))
    view = await world.read(READER, world.a)
    named = {(one.member, one.what) for one in view.accusations}
    if named != {(DEALER, "inconsistent_dealer")} or record not in _gaps(view):
        return Outcome("SUCCEEDED", f"taken for sound; named: {sorted(named) or 'nobody'}")
    return Outcome("detected", f"{DEALER} named for inconsistent_dealer; a gap, and {len(view.records)} others read")


def _gaps(view: View) -> set[RecordId]:
    return {gap.record for gap in view.gaps}


def _anchored_header(world: World, record: RecordId) -> Header:
    """The author's own copy, which is the one whose root it anchored."""
    own = world.network[DEALER].store.own_of_batch(record.batch_id)
    return next(reopen(Header, one.header) for entries in own.values() for one in entries if one.index == record.index)
