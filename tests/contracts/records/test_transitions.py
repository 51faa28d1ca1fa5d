"""Records: one row per refusal in checking order, which of two wins, and what each message does."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from salus.contracts.members.messages import Committee
from salus.contracts.members.tables import AUTHORSHIPS, COMMITTEES, MEMBERS, Authorship
from salus.contracts.records.errors import (
    AlreadyOverriddenError,
    AlreadyWithdrawnError,
    BadReceiptError,
    BatchExistsError,
    BatchNotFoundError,
    CommitteeNotFoundError,
    ReceiptEndsEarlyError,
    ReceiptsOutOfOrderError,
    StaleEpochError,
    TargetInOwnBatchError,
    TargetTwiceError,
    TooFewReceiptsError,
    UnknownSeatError,
)
from salus.contracts.records.invariants import successors_come_later
from salus.contracts.records.messages import Anchor, SeatReceipt, Supersede, Withdraw
from salus.contracts.records.reads import batch_of, fate_of, is_current
from salus.contracts.records.tables import Batch, Fate, Override, Successor
from salus.contracts.records.transitions import anchor, withdraw
from salus.core.errors import RefusalError
from salus.core.ids import HOUR_MS, MemberId
from salus.core.wire import replace
from salus.state.state import State
from tests.support.network import STARTED, context, founded, network
from tests.support.refusals import assert_refused

NET = network(4)
MERCY = MemberId("mercy")
GOOD_UNTIL = STARTED + HOUR_MS  # Exactly the `valid_until` of the context's transaction.
OLD, NEW, NEWER, NONE = (NET.id16("batch", name) for name in ("old", "new", "newer", "none"))


def batch(
    batch_id: bytes,
    *supersedes: Supersede,
    author: str = "mercy",
    good_until: int = GOOD_UNTIL,
    seats: Sequence[int] = (1, 2, 3),
    epoch: int = 1,
) -> Anchor:
    return NET.anchor(author, batch_id, good_until=good_until, seats=seats, supersedes=supersedes, epoch=epoch)


def over(batch_id: bytes, index: int = 7, successor_index: int = 0) -> Supersede:
    return Supersede(batch_id=batch_id, index=index, successor_index=successor_index)


def act(state: State, msg: Anchor | Withdraw, sponsor: str = "mercy") -> None:
    if isinstance(msg, Anchor):
        anchor(state, context(NET, sponsor), msg)
    else:
        withdraw(state, context(NET, sponsor), msg)


def standing(*messages: Anchor | Withdraw) -> State:
    """A state after these messages of mercy's."""
    state = founded(NET)
    for message in messages:
        act(state, message)
    return state


def next_epoch(state: State) -> State:
    """The same state with the committee one epoch on."""
    committee = COMMITTEES.get(state, NET.committee)
    assert committee is not None
    COMMITTEES.put(state, NET.committee, Committee(epoch=2, seats=committee.seats))
    return state


FORGED = SeatReceipt(seat=3, good_until=GOOD_UNTIL, signature=bytes(64))
BEYOND = SeatReceipt(seat=5, good_until=GOOD_UNTIL, signature=bytes(64))
SHORT = batch(NEW, seats=(1, 2)).receipts
WITHDRAW = Withdraw(batch_id=OLD, index=7)
DOUBLED = batch(NEW, over(OLD), over(OLD, successor_index=1))
THEIRS = batch(NEW, over(OLD), author="lakeside")
CORRECTED = standing(batch(OLD), batch(NEW, over(OLD)))
NEITHER = replace(batch(NEW, over(NONE)), receipts=(*SHORT, FORGED))
ONE_TOO_MANY = replace(batch(NEW), receipts=(*batch(NEW).receipts, replace(FORGED, seat=4)))
LONGER = tuple(replace(receipt, good_until=GOOD_UNTIL + 1) for receipt in batch(NEW).receipts)


NAMED = batch(NEW, replace(over(OLD), author=MERCY), author="lakeside")
NAMED_BY_ST_LUKE = batch(NEW, replace(over(OLD), author=MERCY), author="st-luke")
NAMED_AGAIN = batch(NEWER, replace(over(OLD), author=MERCY), author="lakeside")
NAMED_TWICE = batch(NEW, replace(over(OLD), author=MERCY), replace(over(OLD), author=MERCY), author="lakeside")
NAMED_WITHDRAW = replace(WITHDRAW, author=MERCY)


def inherited() -> State:
    """Mercy anchored `OLD` and went; lakeside has succeeded it."""
    state = standing(batch(OLD))
    MEMBERS.delete(state, MERCY)
    AUTHORSHIPS.put(state, MERCY, Authorship(successor=MemberId("lakeside"), height=2, jurisdiction="us"))
    return state


def taken_over() -> State:
    state = inherited()
    act(state, NAMED, "lakeside")
    return state


INHERITED, TAKEN_OVER = inherited(), taken_over()


@dataclass(frozen=True)
class Row:
    """A message that a state must refuse."""

    why: str
    state: State
    msg: Anchor | Withdraw
    error: type[RefusalError]
    sponsor: str = "mercy"


REFUSALS = [
    Row("falling seats", founded(NET), batch(NEW, seats=(1, 3, 2)), ReceiptsOutOfOrderError),
    Row("one seat twice", founded(NET), batch(NEW, seats=(1, 1, 2)), ReceiptsOutOfOrderError),
    Row("order before end", founded(NET), batch(NEW, seats=(2, 1), good_until=STARTED), ReceiptsOutOfOrderError),
    Row("receipts end early", founded(NET), batch(NEW, good_until=GOOD_UNTIL - 1), ReceiptEndsEarlyError),
    Row("a target in its own batch", founded(NET), batch(NEW, over(NEW)), TargetInOwnBatchError),
    Row("a target twice", standing(batch(OLD)), DOUBLED, TargetTwiceError),
    Row("message before state", standing(batch(NEW)), batch(NEW, over(NEW)), TargetInOwnBatchError),
    Row("a batch id twice", standing(batch(OLD)), batch(OLD), BatchExistsError),
    Row("id before committee", standing(batch(OLD)), replace(batch(OLD), committee=NONE), BatchExistsError),
    Row("no such committee", founded(NET), replace(batch(NEW), committee=NONE), CommitteeNotFoundError),
    Row("an epoch to come", founded(NET), batch(NEW, epoch=2), StaleEpochError),
    Row("an epoch gone by", next_epoch(founded(NET)), batch(NEW), StaleEpochError),
    Row("an unknown seat", founded(NET), replace(batch(NEW), receipts=(*SHORT, BEYOND)), UnknownSeatError),
    Row("seat before count", founded(NET), replace(batch(NEW), receipts=(BEYOND,)), UnknownSeatError),
    Row("one receipt short of a quorum", founded(NET), replace(batch(NEW), receipts=SHORT), TooFewReceiptsError),
    Row("no receipts", founded(NET), replace(batch(NEW), receipts=()), TooFewReceiptsError),
    Row("count before targets", founded(NET), batch(NEW, over(NONE), seats=(1, 2)), TooFewReceiptsError),
    Row("a target nowhere", founded(NET), batch(NEW, over(NONE)), BatchNotFoundError),
    Row("another's target", standing(batch(OLD)), THEIRS, BatchNotFoundError, "lakeside"),
    Row("a target superseded before", CORRECTED, batch(NEWER, over(OLD)), AlreadyOverriddenError),
    Row("a target withdrawn before", standing(batch(OLD), WITHDRAW), batch(NEW, over(OLD)), AlreadyOverriddenError),
    Row("target before signature", founded(NET), NEITHER, BatchNotFoundError),
    Row("a forged receipt", founded(NET), replace(batch(NEW), receipts=(*SHORT, FORGED)), BadReceiptError),
    Row("a forged receipt beyond the quorum", founded(NET), ONE_TOO_MANY, BadReceiptError),
    Row("a receipt made longer", founded(NET), replace(batch(NEW), receipts=LONGER), BadReceiptError),
    Row("another's receipts", founded(NET), batch(NEW), BadReceiptError, "lakeside"),
    Row("receipts of another batch", founded(NET), replace(batch(NEW), receipts=batch(OLD).receipts), BadReceiptError),
    Row("another root", founded(NET), replace(batch(NEW), root=bytes(32)), BadReceiptError),
    Row("another share root", founded(NET), replace(batch(NEW), share_root=bytes(32)), BadReceiptError),
    Row("a target of a member that is here", standing(batch(OLD)), NAMED, BatchNotFoundError, "lakeside"),
    Row("a target of one that another succeeded", INHERITED, NAMED_BY_ST_LUKE, BatchNotFoundError, "st-luke"),
    Row("an inherited target twice", INHERITED, NAMED_TWICE, TargetTwiceError, "lakeside"),
    Row("an inherited target superseded before", TAKEN_OVER, NAMED_AGAIN, AlreadyOverriddenError, "lakeside"),
    Row("an inherited target under the own name", INHERITED, THEIRS, BatchNotFoundError, "lakeside"),
    Row("withdraw of a member that is here", standing(batch(OLD)), NAMED_WITHDRAW, BatchNotFoundError, "lakeside"),
    Row("withdraw of one that another succeeded", INHERITED, NAMED_WITHDRAW, BatchNotFoundError, "st-luke"),
    Row("withdraw from nowhere", founded(NET), WITHDRAW, BatchNotFoundError),
    Row("withdraw another's", standing(batch(OLD)), WITHDRAW, BatchNotFoundError, "lakeside"),
    Row("withdraw twice", standing(batch(OLD), WITHDRAW), WITHDRAW, AlreadyWithdrawnError),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_records_refuse(row: Row) -> None:
    assert_refused(row.state, lambda: act(row.state, row.msg, row.sponsor), row.error)


def test_an_anchor_that_superseded_cannot_be_replayed() -> None:
    state = standing(batch(OLD), batch(NEW, over(OLD)))
    assert_refused(state, lambda: act(state, batch(NEW, over(OLD))), BatchExistsError)


def test_anchor_makes_a_batch_final_under_its_author() -> None:
    state = standing(batch(OLD))
    message = batch(OLD)
    assert batch_of(state, MERCY, OLD) == Batch(
        root=message.root, share_root=message.share_root, committee=NET.committee, epoch=1, height=1, seats=0b111
    )
    assert batch_of(state, MemberId("lakeside"), OLD) is None
    assert is_current(state, MERCY, OLD, 0)


def test_two_authors_may_use_one_batch_id() -> None:
    state = standing(batch(OLD))
    act(state, batch(OLD, author="lakeside"), "lakeside")
    assert batch_of(state, MemberId("lakeside"), OLD) is not None


def test_a_superseded_version_names_its_successor_and_counts_no_more() -> None:
    state = standing(batch(OLD), batch(NEW, over(OLD, 7, 1023)))
    assert fate_of(state, MERCY, OLD, 7) == Override(Fate.SUPERSEDED, Successor(batch_id=NEW, index=1023))
    assert not is_current(state, MERCY, OLD, 7)
    assert is_current(state, MERCY, OLD, 8)
    assert is_current(state, MERCY, NEW, 1023)


def test_a_superseded_version_can_be_withdrawn_and_keeps_its_successor() -> None:
    state = standing(batch(OLD), batch(NEW, over(OLD)), WITHDRAW)
    assert fate_of(state, MERCY, OLD, 7) == Override(Fate.WITHDRAWN, Successor(batch_id=NEW, index=0))


def test_a_withdrawn_version_has_no_successor() -> None:
    state = standing(batch(OLD), WITHDRAW)
    assert fate_of(state, MERCY, OLD, 7) == Override(Fate.WITHDRAWN, None)
    assert not is_current(state, MERCY, OLD, 7)


def test_nothing_is_current_where_no_batch_is() -> None:
    assert not is_current(founded(NET), MERCY, OLD, 0)


def test_a_quorum_that_is_not_the_first_seats_is_a_quorum() -> None:
    assert is_current(standing(batch(OLD, seats=(1, 3, 4))), MERCY, OLD, 0)


def test_the_ledger_remembers_whose_receipts_were_anchored() -> None:
    anchored = batch_of(standing(batch(OLD, seats=(1, 3, 4))), MERCY, OLD)
    assert anchored is not None
    assert [seat for seat in (1, 2, 3, 4, 5, 63, 255) if anchored.is_signed_by(seat)] == [1, 3, 4]


def test_a_successor_supersedes_what_a_departed_member_authored() -> None:
    state = taken_over()
    fate = fate_of(state, MERCY, OLD, 7)
    assert fate == Override(Fate.SUPERSEDED, Successor(batch_id=NEW, index=0, author=MemberId("lakeside")))
    assert is_current(state, MemberId("lakeside"), NEW, 0)
    assert list(successors_come_later(state)) == []


def test_a_successor_may_use_the_batch_id_of_what_it_supersedes() -> None:
    state = inherited()
    act(state, batch(OLD, replace(over(OLD), author=MERCY), author="lakeside"), "lakeside")
    assert not is_current(state, MERCY, OLD, 7)
    assert list(successors_come_later(state)) == []


def test_a_successor_withdraws_what_a_departed_member_authored() -> None:
    state = inherited()
    act(state, NAMED_WITHDRAW, "lakeside")
    assert fate_of(state, MERCY, OLD, 7) == Override(Fate.WITHDRAWN, None)


def test_naming_oneself_is_naming_nobody() -> None:
    state = standing(batch(OLD), batch(NEW, replace(over(OLD), author=MERCY)))
    assert fate_of(state, MERCY, OLD, 7) == Override(Fate.SUPERSEDED, Successor(batch_id=NEW, index=0))
