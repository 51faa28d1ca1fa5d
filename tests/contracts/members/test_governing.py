"""Proposing, voting, and what a member changes alone: one row per refusal in checking order, then what each does."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from salus.contracts.members import governing
from salus.contracts.members.errors import (
    BadProofError,
    HeightPassedError,
    KeyTwiceError,
    MemberTwiceError,
    NoNextKeyError,
    ProposalClosedError,
    ProposalExistsError,
    ProposalExpiredError,
    ProposalNotFoundError,
    StaleVersionError,
    SuspendedError,
    TooManyProposalsError,
    UnsoundKeyError,
    VotedAlreadyError,
)
from salus.contracts.members.executing import suspend
from salus.contracts.members.governing import OPEN_MS, UNDECIDED_MAX
from salus.contracts.members.messages import (
    AnnounceTls,
    Cancel,
    Endpoints,
    Misbehaviour,
    Move,
    Offence,
    RotateGateway,
    RotateTls,
    SetQuota,
)
from salus.contracts.members.reads import tls_keys_of, undecided
from salus.contracts.members.tables import MEMBERS, Standing
from salus.core.errors import RefusalError
from salus.core.ids import MemberId
from salus.core.wire import Message, replace
from salus.crypto.digests import digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey
from salus.machine.routes import ROUTES
from salus.state.state import State
from tests.support.governance import (
    add,
    approve,
    decide,
    entry,
    joiner,
    proposal_id,
    propose,
    reject,
    rekey,
    standing,
)
from tests.support.network import BLOCK_MS, STARTED, Ledger, context, founded, network
from tests.support.refusals import assert_refused

NET = network(4)
MERCY = MemberId("mercy")
ID, OTHER = proposal_id("one"), proposal_id("other")
QUOTA = SetQuota(member=MERCY, version=0, quota_bytes=20_000)
TLS = SigningKey(digest(b"new tls"))
GATEWAY = OpeningKey(digest(b"new gateway")).public
HOME = Endpoints(engine="", keeper="mercy.example:7443", gateway="mercy.example:8443")


def act(
    state: State, msg: Message, sponsor: str = "mercy", *, time: int = STARTED, signers: tuple[bytes, ...] = ()
) -> None:
    ROUTES[type(msg)](state, context(NET, sponsor, time=time, height=5, signers=signers), msg)


def after(*steps: tuple[str, Message]) -> State:
    """A state after these messages, each with its sponsor; nothing was counted."""
    state = founded(NET)
    for sponsor, message in steps:
        act(state, message, sponsor)
    return state


def closed() -> State:
    """A state in which `ID` is decided."""
    ledger = Ledger(NET)
    ledger.send("mercy", propose(ID, QUOTA))
    ledger.send("st-luke", reject(ID))
    ledger.send("lakeside", reject(ID))
    return ledger.state


def suspended(state: State, member: str = "mercy") -> State:
    suspend(state, Misbehaviour(MemberId(member), Offence.DUPLICATE_VOTE, 3), height=4)
    return state


def announced() -> State:
    state = founded(NET)
    act(state, AnnounceTls(version=0, key=TLS.public), signers=(TLS.public,))
    return state


PROPOSED = ("mercy", propose(ID, QUOTA))
FULL = [("mercy", propose(proposal_id(number), QUOTA)) for number in range(UNDECIDED_MAX)]
MEMBER_TWICE = add(joiner("lakeside"))


@dataclass(frozen=True)
class Row:
    """A message that a state must refuse."""

    why: str
    state: Callable[[], State]
    msg: Message
    error: type[RefusalError]
    sponsor: str = "mercy"
    time: int = STARTED
    signers: tuple[bytes, ...] = field(default=())


ONE = lambda: after(PROPOSED)  # noqa: E731
FRESH = lambda: founded(NET)  # noqa: E731

REFUSALS = [
    Row("a height gone by", FRESH, propose(ID, QUOTA, activate_at=4), HeightPassedError),
    Row("this very height", FRESH, propose(ID, QUOTA, activate_at=5), HeightPassedError),
    Row("height before id", ONE, propose(ID, QUOTA, activate_at=5), HeightPassedError),
    Row("a proposal replayed", ONE, propose(ID, QUOTA), ProposalExistsError),
    Row("a proposal's id taken by another", ONE, propose(ID, QUOTA), ProposalExistsError, sponsor="st-luke"),
    Row("a decided proposal replayed", closed, propose(ID, QUOTA), ProposalExistsError),
    Row("id before suspension", lambda: suspended(ONE()), propose(ID, QUOTA), ProposalExistsError),
    Row("proposed by a suspended member", lambda: suspended(FRESH()), propose(ID, QUOTA), SuspendedError),
    Row("one more than allowed", lambda: after(*FULL), propose(OTHER, QUOTA), TooManyProposalsError),
    Row("number before content", lambda: after(*FULL), propose(OTHER, MEMBER_TWICE), TooManyProposalsError),
    Row("what could not be done now", FRESH, propose(ID, MEMBER_TWICE), MemberTwiceError),
    Row("what could not be done twice", FRESH, propose(ID, QUOTA, QUOTA), StaleVersionError),
    Row("to cancel itself", FRESH, propose(ID, Cancel(proposal_id=ID)), ProposalNotFoundError),
    Row("a vote on nothing", FRESH, approve(ID), ProposalNotFoundError),
    Row("a vote by a suspended member", lambda: suspended(ONE(), "st-luke"), approve(ID), SuspendedError, "st-luke"),
    Row("a vote on what is decided", closed, approve(ID), ProposalClosedError, "northgate"),
    Row("a vote at the last millisecond", ONE, approve(ID), ProposalExpiredError, "st-luke", STARTED + OPEN_MS),
    Row("expired before voted", ONE, approve(ID), ProposalExpiredError, time=STARTED + OPEN_MS),
    Row("the proposer's second vote", ONE, approve(ID), VotedAlreadyError),
    Row("the proposer against itself", ONE, reject(ID), VotedAlreadyError),
    Row("a vote replayed", lambda: after(PROPOSED, ("st-luke", reject(ID))), reject(ID), VotedAlreadyError, "st-luke"),
    Row("a changed mind", lambda: after(PROPOSED, ("st-luke", reject(ID))), approve(ID), VotedAlreadyError, "st-luke"),
    Row("a move replayed", lambda: after(("mercy", Move(0, HOME))), Move(0, HOME), StaleVersionError),
    Row("a move ahead of time", FRESH, Move(1, HOME), StaleVersionError),
    Row("a tls key out of turn", FRESH, AnnounceTls(1, TLS.public), StaleVersionError, signers=(TLS.public,)),
    Row(
        "another member's tls key",
        FRESH,
        AnnounceTls(0, NET.party("lakeside").tls.public),
        KeyTwiceError,
        signers=(NET.party("lakeside").tls.public,),
    ),
    Row("an own key of another duty", FRESH, AnnounceTls(0, NET.party("mercy").ledger.public), KeyTwiceError),
    Row("a tls key of small order", FRESH, AnnounceTls(0, bytes(32)), UnsoundKeyError, signers=(bytes(32),)),
    Row("a tls key that did not sign", FRESH, AnnounceTls(0, TLS.public), BadProofError),
    Row("a rotation out of turn", announced, RotateTls(0), StaleVersionError),
    Row("a rotation to nothing", FRESH, RotateTls(0), NoNextKeyError),
    Row("a gateway key out of turn", FRESH, RotateGateway(1, GATEWAY), StaleVersionError),
    Row("another's sealing key", FRESH, RotateGateway(0, NET.party("lakeside").opening.public), KeyTwiceError),
    Row(
        "a joiner's key, to keep it out",
        lambda: after(("st-luke", propose(ID, add()))),
        RotateGateway(0, joiner().gateway.public),
        KeyTwiceError,
    ),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_a_message_is_refused(row: Row) -> None:
    state = row.state()
    assert_refused(state, lambda: act(state, row.msg, row.sponsor, time=row.time, signers=row.signers), row.error)


def test_every_refusal_of_a_message_has_a_row() -> None:
    named = {name for name in vars(governing) if name.endswith("Error")} - {"UnknownMemberError"}  # Cannot sponsor.
    assert named <= {row.error.__name__ for row in REFUSALS}


def test_a_proposal_stands_with_its_proposers_approval() -> None:
    state = after(PROPOSED)
    found = standing(state, ID)
    assert (found.proposer, found.approvals, found.rejections) == (MERCY, (MERCY,), ())
    assert (found.standing, found.expires, found.height) == (Standing.OPEN, STARTED + OPEN_MS, 5)
    assert [id for id, _ in undecided(state)] == [ID]
    assert entry(state, "mercy").quota_bytes == NET.genesis.members[0].quota_bytes


def test_trying_a_change_leaves_nothing() -> None:
    state = after(("mercy", propose(ID, add())))
    assert MEMBERS.get(state, joiner().member) is None


def test_a_vote_one_millisecond_before_the_end_counts() -> None:
    state = after(PROPOSED)
    act(state, approve(ID), "st-luke", time=STARTED + OPEN_MS - 1)
    assert standing(state, ID).approvals == (MERCY, "st-luke")


def test_votes_in_one_block_are_all_counted() -> None:
    ledger = Ledger(NET)
    assert ledger.send("mercy", propose(ID, QUOTA)) == "ok"
    ledger.block(*[ledger.tx(member, approve(ID)) for member in ("st-luke", "lakeside")])
    assert standing(ledger.state, ID).standing is Standing.EXECUTED


def test_a_stranger_neither_proposes_nor_votes() -> None:
    ledger = Ledger(NET)
    ledger.send("mercy", propose(ID, QUOTA))
    stranger = network(4, seed=b"another network")
    for message in (propose(OTHER, QUOTA), approve(ID)):
        tx = stranger.tx("st-luke", message, valid_until=ledger.time + BLOCK_MS)
        assert ledger.block(tx).results[0].code == "machine.bad_signature"
    assert standing(ledger.state, ID).approvals == (MERCY,)


def test_a_transaction_with_a_vote_is_replayed_in_vain() -> None:
    ledger = Ledger(NET)
    ledger.send("mercy", propose(ID, QUOTA))
    tx = ledger.tx("st-luke", approve(ID))
    assert [ledger.block(tx).results[0].code for _ in range(2)] == ["ok", "members.voted_already"]
    assert standing(ledger.state, ID).standing is Standing.OPEN


def test_a_member_moves_alone_and_nothing_else_of_it_changes() -> None:
    state = founded(NET)
    before = entry(state, "mercy")
    act(state, Move(version=0, endpoints=HOME))
    assert entry(state, "mercy") == replace(before, endpoints=HOME, own_version=1)


def test_a_member_cannot_dodge_a_vote_about_it_by_moving() -> None:
    ledger = Ledger(NET)
    ledger.send("st-luke", propose(ID, replace(QUOTA, member=MemberId("northgate"))))
    assert ledger.send("northgate", Move(version=0, endpoints=HOME)) == "ok"
    for member in ("mercy", "lakeside"):
        ledger.send(member, approve(ID))
    assert standing(ledger.state, ID).standing is Standing.EXECUTED


def test_two_tls_keys_are_accepted_while_a_member_changes_them() -> None:
    state, old = founded(NET), NET.party("mercy").tls.public
    assert tls_keys_of(state, MERCY) == (old,)
    act(state, AnnounceTls(version=0, key=TLS.public), signers=(TLS.public,))
    assert tls_keys_of(state, MERCY) == (old, TLS.public)
    act(state, RotateTls(version=1))
    assert tls_keys_of(state, MERCY) == (TLS.public,)
    assert tls_keys_of(state, MemberId("stranger")) == ()


def test_a_stolen_tls_key_ends_in_one_transaction() -> None:
    ledger = Ledger(NET)
    assert ledger.send("mercy", AnnounceTls(0, TLS.public), RotateTls(1), witnesses=[TLS]) == "ok"
    assert tls_keys_of(ledger.state, MERCY) == (TLS.public,)


def test_a_retired_key_serves_nobody_again() -> None:
    ledger, old = Ledger(NET), NET.party("mercy").tls
    ledger.send("mercy", AnnounceTls(0, TLS.public), RotateTls(1), witnesses=[TLS])
    assert ledger.send("mercy", AnnounceTls(2, old.public), witnesses=[old]) == "members.key_twice"
    assert ledger.send("st-luke", AnnounceTls(0, old.public), witnesses=[old]) == "members.key_twice"


def test_a_gateway_key_is_changed_by_its_member_alone() -> None:
    state = founded(NET)
    act(state, RotateGateway(version=0, key=GATEWAY))
    assert entry(state, "mercy").keys.gateway == GATEWAY
    assert entry(state, "st-luke").keys.gateway == NET.party("st-luke").gateway.public


def test_new_keys_by_vote_drop_a_tls_key_that_a_thief_announced() -> None:
    ledger, thief = Ledger(NET), SigningKey(digest(b"thief"))
    assert ledger.send("northgate", AnnounceTls(0, thief.public), witnesses=[thief]) == "ok"
    assert ledger.send("northgate", RotateGateway(1, GATEWAY)) == "ok"
    fresh = joiner("northgate")
    assert decide(ledger, rekey("northgate", fresh)).standing is Standing.EXECUTED
    assert tls_keys_of(ledger.state, MemberId("northgate")) == (fresh.tls.public,)
