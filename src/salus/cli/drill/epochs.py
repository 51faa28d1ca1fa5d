"""Attacks on a committee's new epoch: who deals again, what keepers still have, and what they have of two epochs."""

from collections.abc import Sequence
from itertools import combinations

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.keepers import judged
from salus.cli.drill.liars import digest_of, lying_keeper
from salus.cli.drill.pooling import Pool
from salus.cli.drill.world import Document, World, permit, sources
from salus.contracts.members.messages import Committee, Propose, SetSeats, Vote
from salus.contracts.members.reads import former
from salus.contracts.records.header import RecordId
from salus.contracts.records.messages import Attest, SeatReceipt
from salus.contracts.records.reads import dealing_of
from salus.core.ids import Digest, FhirType, MemberId
from salus.core.wire import replace
from salus.crypto.shares import combine, threshold
from salus.keeper.releasing import Found
from salus.machine.block import ACCEPTED
from salus.node.member import Member
from salus.sdk.author_store import Plan
from salus.sdk.drafting import OwnEntry
from salus.sdk.errors import LedgerRefusedError
from salus.sdk.gateway import new_id
from salus.sdk.redealing import Redealer

DEALER, LIAR = MemberId("lakeside"), MemberId("mercy")
READER = "clinician@st-luke"
TURNED = ("northgate", "mercy", "st-luke", "lakeside")  # Nobody keeps the seat it had.
DOCUMENT = Document("dealt", FhirType("Observation"), "2023-03-04")
_RECORDS = "salus.contracts.records.transitions"
_POLYNOMIALS = "salus.contracts.records.batch.share_contexts_prefix"


@attack("new dealing without a quorum", guard=f"{_RECORDS}._check_seats", harmful=True)
async def too_few_receipts(world: World) -> Outcome:
    """An author says that a batch is dealt again which one keeper alone has, so that all destroy what they had."""
    record = await _sealed_then_turned(world)
    return await _said(world, record, LyingRedealer(world.network[DEALER], receipts=1), "records.too_few_receipts")


@attack("new dealing under another share root", guard=f"{_RECORDS}._check_signatures", harmful=True)
async def another_share_root(world: World) -> Outcome:
    """An author puts another share root on the ledger than keepers signed, so that no share fits it any more."""
    record = await _sealed_then_turned(world)
    return await _said(world, record, LyingRedealer(world.network[DEALER], share_root=bytes(32)), "records.bad_receipt")


@attack("dealer of other keys at a new epoch", guard="salus.sdk.checks.Checks._dealt_again", harmful=True)
async def other_keys(world: World) -> Outcome:
    """An author deals other keys than it committed to, now that the right ones are to be destroyed."""
    record = await _sealed_then_turned(world)
    dealer = world.network[DEALER]
    await OtherKeysRedealer(dealer.gateway, dealer.store, dealer.blobs).work()
    await deal_again(world)
    view = await world.read(READER, world.a)
    named = {(one.member, one.what) for one in view.accusations}
    if named != {(DEALER, "inconsistent_dealer")} or record not in {gap.record for gap in view.gaps}:
        return Outcome("SUCCEEDED", f"taken for sound; named: {sorted(named) or 'nobody'}")
    return Outcome("detected", f"{DEALER} named for inconsistent_dealer; {len(view.records)} others read")


@attack("keeper with a share of an earlier epoch", guard="salus.sdk.checks._Batches._check", harmful=True)
async def old_share(world: World) -> Outcome:
    """A keeper answers with what it was dealt before, to make records unreadable and their authors look like liars."""
    await _sealed_then_turned(world)
    keeper = world.network[LIAR].keeper
    kept = {(author, batch): old for author, batch, _, old in keeper.deposits.holdings_of(world.a.wallet.subject)}
    await deal_again(world)
    honest = sources(world.a, await world.read(READER, world.a))
    must(DOCUMENT.source in honest, "what was dealt again is read where nobody lies")

    def tamper(found: list[Found]) -> None:
        for one in found:
            one.holding = kept[one.author, one.batch_id]

    with lying_keeper(world.network[LIAR], tamper):
        view = await world.read(READER, world.a)
    is_whole = sources(world.a, view) == honest and not view.gaps
    return judged(view, is_whole, {(LIAR, "wrong_dealing")})


@attack("t-1 keepers pooling shares of two epochs", guard=_POLYNOMIALS, harmful=True)
async def pooled_epochs(world: World) -> Outcome:
    """Two keepers put together what they were dealt on their old seats and on their new ones."""
    colluders = ["st-luke", "northgate"]
    must(len(colluders) == threshold(len(TURNED)) - 1, "the colluders are one fewer than the threshold")
    record = (await world.seal(DEALER, world.a, DOCUMENT))[0]
    old = Pool(world, colluders).shares(record)
    await seat(world, *TURNED)
    await deal_again(world)
    pool = Pool(world, colluders)
    new = pool.shares(record)
    must(not old.keys() & new.keys(), "nobody keeps the seat it had")
    some = [*old.items(), *new.items()]
    keys = [combine(dict(chosen)) for n in range(1, len(some) + 1) for chosen in combinations(some, n)]
    data = pool.opens(record, keys)
    if data is not None:
        return Outcome("SUCCEEDED", f"{len(colluders)} keepers opened {len(data)} bytes with shares of two epochs")
    return Outcome("refused", f"{len(keys)} keys made of {len(some)} shares by {' and '.join(colluders)}, none opens")


# Hands.


class LyingRedealer(Redealer):
    """Deals again as it should, and says something else of it on the ledger."""

    def __init__(self, member: Member, *, receipts: int | None = None, share_root: Digest | None = None) -> None:
        super().__init__(member.gateway, member.store, member.blobs)
        self._receipts = receipts
        self._share_root = share_root
        self.answer = ACCEPTED

    def _word(self, plan: Plan, receipts: Sequence[SeatReceipt]) -> Attest:
        word = super()._word(plan, receipts[: self._receipts])
        return replace(word, share_root=self._share_root or word.share_root)

    async def _deal_again(self, plan: Plan) -> bool:
        try:
            return await super()._deal_again(plan)
        except LedgerRefusedError as error:
            self.answer = error.said
            raise


class OtherKeysRedealer(Redealer):
    """Deals other keys, each to all seats alike: no keeper can see it."""

    def _dealt(self, plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> tuple[list[bytes], list[bytes]]:
        return super()._dealt(plan, [replace(entry, key=digest_of(entry.key)) for entry in entries], committee)


async def seat(world: World, *names: str) -> None:
    """The members seat the committee anew, at its next epoch."""
    committee = world.network["mercy"].gateway.committee(world.network.committee)
    seats = tuple(MemberId(name) for name in names)
    change = SetSeats(committee=world.network.committee, epoch=committee.epoch, seats=seats)
    proposal_id = new_id()
    await world.accepted(world.tx("mercy", Propose(proposal_id=proposal_id, changes=(change,), activate_at=0)))
    for member in ("st-luke", "lakeside"):
        await world.accepted(world.tx(member, Vote(proposal_id=proposal_id, approve=True)))


async def deal_again(world: World) -> None:
    """Let everybody deal again, and everybody destroy what is over."""
    for member in world.network.members:
        await member.redealer.work()
    must(former(world.state, world.network.committee) == (), "everything is dealt again")
    for member in world.network.members:
        await member.keeper.epochs.follow()


async def _sealed_then_turned(world: World) -> RecordId:
    """One more record, then a new epoch to which nothing is dealt yet; everything can be read."""
    record = (await world.seal(DEALER, world.a, DOCUMENT))[0]
    await world.allow(world.a, permit("st-luke"))
    await seat(world, *TURNED)
    view = await world.read(READER, world.a)
    must(DOCUMENT.source in sources(world.a, view) and not view.accusations, "what was dealt before is read still")
    return record


async def _said(world: World, record: RecordId, liar: LyingRedealer, expected: str) -> Outcome:
    """Let it deal and say so; where the ledger believes it, keepers destroy what they had."""
    await liar.work()
    for member in world.network.members:
        await member.keeper.epochs.follow()
    dealing = dealing_of(world.state, record.author, record.batch_id)
    assert dealing is not None, "The batch was anchored before."
    return verdict(dealing.epoch > 1, liar.answer, expected)
