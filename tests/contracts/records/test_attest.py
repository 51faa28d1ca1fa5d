"""A batch dealt again at a new epoch: one row per refusal in checking order, which of two wins, and what it does."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import dealt_at, former
from salus.contracts.members.tables import AUTHORSHIPS, COMMITTEES, EPOCHS, MEMBERS, Authorship
from salus.contracts.members.transitions import seated
from salus.contracts.records.errors import (
    AttestedBeforeError,
    BadReceiptError,
    BatchNotFoundError,
    ReceiptEndsEarlyError,
    ReceiptsOutOfOrderError,
    StaleEpochError,
    TooFewReceiptsError,
    UnknownSeatError,
)
from salus.contracts.records.invariants import INVARIANTS
from salus.contracts.records.messages import Attest, SeatReceipt
from salus.contracts.records.reads import batch_of, dealing_of, dealings_of
from salus.contracts.records.transitions import anchor, attest
from salus.core.errors import RefusalError
from salus.core.ids import HOUR_MS, MemberId
from salus.core.wire import replace
from salus.state.state import State
from tests.support.network import NAMES, STARTED, context, founded, network
from tests.support.refusals import assert_refused

NET = network(5)
MERCY, LAKESIDE = MemberId("mercy"), MemberId("lakeside")
GOOD_UNTIL = STARTED + HOUR_MS  # Exactly the `valid_until` of the context's transaction.
OLD, OTHER = NET.id16("batch", "old"), NET.id16("batch", "other")
FOUR, FIVE, TURNED = NAMES, (*NAMES, "m5"), ("m5", *NAMES)


def seat(state: State, *names: str) -> State:
    """The same state with other holders, at the committee's next epoch."""
    before = COMMITTEES.get(state, NET.committee)
    assert before is not None
    EPOCHS.put(state, (NET.committee, before.epoch), before)
    seats = tuple(seated(MemberId(name), NET.party(name).public) for name in names)
    COMMITTEES.put(state, NET.committee, Committee(epoch=before.epoch + 1, seats=seats))
    return state


def anchored(*batch_ids: bytes) -> State:
    """Mercy's batches, with four of five members seated."""
    state = seat(founded(NET), *FOUR)
    for batch_id in batch_ids:
        anchor(state, context(NET), NET.anchor("mercy", batch_id, good_until=GOOD_UNTIL, seats=(1, 2, 3), epoch=2))
    return state


def grown(*batch_ids: bytes) -> State:
    """As `anchored`, with the fifth member seated since: epoch 3."""
    return seat(anchored(*batch_ids or (OLD,)), *FIVE)


def word(
    batch_id: bytes = OLD,
    *,
    author: str = "mercy",
    seats: Sequence[int] | None = None,
    epoch: int = 3,
    holders: Sequence[str] = FIVE,
    good_until: int = GOOD_UNTIL,
) -> Attest:
    return NET.attest(author, batch_id, good_until=good_until, holders=holders, seats=seats, epoch=epoch)


def act(state: State, msg: Attest, sponsor: str = "mercy") -> None:
    attest(state, context(NET, sponsor, height=5), msg)


def dealt(state: State | None = None, **how: object) -> State:
    after = grown() if state is None else state
    act(after, word(**how))  # type: ignore[arg-type]
    return after


def departed(state: State) -> State:
    """Mercy went; lakeside has succeeded it."""
    MEMBERS.delete(state, MERCY)
    AUTHORSHIPS.put(state, MERCY, Authorship(successor=LAKESIDE, height=2, jurisdiction="us"))
    return state


FORGED = SeatReceipt(seat=5, good_until=GOOD_UNTIL, signature=bytes(64))
BEYOND = SeatReceipt(seat=6, good_until=GOOD_UNTIL, signature=bytes(64))
SHORT = word().receipts[:-1]
NAMED = replace(word(), author=MERCY)
ONE_TOO_MANY = replace(word(), receipts=(*word().receipts, FORGED))
LONGER = tuple(replace(receipt, good_until=GOOD_UNTIL + 1) for receipt in word().receipts)


@dataclass(frozen=True)
class Row:
    """A word that a state must refuse."""

    why: str
    state: State
    msg: Attest
    error: type[RefusalError]
    sponsor: str = "mercy"


REFUSALS = [
    Row("falling seats", grown(), word(seats=(1, 2, 4, 3)), ReceiptsOutOfOrderError),
    Row("one seat twice", grown(), word(seats=(1, 1, 2, 3)), ReceiptsOutOfOrderError),
    Row("order before end", grown(), word(seats=(2, 1), good_until=STARTED), ReceiptsOutOfOrderError),
    Row("receipts end early", grown(), word(good_until=GOOD_UNTIL - 1), ReceiptEndsEarlyError),
    Row("message before state", grown(), word(OTHER, good_until=GOOD_UNTIL - 1), ReceiptEndsEarlyError),
    Row("no such batch", grown(), word(OTHER), BatchNotFoundError),
    Row("a stranger's word", grown(), word(), BatchNotFoundError, "lakeside"),
    Row("a stranger's word that names the author", grown(), NAMED, BatchNotFoundError, "lakeside"),
    Row("a successor that does not name the author", departed(grown()), word(), BatchNotFoundError, "lakeside"),
    Row("one that did not succeed the author", departed(grown()), NAMED, BatchNotFoundError, "st-luke"),
    Row("batch before epoch", grown(), word(OTHER, epoch=4), BatchNotFoundError),
    Row("an epoch to come", grown(), word(epoch=4), StaleEpochError),
    Row("an epoch gone by", seat(grown(), *TURNED), word(), StaleEpochError),
    Row("a replay at the next epoch", seat(dealt(), *TURNED), word(), StaleEpochError),
    Row("the epoch of the anchor", anchored(OLD), word(epoch=2, holders=FOUR), AttestedBeforeError),
    Row("the same word twice", dealt(), word(), AttestedBeforeError),
    Row("another share root at the same epoch", dealt(), replace(word(), share_root=bytes(32)), AttestedBeforeError),
    Row("attested before seats", dealt(), replace(word(), receipts=(BEYOND,)), AttestedBeforeError),
    Row("an unknown seat", grown(), replace(word(), receipts=(*SHORT, BEYOND)), UnknownSeatError),
    Row("seat before count", grown(), replace(word(), receipts=(BEYOND,)), UnknownSeatError),
    Row("one receipt short of a quorum", grown(), replace(word(), receipts=SHORT), TooFewReceiptsError),
    Row("a quorum of the former committee", grown(), word(seats=(1, 2, 3)), TooFewReceiptsError),
    Row("no receipts", grown(), replace(word(), receipts=()), TooFewReceiptsError),
    Row("count before signature", grown(), replace(word(), receipts=(FORGED,)), TooFewReceiptsError),
    Row("a forged receipt", grown(), replace(word(), receipts=(*SHORT, FORGED)), BadReceiptError),
    Row("a forged receipt beyond the quorum", grown(), ONE_TOO_MANY, BadReceiptError),
    Row("a receipt made longer", grown(), replace(word(), receipts=LONGER), BadReceiptError),
    Row("receipts of another epoch", grown(), replace(word(epoch=4), epoch=3), BadReceiptError),
    Row("receipts of the anchor's epoch", grown(), replace(word(epoch=2), epoch=3), BadReceiptError),
    Row("receipts of another batch", grown(OLD, OTHER), replace(word(OTHER), batch_id=OLD), BadReceiptError),
    Row("another share root than the receipts'", grown(), replace(word(), share_root=bytes(32)), BadReceiptError),
    Row("the former holders' receipts", seat(anchored(OLD), *TURNED), word(holders=FIVE), BadReceiptError),
    Row("receipts for another author", grown(), word(author="lakeside"), BadReceiptError),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_attest_refuses(row: Row) -> None:
    assert_refused(row.state, lambda: act(row.state, row.msg, row.sponsor), row.error)


def test_a_batch_is_dealt_to_the_new_epoch_and_its_records_stay_as_they_were() -> None:
    state = grown()
    before = batch_of(state, MERCY, OLD)
    act(state, word(seats=(1, 2, 4, 5)))
    assert batch_of(state, MERCY, OLD) == before
    first, second = dealings_of(state, MERCY, OLD)
    assert (first.epoch, first.seats, first.height) == (2, 0b111, 1)
    assert (second.epoch, second.share_root, second.height) == (3, word().share_root, 5)
    assert [seat for seat in (1, 2, 3, 4, 5, 63) if second.is_signed_by(seat)] == [1, 2, 4, 5]
    assert dealing_of(state, MERCY, OLD) == second
    assert sound(state)


def test_where_no_batch_is_there_is_no_dealing() -> None:
    assert (dealing_of(grown(), MERCY, OTHER), dealings_of(grown(), MERCY, OTHER)) == (None, ())


def test_the_former_committee_counts_what_is_not_dealt_again() -> None:
    state = grown(OLD, OTHER)
    assert [epoch for epoch, _ in former(state, NET.committee)] == [2]
    assert [dealt_at(state, NET.committee, epoch) for epoch in (1, 2, 3)] == [0, 2, 0]
    act(state, word())
    assert [dealt_at(state, NET.committee, epoch) for epoch in (1, 2, 3)] == [0, 1, 1]
    act(state, word(OTHER))
    assert [dealt_at(state, NET.committee, epoch) for epoch in (1, 2, 3)] == [0, 0, 2]
    assert former(state, NET.committee) == ()
    assert sound(state)


def test_an_epoch_may_be_left_out() -> None:
    state = seat(grown(), *TURNED)
    act(state, word(epoch=4, holders=TURNED))
    assert [one.epoch for one in dealings_of(state, MERCY, OLD)] == [2, 4]
    assert sound(state)


def test_a_batch_is_dealt_at_epoch_after_epoch() -> None:
    state = seat(dealt(), *TURNED)
    act(state, word(epoch=4, holders=TURNED))
    assert [one.epoch for one in dealings_of(state, MERCY, OLD)] == [2, 3, 4]
    assert sound(state)


def test_a_successor_says_so_for_a_departed_author() -> None:
    state = departed(grown())
    act(state, NAMED, "lakeside")
    assert [one.epoch for one in dealings_of(state, MERCY, OLD)] == [2, 3]
    assert sound(state)


def sound(state: State) -> bool:
    return [found for invariant in INVARIANTS for found in invariant(state)] == []
