"""Nobody goes whose shares are needed: batches count at the epoch to whose holders they were dealt last."""

import pytest

from salus.contracts.members.messages import RemoveMember
from salus.contracts.members.reads import dealt_at, former, member_of
from salus.contracts.members.tables import Standing
from salus.contracts.records.messages import Attest
from salus.core.ids import HOUR_MS, MemberId
from salus.core.wire import replace
from salus.machine.block import ACCEPTED
from salus.machine.invariants import invariants
from tests.support.governance import decide, proposal_id, propose, seats, with_party
from tests.support.network import Ledger, network

NET = network(4)
BATCH, SECOND = NET.id16("batch"), NET.id16("second batch")
MERCY, LAKESIDE, NORTHGATE = MemberId("mercy"), MemberId("lakeside"), MemberId("northgate")
THREE, TWO = ("mercy", "st-luke", "lakeside"), ("mercy", "st-luke")


def removal(member: MemberId, successor: MemberId = MERCY) -> RemoveMember:
    return RemoveMember(member=member, version=0, successor=successor)


def with_batch(*batch_ids: bytes) -> Ledger:
    ledger = Ledger(NET)
    for batch_id in batch_ids or (BATCH,):
        assert ledger.send("mercy", NET.anchor("mercy", batch_id, good_until=ledger.time + HOUR_MS)) == ACCEPTED
    return ledger


def attested(ledger: Ledger, batch_id: bytes, epoch: int, *holders: str) -> None:
    word: Attest = NET.attest("mercy", batch_id, good_until=ledger.time + HOUR_MS, holders=holders, epoch=epoch)
    assert ledger.send("mercy", word) == ACCEPTED


def without_northgate() -> Ledger:
    """Northgate went; mercy's batch lies at the first epoch, of whose four holders three are left: what it needs."""
    ledger = with_batch()
    decide(ledger, seats(NET, *THREE), removal(NORTHGATE))
    assert member_of(ledger.state, NORTHGATE) is None
    ledger.network = with_party(NET, without=("northgate",))
    return ledger


def test_nobody_goes_whose_shares_are_needed() -> None:
    ledger = without_northgate()
    said = ledger.send("mercy", propose(proposal_id("go"), seats(NET, *TWO, epoch=2), removal(LAKESIDE)))
    assert said == "members.shares_held"
    assert member_of(ledger.state, LAKESIDE) is not None


def test_a_seat_may_move_from_one_whose_shares_are_needed() -> None:
    ledger = without_northgate()
    assert decide(ledger, seats(NET, *TWO, epoch=2)).standing is Standing.EXECUTED
    assert [epoch for epoch, _ in former(ledger.state, NET.committee)] == [1]
    assert ledger.send("mercy", propose(proposal_id("go"), removal(LAKESIDE))) == "members.shares_held"


def test_one_goes_once_its_shares_are_dealt_to_others() -> None:
    ledger = without_northgate()
    attested(ledger, BATCH, 2, *THREE)
    assert decide(ledger, seats(NET, *TWO, epoch=2), name="seats").standing is Standing.EXECUTED
    attested(ledger, BATCH, 3, *TWO)
    gone = decide(ledger, removal(LAKESIDE))
    assert (gone.standing, member_of(ledger.state, LAKESIDE)) == (Standing.EXECUTED, None)
    assert list(invariants(ledger.state)) == []


def test_one_batch_that_is_left_behind_is_enough_to_stay_for() -> None:
    ledger = with_batch(BATCH, SECOND)
    decide(ledger, seats(NET, *THREE), removal(NORTHGATE))
    ledger.network = with_party(NET, without=("northgate",))
    attested(ledger, BATCH, 2, *THREE)
    assert [dealt_at(ledger.state, NET.committee, epoch) for epoch in (1, 2)] == [1, 1]
    said = ledger.send("mercy", propose(proposal_id("go"), seats(NET, *TWO, epoch=2), removal(LAKESIDE)))
    assert said == "members.shares_held"


def test_a_member_whose_shares_nobody_needs_goes_at_once() -> None:
    """Three of four are enough, so the first one to go asks nobody."""
    assert member_of(without_northgate().state, NORTHGATE) is None


@pytest.mark.parametrize("batches", [1, 2])
def test_a_committee_where_nothing_lies_holds_nobody(batches: int) -> None:
    ledger = with_batch(*(BATCH, SECOND)[:batches])
    decide(ledger, seats(NET, *THREE), name="three")
    for batch_id in (BATCH, SECOND)[:batches]:
        attested(ledger, batch_id, 2, *THREE)
    assert former(ledger.state, NET.committee) == ()
    assert decide(ledger, removal(NORTHGATE), name="gone").standing is Standing.EXECUTED
    assert list(invariants(ledger.state)) == []


def test_a_word_for_a_batch_that_is_not_the_sponsors_moves_nothing() -> None:
    ledger = with_batch()
    decide(ledger, seats(NET, *THREE))
    word = NET.attest("mercy", BATCH, good_until=ledger.time + HOUR_MS, holders=THREE)
    assert ledger.send("lakeside", word) == "records.batch_not_found"
    assert ledger.send("lakeside", replace(word, author=MERCY)) == "records.batch_not_found"
    assert [dealt_at(ledger.state, NET.committee, epoch) for epoch in (1, 2)] == [1, 0]
