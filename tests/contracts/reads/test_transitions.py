"""Reads: one row per refusal in checking order, what each message does, and what pruning forgets."""

from dataclasses import dataclass

import pytest

from salus.contracts.reads.errors import (
    ExpiresInThePastError,
    ExpiresTooLateError,
    RequestExistsError,
    StaleVersionError,
)
from salus.contracts.reads.messages import LogKind, LogRoot, Request
from salus.contracts.reads.reads import is_open, log_root_of, request_of
from salus.contracts.reads.tables import EXPIRIES, LatestLogRoot, OpenRequest
from salus.contracts.reads.transitions import OPEN_MS_MAX, log_root, prune, request
from salus.core.errors import RefusalError
from salus.core.ids import HOUR_MS, MINUTE_MS, SECOND_MS, MemberId
from salus.crypto.digests import digest
from salus.state.state import State
from tests.support.network import BLOCK_MS, STARTED, Ledger, context, founded, network
from tests.support.refusals import assert_refused, everything

NET = network(4)
MERCY = MemberId("mercy")
ID = NET.id16("request")
REQUEST = NET.request(ID, expires=STARTED + MINUTE_MS)
FIRST_ROOT = LogRoot(log=LogKind.KEEPER, version=0, root=digest(b"first"))
NEXT_ROOT = LogRoot(log=LogKind.KEEPER, version=1, root=digest(b"next"))
LATE_ROOT = LogRoot(log=LogKind.KEEPER, version=2, root=digest(b"late"))


def act(state: State, msg: Request | LogRoot, sponsor: str = "mercy", time: int = STARTED) -> None:
    if isinstance(msg, Request):
        request(state, context(NET, sponsor, time=time), msg)
    else:
        log_root(state, context(NET, sponsor, time=time), msg)


def standing(*messages: Request | LogRoot) -> State:
    """A state after these messages of mercy's."""
    state = founded(NET)
    for message in messages:
        act(state, message)
    return state


@dataclass(frozen=True)
class Row:
    """A message that a state must refuse."""

    why: str
    state: State
    msg: Request | LogRoot
    error: type[RefusalError]


TOO_LATE = NET.request(ID, expires=STARTED + OPEN_MS_MAX + 1)
REFUSALS = [
    Row("a request that expires now", founded(NET), NET.request(ID, expires=STARTED), ExpiresInThePastError),
    Row("a request beyond twelve hours", founded(NET), TOO_LATE, ExpiresTooLateError),
    Row("a request twice", standing(REQUEST), REQUEST, RequestExistsError),
    Row("expiry before id", standing(REQUEST), TOO_LATE, ExpiresTooLateError),
    Row("a first log root at version 1", founded(NET), NEXT_ROOT, StaleVersionError),
    Row("a log root replayed", standing(FIRST_ROOT), FIRST_ROOT, StaleVersionError),
    Row("a log root from the future", standing(FIRST_ROOT), LATE_ROOT, StaleVersionError),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_reading_refuses(row: Row) -> None:
    assert_refused(row.state, lambda: act(row.state, row.msg), row.error)


def test_a_request_stands_and_is_open_until_just_before_it_expires() -> None:
    state = standing(REQUEST)
    assert request_of(state, ID) == OpenRequest(
        sponsor=MERCY,
        commitment=REQUEST.commitment,
        reply_key_digest=REQUEST.reply_key_digest,
        expires=REQUEST.expires,
        height=1,
    )
    assert is_open(state, ID, REQUEST.expires - 1)
    assert not is_open(state, ID, REQUEST.expires)


def test_a_request_of_exactly_twelve_hours_stands() -> None:
    assert is_open(standing(NET.request(ID, expires=STARTED + OPEN_MS_MAX)), ID, STARTED)


def test_a_request_never_made_is_not_open() -> None:
    assert not is_open(founded(NET), ID, STARTED)


def test_each_members_log_root_counts_for_itself() -> None:
    state = standing(FIRST_ROOT, NEXT_ROOT)
    act(state, FIRST_ROOT, "lakeside")
    assert log_root_of(state, MERCY) == LatestLogRoot(version=2, root=NEXT_ROOT.root, height=1, time=STARTED)
    assert log_root_of(state, MemberId("lakeside")) == LatestLogRoot(
        version=1, root=FIRST_ROOT.root, height=1, time=STARTED
    )
    assert log_root_of(state, MemberId("st-luke")) is None


def test_prune_keeps_a_request_until_an_hour_after_it_expired() -> None:
    state = standing(REQUEST)
    before = everything(state)
    assert prune(state, REQUEST.expires + HOUR_MS - 1) == 0
    assert everything(state) == before
    assert prune(state, REQUEST.expires + HOUR_MS) == 1
    assert everything(state) == everything(founded(NET))


def test_prune_forgets_the_oldest_first_and_no_more_than_its_limit() -> None:
    ids = [NET.id16("request", number) for number in range(5)]
    state = standing(*[NET.request(id, expires=STARTED + 5 - number) for number, id in enumerate(ids)])
    assert prune(state, STARTED + 2 * HOUR_MS, limit=2) == 2
    assert [id for (_, id), _ in EXPIRIES.items(state)] == [ids[2], ids[1], ids[0]]
    assert prune(state, STARTED + 2 * HOUR_MS, limit=2) == 2
    assert prune(state, STARTED + 2 * HOUR_MS, limit=2) == 1
    assert prune(state, STARTED + 2 * HOUR_MS, limit=2) == 0


def test_a_request_that_was_pruned_cannot_be_made_again_by_a_replay() -> None:
    state = standing(REQUEST)
    pruned_at = REQUEST.expires + HOUR_MS
    prune(state, pruned_at)
    assert_refused(state, lambda: act(state, REQUEST, time=pruned_at), ExpiresInThePastError)


def test_the_transaction_of_a_pruned_request_is_over_even_with_the_shortest_expiry() -> None:
    ledger = Ledger(NET)
    asked_at = ledger.time + BLOCK_MS
    message = NET.request(ID, expires=asked_at + SECOND_MS)
    tx = ledger.tx("mercy", message, valid_until=asked_at + HOUR_MS)
    assert ledger.block(tx).results[0].code == "ok"
    ledger.block(ledger.tx("mercy", FIRST_ROOT, valid_until=asked_at + 2 * HOUR_MS), after_ms=SECOND_MS + HOUR_MS)
    assert request_of(ledger.state, ID) is None
    assert ledger.block(tx, after_ms=0).results[0].code == "machine.expired"
