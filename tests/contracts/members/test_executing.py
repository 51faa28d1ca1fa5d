"""Counting, carrying out, suspending: what must not be possible first, then what follows from votes and evidence."""

import pytest

from salus.contracts.members.executing import CONSIDERED_MAX, is_approved, is_rejected, suspend
from salus.contracts.members.governing import OPEN_MS
from salus.contracts.members.messages import (
    Misbehaviour,
    NewCommittee,
    Offence,
    Reinstate,
    RemoveMember,
    SetQuota,
    SetValidator,
    Upgrade,
)
from salus.contracts.members.reads import (
    evidence_of,
    governors,
    members_of,
    proposals,
    quota_of,
    suspension_of,
    undecided,
    validators,
)
from salus.contracts.members.tables import PENDING, PROPOSALS, Pending, Proposal, Standing, Suspension
from salus.core.ids import HOUR_MS, MemberId
from salus.machine.invariants import invariants
from salus.state.state import State
from tests.support.governance import (
    add,
    approve,
    decide,
    entry,
    epoch,
    joiner,
    proposal_id,
    propose,
    reject,
    seats,
    standing,
)
from tests.support.network import Ledger, founded, network
from tests.support.refusals import everything

NET = network(4)
MERCY, NORTHGATE = MemberId("mercy"), MemberId("northgate")
ID, OTHER = proposal_id("one"), proposal_id("other")


def quota(quota_bytes: int = 20_000, version: int = 0) -> SetQuota:
    return SetQuota(member=MERCY, version=version, quota_bytes=quota_bytes)


def removal(member: str, version: int = 0) -> RemoveMember:
    return RemoveMember(member=MemberId(member), version=version, successor=MERCY)


def twice(member: str = "northgate", height: int = 3, offence: Offence = Offence.DUPLICATE_VOTE) -> Misbehaviour:
    return Misbehaviour(validator=MemberId(member), offence=offence, height=height)


def shown(state: State, *members: str) -> State:
    for number, member in enumerate(members):
        suspend(state, twice(member, height=number), height=9)
    return state


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(NET)


# What must not be possible.


def test_half_of_the_members_remove_nobody(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, seats(NET, "mercy", "st-luke"), removal("lakeside"), removal("northgate")))
    ledger.send("st-luke", approve(ID))
    assert standing(ledger.state, ID).standing is Standing.OPEN
    assert len(members_of(ledger.state)) == 4


@pytest.mark.parametrize("members", range(1, 11))
def test_two_thirds_are_too_few_and_one_more_is_enough(members: int) -> None:
    enough = 2 * members // 3 + 1
    assert is_approved(enough, members)
    assert not is_approved(enough - 1, members)


@pytest.mark.parametrize("members", range(1, 11))
def test_a_proposal_is_rejected_exactly_when_it_cannot_be_approved_any_more(members: int) -> None:
    for rejections in range(members + 1):
        assert is_rejected(rejections, members) is not is_approved(members - rejections, members)


def test_a_removed_members_old_vote_does_not_count(ledger: Ledger) -> None:
    """Two of three would not be enough; with the vote of the one that is gone it would be three of four."""
    ledger.send("northgate", propose(ID, quota()))
    ledger.send("mercy", approve(ID))
    decide(ledger, seats(NET, "mercy", "st-luke", "lakeside"), removal("northgate"))
    ledger.send("st-luke", approve(ID))
    assert standing(ledger.state, ID).standing is Standing.OPEN


def test_a_suspended_members_vote_does_not_count_either(ledger: Ledger) -> None:
    ledger.send("northgate", propose(ID, quota()))
    ledger.send("mercy", approve(ID))
    ledger.block(misbehaviour=(twice(),))
    ledger.send("st-luke", approve(ID))
    assert standing(ledger.state, ID).standing is Standing.OPEN
    ledger.send("lakeside", approve(ID))
    assert standing(ledger.state, ID).standing is Standing.EXECUTED


def test_a_vote_in_the_block_that_suspends_its_member_is_refused(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, quota()))
    tx = ledger.tx("northgate", approve(ID))
    assert ledger.block(tx, misbehaviour=(twice(),)).results[0].code == "members.suspended"


def test_of_two_proposals_about_one_thing_the_second_fails_whole(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, quota(20_000)))
    ledger.send("mercy", propose(OTHER, add(), quota(30_000)))
    ledger.block(*[ledger.tx(member, approve(ID), approve(OTHER)) for member in ("st-luke", "lakeside")])
    first, second = standing(ledger.state, ID), standing(ledger.state, OTHER)
    assert (first.standing, first.code) == (Standing.EXECUTED, "")
    assert (second.standing, second.code) == (Standing.FAILED, "members.stale_version")
    assert quota_of(ledger.state, MERCY) == 20_000
    assert joiner().member not in members_of(ledger.state)  # Its first change is taken back.
    assert list(invariants(ledger.state)) == []


def test_of_two_joiners_with_one_name_the_second_stays_out(ledger: Ledger) -> None:
    for id, seed in ((ID, b"one"), (OTHER, b"two")):
        ledger.send("mercy", propose(id, add(joiner(seed=seed))))
    for member in ("st-luke", "lakeside"):
        ledger.send(member, approve(ID), approve(OTHER))
    assert standing(ledger.state, OTHER).standing is Standing.OPEN  # Three of five by now.
    ledger.send("northgate", approve(OTHER))
    assert standing(ledger.state, OTHER).code == "members.member_twice"
    assert entry(ledger.state, joiner().member).keys == joiner(seed=b"one").public


def test_an_upgrade_whose_height_passes_during_the_vote_fails(ledger: Ledger) -> None:
    assert decide(ledger, Upgrade(2, 3)).code == "members.height_passed"


def test_a_seat_that_is_given_away_meanwhile_stops_a_removal(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, seats(NET, "mercy", "st-luke", "lakeside"), removal("northgate")))
    decide(ledger, NewCommittee(NET.id16("second"), (NORTHGATE,)))
    for member in ("st-luke", "lakeside"):
        ledger.send(member, approve(ID))
    assert standing(ledger.state, ID).code == "members.seat_held"
    assert epoch(ledger.state, NET) == 1


def test_a_block_without_transactions_decides_nothing(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, quota()))
    root = ledger.app_hash
    ledger.block(after_ms=OPEN_MS)
    assert ledger.app_hash == root
    assert standing(ledger.state, ID).standing is Standing.OPEN


def test_evidence_about_half_of_the_validators_leaves_the_network_to_no_few() -> None:
    """With two of four suspended, two would decide alone: the second stays, its evidence stands."""
    state = shown(founded(NET), "mercy", "st-luke")
    assert suspension_of(state, MERCY) is not None
    assert suspension_of(state, MemberId("st-luke")) is None
    assert len(evidence_of(state, MemberId("st-luke"))) == 1
    assert len(validators(state)) == 3


@pytest.mark.parametrize("members", range(1, 14))
def test_more_than_two_thirds_of_the_validators_are_never_suspended(members: int) -> None:
    net = network(members)
    names = [party.member for party in net.parties]
    state = shown(founded(net), *names)
    assert len(validators(state)) == members - (members - 1) // 3
    assert 3 * len(governors(state)) > 2 * members


def test_evidence_that_was_dealt_with_suspends_nobody_again(ledger: Ledger) -> None:
    ledger.block(misbehaviour=(twice(),))
    decide(ledger, Reinstate(member=NORTHGATE, version=0))
    ledger.block(misbehaviour=(twice(),))
    assert suspension_of(ledger.state, NORTHGATE) is None
    ledger.block(misbehaviour=(twice(height=4),))
    assert suspension_of(ledger.state, NORTHGATE) is not None


def test_evidence_about_a_stranger_stops_nothing() -> None:
    state = shown(founded(NET), "stranger")
    assert suspension_of(state, MemberId("stranger")) is None
    assert len(validators(state)) == 4


# What follows from votes.


def test_a_proposal_is_executed_in_the_block_of_the_deciding_vote(ledger: Ledger) -> None:
    done = decide(ledger, quota())
    assert (done.standing, done.decided) == (Standing.EXECUTED, ledger.height)
    assert done.approvals == ("mercy", "st-luke", "lakeside")
    assert quota_of(ledger.state, MERCY) == 20_000
    assert undecided(ledger.state) == ()
    assert ledger.send("northgate", approve(proposal_id("", 0))) == "members.proposal_closed"


def test_a_lone_member_decides_by_proposing() -> None:
    alone = Ledger(network(1))
    assert decide(alone, quota(), by=("mercy",)).standing is Standing.EXECUTED


def test_an_accepted_proposal_waits_for_its_height_and_then_for_a_transaction(ledger: Ledger) -> None:
    waits = decide(ledger, quota(), activate_at=6)
    assert waits.standing is Standing.ACCEPTED
    ledger.send("mercy", NET.create(NET.id16("4")))
    ledger.send("mercy", NET.create(NET.id16("5")))
    assert quota_of(ledger.state, MERCY) != 20_000
    ledger.block()  # The sixth, empty.
    assert quota_of(ledger.state, MERCY) != 20_000
    ledger.send("mercy", NET.create(NET.id16("7")))
    assert quota_of(ledger.state, MERCY) == 20_000


def test_an_accepted_proposal_does_not_expire_while_it_waits(ledger: Ledger) -> None:
    decide(ledger, quota(), activate_at=5)
    ledger.block(after_ms=2 * OPEN_MS)
    ledger.send("mercy", NET.create(NET.id16("late")))
    assert quota_of(ledger.state, MERCY) == 20_000


def test_a_proposal_expires_with_the_first_transaction_after_seven_days(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, quota()))
    ledger.block(ledger.tx("mercy", NET.create(NET.id16("a"))), after_ms=OPEN_MS - 1)
    assert standing(ledger.state, ID).standing is Standing.OPEN
    ledger.block(ledger.tx("mercy", NET.create(NET.id16("b"))), after_ms=1)
    assert standing(ledger.state, ID).standing is Standing.EXPIRED
    assert undecided(ledger.state) == ()


def test_a_third_or_more_against_it_ends_a_proposal(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, quota()))
    ledger.send("st-luke", reject(ID))
    assert standing(ledger.state, ID).standing is Standing.OPEN
    ledger.send("lakeside", reject(ID))
    assert standing(ledger.state, ID).standing is Standing.REJECTED


def test_a_failed_proposal_leaves_the_state_as_if_it_had_not_been_tried(ledger: Ledger) -> None:
    ledger.send("mercy", propose(ID, add(), seats(NET, "mercy"), Upgrade(2, 3)))
    ledger.send("st-luke", approve(ID))
    before = everything(ledger.state)
    ledger.send("lakeside", approve(ID))
    after = everything(ledger.state)
    assert standing(ledger.state, ID).standing is Standing.FAILED
    named = {PROPOSALS.key_bytes(ID), PENDING.key_bytes((1, ID))}
    assert {key for key in before | after if before.get(key) != after.get(key)} == named


def test_no_block_considers_more_than_its_share(ledger: Ledger) -> None:
    state = ledger.state
    old = Proposal(MERCY, (quota(),), 0, 1, 0, (MERCY,), (), Standing.OPEN, 0, "")
    for number in range(CONSIDERED_MAX + 5):
        id = proposal_id("many", number)
        PROPOSALS.put(state, id, old)
        PENDING.put(state, (1, id), Pending())
    state.commit()
    ledger.send("mercy", NET.create(NET.id16("cell")))
    assert len(undecided(ledger.state)) == 5


# What follows from evidence.


def test_a_validator_that_signed_twice_is_suspended_and_members_see_why(ledger: Ledger) -> None:
    before = ledger.block().validators
    applied = ledger.block(misbehaviour=(twice(height=0),))
    assert suspension_of(ledger.state, NORTHGATE) == Suspension(Offence.DUPLICATE_VOTE, 0, 2)
    assert NORTHGATE not in dict(validators(ledger.state))
    assert NORTHGATE in members_of(ledger.state)
    assert applied.validators != before
    assert list(invariants(ledger.state)) == []


def test_a_suspended_member_still_sponsors_and_may_be_let_go(ledger: Ledger) -> None:
    ledger.block(misbehaviour=(twice(),))
    assert ledger.send("northgate", NET.create(NET.id16("cell"))) == "ok"
    done = decide(ledger, seats(NET, "mercy", "st-luke", "lakeside"), removal("northgate"))
    assert done.standing is Standing.EXECUTED
    assert suspension_of(ledger.state, NORTHGATE) is None
    assert len(evidence_of(ledger.state, NORTHGATE)) == 1


def test_a_member_is_reinstated_by_vote_and_its_evidence_stays(ledger: Ledger) -> None:
    ledger.block(misbehaviour=(twice(),))
    done = decide(ledger, Reinstate(member=NORTHGATE, version=0))
    assert done.standing is Standing.EXECUTED
    assert NORTHGATE in dict(validators(ledger.state))
    [(height, evidence)] = evidence_of(ledger.state, NORTHGATE)
    assert (height, evidence.offence, evidence.reported) == (3, Offence.DUPLICATE_VOTE, 1)


def test_a_validator_that_stepped_down_is_not_counted_among_those_that_may_be_suspended(ledger: Ledger) -> None:
    decide(ledger, SetValidator(MERCY, 0, False))
    ledger.block(misbehaviour=(twice(),))  # One of three: nobody can be missed.
    assert suspension_of(ledger.state, NORTHGATE) is None


def test_all_proposals_stay_readable(ledger: Ledger) -> None:
    decide(ledger, quota())
    ledger.send("mercy", propose(ID, quota(30_000, version=1)))
    ledger.block(ledger.tx("mercy", NET.create(NET.id16("x"))), after_ms=OPEN_MS + HOUR_MS)
    assert {one.standing for _, one in proposals(ledger.state)} == {Standing.EXECUTED, Standing.EXPIRED}
