"""Members: one row per way a genesis is refused, in checking order; what a genesis writes; what others read."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from salus.contracts.members import reads
from salus.contracts.members.errors import (
    AlreadyFoundedError,
    CommitteeSizeError,
    CommitteeTwiceError,
    KeyTwiceError,
    MemberTwiceError,
    NotFoundedError,
    NoValidatorError,
    PackTwiceError,
    SeatTwiceError,
    UnknownHolderError,
    UnsoundKeyError,
)
from salus.contracts.members.messages import FoundingMember, Genesis, SeatHolder
from salus.contracts.members.transitions import genesis
from salus.core.errors import RefusalError
from salus.core.ids import MemberId
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.state.key_value import MemoryStore
from salus.state.state import State
from tests.support.network import STARTED, founded, network
from tests.support.refusals import assert_refused, everything

NET = network(4)
GENESIS = NET.genesis
MERCY = MemberId("mercy")


def with_members(change: Callable[[int, FoundingMember], FoundingMember]) -> Genesis:
    return replace(GENESIS, members=tuple(change(i, founder) for i, founder in enumerate(GENESIS.members)))


def with_key(**keys: bytes) -> Genesis:
    """The genesis with other keys for its second member."""
    return with_members(lambda i, founder: replace(founder, keys=replace(founder.keys, **keys)) if i == 1 else founder)


def with_seats(*seats: str) -> Genesis:
    return replace(GENESIS, committees=(replace(GENESIS.committees[0], seats=seats),))


NOBODY = with_members(lambda i, founder: replace(founder, validator=False))
SAME_NAME = with_members(lambda i, founder: replace(founder, member=MERCY) if i == 1 else founder)
SAME_KEY = with_key(validator=GENESIS.members[0].keys.ledger)
SMALL_ORDER = with_key(keeper=bytes(32))
COMMITTEE_TWICE = replace(GENESIS, committees=GENESIS.committees * 2)
PACK_TWICE = replace(GENESIS, packs=(*GENESIS.packs, GENESIS.packs[0]))
BIG = network(14).genesis
FOURTEEN = replace(
    BIG, committees=(replace(BIG.committees[0], seats=tuple(founder.member for founder in BIG.members)),)
)


@dataclass(frozen=True)
class Row:
    """A genesis that must be refused."""

    why: str
    genesis: Genesis
    error: type[RefusalError]


REFUSALS = [
    Row("nobody validates", NOBODY, NoValidatorError),
    Row("no members", replace(GENESIS, members=()), NoValidatorError),
    Row("one name twice", SAME_NAME, MemberTwiceError),
    Row("one key for two duties", SAME_KEY, KeyTwiceError),
    Row("one sealing key twice", with_key(sealing=GENESIS.members[0].keys.sealing), KeyTwiceError),
    Row("a key of small order", SMALL_ORDER, UnsoundKeyError),
    Row("one committee twice", COMMITTEE_TWICE, CommitteeTwiceError),
    Row("no seats", with_seats(), CommitteeSizeError),
    Row("fourteen seats", FOURTEEN, CommitteeSizeError),
    Row("a stranger on a seat", with_seats("mercy", "stranger"), UnknownHolderError),
    Row("two seats for one", with_seats("mercy", "mercy"), SeatTwiceError),
    Row("one pack twice", PACK_TWICE, PackTwiceError),
    Row("name before committee", replace(SAME_NAME, committees=()), MemberTwiceError),
    Row("stranger before pack", replace(with_seats("stranger"), packs=PACK_TWICE.packs), UnknownHolderError),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_a_genesis_is_refused(row: Row) -> None:
    state = State(MemoryStore())
    assert_refused(state, lambda: genesis(state, row.genesis), row.error)


def test_a_state_is_founded_once() -> None:
    state = founded(NET)
    assert_refused(state, lambda: genesis(state, GENESIS), AlreadyFoundedError)


def test_a_state_without_genesis_answers_nothing() -> None:
    with pytest.raises(NotFoundedError):
        reads.chain_of(State(MemoryStore()))


def test_a_genesis_seats_its_members_at_epoch_1_in_their_order() -> None:
    committee = reads.committee_of(founded(NET), NET.committee)
    assert committee is not None
    assert committee.epoch == 1
    assert committee.seats == tuple(
        SeatHolder(member=party.member, key=party.keeper.public, sealing=party.opening.public) for party in NET.parties
    )
    assert reads.seat_of(committee, MERCY) == 1
    assert reads.seat_of(committee, MemberId("stranger")) is None
    holder = reads.holder_of(committee, 4)
    assert holder is not None
    assert holder.member == "northgate"
    assert reads.holder_of(committee, 5) is None
    assert reads.holder_of(committee, 0) is None


def test_a_genesis_says_who_validates_under_which_key_by_name() -> None:
    state = State(MemoryStore())
    genesis(state, with_members(lambda i, founder: replace(founder, validator=i != 1)))
    expected = {party.member: party.validator.public for party in NET.parties if party.member != "st-luke"}
    assert dict(reads.validators(state)) == expected


def test_others_can_ask_for_limits_quotas_and_packs() -> None:
    state = founded(NET)
    assert reads.chain_of(state).started == STARTED
    assert reads.parameters_of(state) == GENESIS.parameters
    assert reads.quota_of(state, MERCY) == GENESIS.members[0].quota_bytes
    assert reads.quota_of(state, MemberId("stranger")) == 0
    assert set(reads.members_of(state)) == {party.member for party in NET.parties}
    assert reads.pack_root_of(state, "us") == digest(b"us")
    assert reads.pack_root_of(state, "nowhere") is None


def test_the_order_of_founders_changes_nothing_but_the_seats() -> None:
    state = State(MemoryStore())
    genesis(state, replace(GENESIS, members=tuple(reversed(GENESIS.members))))
    assert everything(state) == everything(founded(NET))


@pytest.mark.parametrize("members", range(1, 14))
def test_a_network_of_any_size_to_thirteen_is_founded(members: int) -> None:
    net = network(members)
    committee = reads.committee_of(founded(net), net.committee)
    assert committee is not None
    assert len(committee.seats) == members
