"""Credentials: one row per refusal in checking order, which of two wins, and what each message does."""

from dataclasses import dataclass

import pytest

from salus.contracts.credentials.errors import (
    CredentialExistsError,
    CredentialNotFoundError,
    CredentialRevokedError,
    ExpiresInThePastError,
    NotIssuerError,
    StaleVersionError,
)
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.credentials.reads import credential_of, is_active
from salus.contracts.credentials.tables import Credential, Status
from salus.contracts.credentials.transitions import issue, revoke
from salus.contracts.members.tables import AUTHORSHIPS, MEMBERS, Authorship
from salus.core.errors import RefusalError
from salus.core.ids import HOUR_MS, MemberId
from salus.state.state import State
from tests.support.network import STARTED, context, founded, network
from tests.support.refusals import assert_refused

NET = network(4)
ID = NET.id16("credential")
ISSUE = NET.issue(ID, expires=STARTED + HOUR_MS)
REVOKE = Revoke(credential_id=ID, version=0)


def act(state: State, msg: Issue | Revoke, sponsor: str = "mercy") -> None:
    if isinstance(msg, Issue):
        issue(state, context(NET, sponsor), msg)
    else:
        revoke(state, context(NET, sponsor), msg)


def standing(*messages: Issue | Revoke) -> State:
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
    msg: Issue | Revoke
    error: type[RefusalError]
    sponsor: str = "mercy"


REFUSALS = [
    Row("issue what expires now", founded(NET), NET.issue(ID, expires=STARTED), ExpiresInThePastError),
    Row("issue: expiry before id", standing(ISSUE), NET.issue(ID, expires=STARTED), ExpiresInThePastError),
    Row("issue twice", standing(ISSUE), ISSUE, CredentialExistsError),
    Row("issue another's id", standing(ISSUE), ISSUE, CredentialExistsError, sponsor="lakeside"),
    Row("issue what was revoked", standing(ISSUE, REVOKE), ISSUE, CredentialExistsError),
    Row("revoke nothing", founded(NET), REVOKE, CredentialNotFoundError),
    Row("revoke as a stranger", standing(ISSUE), REVOKE, NotIssuerError, sponsor="lakeside"),
    Row("revoke a future version", standing(ISSUE), Revoke(credential_id=ID, version=1), StaleVersionError),
    Row("revoke: issuer before version", standing(ISSUE, REVOKE), REVOKE, NotIssuerError, sponsor="lakeside"),
    Row("revoke replayed", standing(ISSUE, REVOKE), REVOKE, StaleVersionError),
    Row("revoke twice", standing(ISSUE, REVOKE), Revoke(credential_id=ID, version=1), CredentialRevokedError),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_a_credential_refuses(row: Row) -> None:
    assert_refused(row.state, lambda: act(row.state, row.msg, row.sponsor), row.error)


def test_issue_puts_a_credential_in_force_under_its_sponsor() -> None:
    assert credential_of(standing(ISSUE), ID) == Credential(
        version=0, issuer=MemberId("mercy"), commitment=ISSUE.commitment, expires=ISSUE.expires, status=Status.ACTIVE
    )


def test_a_credential_is_active_until_just_before_it_expires() -> None:
    state = standing(ISSUE)
    assert is_active(state, ID, ISSUE.expires - 1)
    assert not is_active(state, ID, ISSUE.expires)


def test_a_revoked_credential_is_not_active() -> None:
    assert not is_active(standing(ISSUE, REVOKE), ID, STARTED)


def test_a_credential_never_issued_is_not_active() -> None:
    assert not is_active(founded(NET), ID, STARTED)


def test_a_successor_revokes_what_a_departed_member_issued_and_nobody_else_does() -> None:
    state = standing(ISSUE)
    MEMBERS.delete(state, MemberId("mercy"))
    AUTHORSHIPS.put(state, MemberId("mercy"), Authorship(successor=MemberId("lakeside"), height=2, jurisdiction="us"))
    assert_refused(state, lambda: act(state, REVOKE, "st-luke"), NotIssuerError)
    act(state, REVOKE, "lakeside")
    assert not is_active(state, ID, STARTED)
