"""Every invariant yields what breaks it: a rule that cannot fail would be worth nothing."""

from collections.abc import Callable

import pytest

from salus.contracts.cells.tables import CELLS
from salus.contracts.cells.tables import Status as CellStatus
from salus.contracts.credentials.tables import CREDENTIALS
from salus.contracts.credentials.tables import Status as CredentialStatus
from salus.contracts.members.messages import Committee, Offence, RemoveMember, SetQuota
from salus.contracts.members.tables import (
    AUTHORSHIPS,
    COMMITTEES,
    DEALT,
    EPOCHS,
    KEYS,
    MEMBERS,
    PENDING,
    PROPOSALS,
    SUSPENSIONS,
    Authorship,
    Dealt,
    Suspension,
)
from salus.contracts.reads.messages import LogKind, LogRoot
from salus.contracts.reads.tables import EXPIRIES, LOG_ROOTS, REQUESTS, Expiry
from salus.contracts.records.messages import Supersede
from salus.contracts.records.tables import ATTESTED, BATCHES, OVERRIDES, Attested, Fate, Override, Successor
from salus.core.ids import HOUR_MS, MemberId
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.machine.invariants import INVARIANTS, invariants
from salus.state.state import State
from tests.support.governance import decide, proposal_id, propose, seats, standing
from tests.support.network import Ledger, network

NET = network(4)
MERCY, NORTHGATE, STRANGER = MemberId("mercy"), MemberId("northgate"), MemberId("stranger")
OPEN = proposal_id("open")
CELL, OTHER, CREDENTIAL, OLD, NEW, REQUEST, NOWHERE = (
    NET.id16(name) for name in ("cell", "other", "credential", "old", "new", "request", "nowhere")
)


def busy() -> State:
    """A sound state in which every table holds something."""
    ledger = Ledger(NET)
    until = ledger.time + HOUR_MS
    sent = [
        ledger.send("mercy", NET.create(CELL), NET.create(OTHER)),
        ledger.send("mercy", NET.issue(CREDENTIAL, expires=until)),
        ledger.send("mercy", NET.anchor("mercy", OLD, good_until=until)),
        ledger.send(
            "mercy",
            NET.anchor("mercy", NEW, good_until=until, supersedes=(Supersede(OLD, 1, 1),)),
            NET.request(REQUEST, expires=until),
            LogRoot(log=LogKind.KEEPER, version=0, root=digest(b"log")),
        ),
    ]
    sent.append(ledger.send("mercy", propose(OPEN, SetQuota(member=MERCY, version=0, quota_bytes=20_000))))
    assert set(sent) == {"ok"}
    decide(ledger, seats(NET, "mercy", "st-luke", "lakeside"), RemoveMember(NORTHGATE, 0, MERCY))
    word = NET.attest("mercy", NEW, good_until=until, holders=("mercy", "st-luke", "lakeside"))
    assert ledger.send("mercy", word) == "ok"
    return ledger.state


def member_gone(state: State) -> None:
    MEMBERS.delete(state, MERCY)


def nobody_validates(state: State) -> None:
    for member, entry in list(MEMBERS.items(state)):
        MEMBERS.put(state, member, replace(entry, validator=False))


def key_shared(state: State) -> None:
    entry = MEMBERS.get(state, MERCY)
    assert entry is not None
    MEMBERS.put(state, MERCY, replace(entry, keys=replace(entry.keys, ledger=entry.keys.validator)))


def key_unlisted(state: State) -> None:
    entry = MEMBERS.get(state, MERCY)
    assert entry is not None
    KEYS.delete(state, digest(entry.keys.gateway))


def epoch_forgotten(state: State) -> None:
    EPOCHS.delete(state, (NET.committee, 1))


def all_suspended(state: State) -> None:
    for member, _ in list(MEMBERS.items(state)):
        SUSPENSIONS.put(state, member, Suspension(Offence.DUPLICATE_VOTE, 1, 2))


def stranger_suspended(state: State) -> None:
    SUSPENSIONS.put(state, STRANGER, Suspension(Offence.DUPLICATE_VOTE, 1, 2))


def voted_by_a_stranger(state: State) -> None:
    PROPOSALS.put(state, OPEN, replace(standing(state, OPEN), approvals=(MERCY, STRANGER)))


def voted_twice(state: State) -> None:
    PROPOSALS.put(state, OPEN, replace(standing(state, OPEN), rejections=(MERCY,)))


def proposal_unlisted(state: State) -> None:
    for key, _ in list(PENDING.items(state)):
        PENDING.delete(state, key)


def proposal_gone(state: State) -> None:
    PROPOSALS.delete(state, OPEN)


def succeeded_by_a_stranger(state: State) -> None:
    AUTHORSHIPS.put(state, NORTHGATE, Authorship(successor=STRANGER, height=1, jurisdiction="us"))


def departed_and_here(state: State) -> None:
    AUTHORSHIPS.put(state, MERCY, Authorship(successor=MemberId("lakeside"), height=1, jurisdiction="us"))


def no_seats(state: State) -> None:
    COMMITTEES.put(state, NET.committee, Committee(epoch=1, seats=()))


def two_seats(state: State) -> None:
    committee = COMMITTEES.get(state, NET.committee)
    assert committee is not None
    COMMITTEES.put(state, NET.committee, replace(committee, seats=(committee.seats[0], committee.seats[0])))


def committee_gone(state: State) -> None:
    COMMITTEES.delete(state, NET.committee)


def issued_by_a_stranger(state: State) -> None:
    entry = CREDENTIALS.get(state, CREDENTIAL)
    assert entry is not None
    CREDENTIALS.put(state, CREDENTIAL, replace(entry, issuer=STRANGER))


def revoked_without_trace(state: State) -> None:
    entry = CREDENTIALS.get(state, CREDENTIAL)
    assert entry is not None
    CREDENTIALS.put(state, CREDENTIAL, replace(entry, status=CredentialStatus.REVOKED))


def anchored_by_a_stranger(state: State) -> None:
    batch = BATCHES.get(state, (MERCY, OLD))
    assert batch is not None
    BATCHES.put(state, (STRANGER, OLD), batch)


def anchored_in_the_future(state: State) -> None:
    batch = BATCHES.get(state, (MERCY, OLD))
    assert batch is not None
    BATCHES.put(state, (MERCY, OLD), replace(batch, epoch=3))


def override_of_nothing(state: State) -> None:
    OVERRIDES.put(state, (MERCY, NOWHERE, 1), Override(fate=Fate.WITHDRAWN, successor=None))


def superseded_by_nothing(state: State) -> None:
    OVERRIDES.put(state, (MERCY, OLD, 1), Override(fate=Fate.SUPERSEDED, successor=None))


def superseded_by_itself(state: State) -> None:
    successor = Successor(batch_id=OLD, index=2)
    OVERRIDES.put(state, (MERCY, OLD, 1), Override(fate=Fate.SUPERSEDED, successor=successor))


def superseded_by_an_elder(state: State) -> None:
    successor = Successor(batch_id=OLD, index=1)
    OVERRIDES.put(state, (MERCY, NEW, 1), Override(fate=Fate.WITHDRAWN, successor=successor))


def dealt_to_a_minority(state: State) -> None:
    found = ATTESTED.get(state, (MERCY, NEW, 2))
    assert found is not None
    ATTESTED.put(state, (MERCY, NEW, 2), replace(found, seats=0b1))


def dealt_before_it_was_anchored(state: State) -> None:
    found = ATTESTED.get(state, (MERCY, NEW, 2))
    assert found is not None
    ATTESTED.put(state, (MERCY, NEW, 2), replace(found, height=1))


def dealt_to_nobody(state: State) -> None:
    ATTESTED.put(state, (MERCY, NEW, 9), Attested(share_root=bytes(32), height=9, seats=0b111))


def dealing_of_nothing(state: State) -> None:
    ATTESTED.put(state, (MERCY, NOWHERE, 2), Attested(share_root=bytes(32), height=9, seats=0b111))


def counted_twice(state: State) -> None:
    DEALT.put(state, (NET.committee, 2), Dealt(batches=2))


def counted_nowhere(state: State) -> None:
    DEALT.delete(state, (NET.committee, 1))


def holders_gone(state: State) -> None:
    MEMBERS.delete(state, MemberId("lakeside"))  # Northgate went before.


def none_counted(state: State) -> None:
    DEALT.put(state, (NET.committee, 1), Dealt(batches=0))


def owner_copied(state: State) -> None:
    cell, other = CELLS.get(state, CELL), CELLS.get(state, OTHER)
    assert cell is not None
    assert other is not None
    CELLS.put(state, OTHER, replace(other, owner=cell.owner))


def guarded(state: State) -> None:
    cell = CELLS.get(state, CELL)
    assert cell is not None
    CELLS.put(state, CELL, replace(cell, recovery=digest(b"guardians")))


def frozen_without_trace(state: State) -> None:
    cell = CELLS.get(state, CELL)
    assert cell is not None
    CELLS.put(state, CELL, replace(cell, status=CellStatus.FROZEN))


def request_without_expiry(state: State) -> None:
    for key, _ in list(EXPIRIES.items(state)):
        EXPIRIES.delete(state, key)


def expiry_without_request(state: State) -> None:
    EXPIRIES.put(state, (1, NOWHERE), Expiry())


def read_by_a_stranger(state: State) -> None:
    standing = REQUESTS.get(state, REQUEST)
    assert standing is not None
    REQUESTS.put(state, REQUEST, replace(standing, sponsor=STRANGER))


def log_of_a_stranger(state: State) -> None:
    latest = LOG_ROOTS.get(state, (MERCY, "keeper"))
    assert latest is not None
    LOG_ROOTS.put(state, (STRANGER, "keeper"), latest)


BREAKS: list[tuple[Callable[[State], None], str]] = [
    (member_gone, "members.seats_are_held_by_members"),
    (two_seats, "members.seats_are_held_by_members"),
    (no_seats, "members.committees_have_a_size"),
    (key_shared, "members.keys_are_unique"),
    (key_unlisted, "members.keys_are_unique"),
    (epoch_forgotten, "members.epochs_follow_each_other"),
    (nobody_validates, "members.somebody_validates"),
    (all_suspended, "members.somebody_validates"),
    (stranger_suspended, "members.suspended_ones_are_members"),
    (voted_by_a_stranger, "members.votes_are_members_own"),
    (voted_twice, "members.votes_are_members_own"),
    (proposal_unlisted, "members.what_is_undecided_is_listed"),
    (proposal_gone, "members.what_is_undecided_is_listed"),
    (succeeded_by_a_stranger, "members.authorship_has_a_member"),
    (departed_and_here, "members.authorship_has_a_member"),
    (holders_gone, "members.shares_have_holders"),
    (none_counted, "members.shares_have_holders"),
    (issued_by_a_stranger, "credentials.issuers_are_members"),
    (revoked_without_trace, "credentials.versions_tell_what_happened"),
    (anchored_by_a_stranger, "records.batches_have_authors_and_keepers"),
    (anchored_in_the_future, "records.batches_have_authors_and_keepers"),
    (committee_gone, "records.batches_have_authors_and_keepers"),
    (override_of_nothing, "records.overrides_name_records"),
    (superseded_by_nothing, "records.successors_come_later"),
    (superseded_by_itself, "records.successors_come_later"),
    (superseded_by_an_elder, "records.successors_come_later"),
    (dealt_to_a_minority, "records.dealings_follow_each_other"),
    (dealt_before_it_was_anchored, "records.dealings_follow_each_other"),
    (dealt_to_nobody, "records.dealings_follow_each_other"),
    (dealing_of_nothing, "records.dealings_follow_each_other"),
    (counted_twice, "records.batches_count_where_they_lie"),
    (counted_nowhere, "records.batches_count_where_they_lie"),
    (committee_gone, "cells.committees_exist"),
    (guarded, "cells.nobody_has_guardians"),
    (frozen_without_trace, "cells.changes_leave_a_version"),
    (request_without_expiry, "reads.requests_will_be_forgotten"),
    (expiry_without_request, "reads.expiries_name_requests"),
    (read_by_a_stranger, "reads.readers_are_members"),
    (log_of_a_stranger, "reads.log_roots_are_members_own"),
]


def test_a_sound_ledger_breaks_nothing() -> None:
    assert list(invariants(busy())) == []


def test_nobody_breaks_anything_by_copying_an_owner_from_the_ledger() -> None:
    state = busy()
    owner_copied(state)
    assert list(invariants(state)) == []


@pytest.mark.parametrize(("damage", "broken"), BREAKS, ids=lambda item: getattr(item, "__name__", item))
def test_an_invariant_sees_the_damage(damage: Callable[[State], None], broken: str) -> None:
    state = busy()
    damage(state)
    assert broken in {found.split(":")[0] for found in invariants(state)}


def test_every_invariant_has_damage_that_it_sees() -> None:
    names = {f"{contract}.{invariant.__name__}" for contract, held in INVARIANTS.items() for invariant in held}
    assert names == {broken for _, broken in BREAKS}
