"""Whom an engine dials: those it was told of, those the ledger has let in since, nobody who has left."""

from salus.contracts.members import genesis
from salus.contracts.members.messages import Endpoints
from salus.contracts.members.tables import MEMBERS
from salus.core.ids import MemberId
from salus.core.wire import replace
from salus.engines.cometbft.peering import engine_peers
from salus.state.key_value import MemoryStore
from salus.state.state import State
from tests.support.network import network

NAMES = ("mercy", "st-luke", "lakeside")


def founded() -> State:
    state = State(MemoryStore())
    genesis(state, network(3).genesis)
    return state


def test_before_the_first_block_only_those_told_count() -> None:
    assert engine_peers(founded(), 0, MemberId("mercy"), ("aa@here:1",)) == ("aa@here:1",)


def test_the_ledger_adds_who_joined_and_drops_who_left_and_leaves_other_ways_as_told() -> None:
    state = founded()
    for number, name in enumerate(NAMES):
        entry = MEMBERS.get(state, MemberId(name))
        assert entry is not None
        MEMBERS.put(state, MemberId(name), replace(entry, endpoints=Endpoints(engine=f"{number}{number}@host:1")))
    told = ("11@another-way:9", "dd@left:1")
    assert engine_peers(state, 7, MemberId("mercy"), told) == ("11@another-way:9", "22@host:1")
    assert engine_peers(state, 7, MemberId("st-luke"), ()) == ("00@host:1", "22@host:1")
