"""Every kind of change: one row per refusal in checking order, then what it does once it is decided."""

import dataclasses
from dataclasses import dataclass

import pytest

from salus.contracts.members import changing
from salus.contracts.members.changing import LANE_BYTES_MIN, MESSAGES_MIN, QUOTA_BYTES_MIN, Moment, change
from salus.contracts.members.errors import (
    BadProofError,
    CommitteeNotFoundError,
    CommitteeSizeError,
    CommitteeTwiceError,
    HeightPassedError,
    KeyTwiceError,
    MemberTwiceError,
    NotNextRulesError,
    NotSuspendedError,
    NoValidatorError,
    ProposalClosedError,
    ProposalNotFoundError,
    QuotaTooSmallError,
    SeatHeldError,
    SeatTwiceError,
    StaleEpochError,
    StaleVersionError,
    UnknownHolderError,
    UnknownJurisdictionError,
    UnknownMemberError,
    UnknownSuccessorError,
    UnsoundKeyError,
    UnusableParametersError,
)
from salus.contracts.members.messages import (
    Cancel,
    Change,
    Endpoints,
    NewCommittee,
    Parameters,
    Reinstate,
    RemoveMember,
    SetPack,
    SetParameters,
    SetQuota,
    SetSeats,
    SetValidator,
    Upgrade,
)
from salus.contracts.members.reads import (
    chain_of,
    committee_at,
    committee_of,
    jurisdictions,
    member_of,
    members_of,
    pack_root_of,
    parameters_of,
    quota_of,
    rules_ahead,
    rules_at,
    successor_of,
    tls_keys_of,
    validator_at,
    validators,
)
from salus.contracts.members.statements import joining
from salus.contracts.members.tables import PACKS, Standing
from salus.core.errors import RefusalError
from salus.core.ids import ChainId, MemberId
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import verify
from salus.machine.block import ACCEPTED
from salus.machine.invariants import invariants
from salus.state.state import State
from tests.support.governance import (
    JOINER,
    add,
    approve,
    decide,
    entry,
    epoch,
    joiner,
    proposal_id,
    propose,
    reject,
    rekey,
    replace_parties,
    seats,
    standing,
    with_party,
)
from tests.support.network import STARTED, Ledger, founded, network
from tests.support.refusals import assert_refused

NET = network(4)
NAMES = ("mercy", "st-luke", "lakeside", "northgate")
MERCY, NORTHGATE, STRANGER = (MemberId(name) for name in ("mercy", "northgate", "stranger"))
NOW = Moment(chain=NET.chain, height=10, time=STARTED, verify=verify)
SECOND, NOWHERE = NET.id16("second committee"), NET.id16("nowhere")
GOOD = Parameters(block_bytes_max=8_388_608)
FRESH = joiner("northgate")  # New keys for northgate.
OTHERS = NET.party("lakeside")


def gone(member: MemberId = NORTHGATE, successor: str = "mercy", version: int = 0) -> RemoveMember:
    return RemoveMember(member=member, version=version, successor=MemberId(successor))


def with_key(**keys: bytes) -> Change:
    """A joiner whose keys are not all its own; it signs with its own."""
    return add(keys=replace(joiner().public, **keys))


def without_northgate() -> tuple[Change, ...]:
    return (seats(NET, "mercy", "st-luke", "lakeside"), gone())


def quota(member: str = "mercy", version: int = 0, quota_bytes: int = 20_000) -> SetQuota:
    return SetQuota(member=MemberId(member), version=version, quota_bytes=quota_bytes)


ONE_CHAIN_PROOF = replace(
    add(),
    proof=replace(
        add().proof,
        ledger=joiner().ledger.sign(
            joining(
                chain=ChainId("test-2"), member=JOINER, keys=joiner().public, jurisdiction="us", endpoints=Endpoints()
            )
        ),
    ),
)
SWAPPED = replace(add(), keys=replace(joiner().public, gateway=OpeningKey(digest(b"another")).public))
OLD = NET.party("northgate")
CROSSED = replace(OLD.public, ledger=OLD.tls.public, tls=OLD.ledger.public)
LOW_QUOTA = QUOTA_BYTES_MIN - 1


@dataclass(frozen=True)
class Row:
    """Changes that a network of four must refuse, the last of them."""

    why: str
    changes: tuple[Change, ...]
    error: type[RefusalError]


REFUSALS = [
    Row("a member again", (add(joiner("mercy")),), MemberTwiceError),
    Row("the name of one that is gone", (*without_northgate(), add(FRESH)), MemberTwiceError),
    Row("name before keys", (add(NET.party("mercy")),), MemberTwiceError),
    Row("one key for two duties", (with_key(validator=joiner().ledger.public),), KeyTwiceError),
    Row("another's ledger key", (with_key(ledger=OTHERS.ledger.public),), KeyTwiceError),
    Row("another's key for another duty", (with_key(tls=OTHERS.ledger.public),), KeyTwiceError),
    Row("another's sealing key", (with_key(sealing=OTHERS.opening.public),), KeyTwiceError),
    Row("the keys of two joiners", (add(), add(joiner("eastbay"), keys=joiner().public)), KeyTwiceError),
    Row("the keys of one that is gone", (*without_northgate(), add(keys=NET.party("northgate").public)), KeyTwiceError),
    Row("a key of small order", (with_key(keeper=bytes(32)),), UnsoundKeyError),
    *[
        Row(
            f"a {duty} key whose holder did not sign",
            (with_key(**{duty: getattr(joiner("eve").public, duty)}),),
            BadProofError,
        )
        for duty in ("ledger", "validator", "keeper", "tls")
    ],
    Row("a gateway key put in after signing", (SWAPPED,), BadProofError),
    Row("signed by somebody else", (add(by=joiner("eve")),), BadProofError),
    Row("signed for another chain", (ONE_CHAIN_PROOF,), BadProofError),
    Row("signed for another name", (replace(add(), member=MemberId("eastbay")),), BadProofError),
    Row("signed for another place", (replace(add(), jurisdiction="eu"),), BadProofError),
    Row("signed for other addresses", (replace(add(), endpoints=Endpoints(keeper="eve:1")),), BadProofError),
    Row("a quota too small to vote", (replace(add(), quota_bytes=LOW_QUOTA),), QuotaTooSmallError),
    Row("a stranger is removed", (gone(STRANGER),), UnknownMemberError),
    Row("one removed twice", (*without_northgate(), gone()), UnknownMemberError),
    Row("a removal at another version", (gone(version=1),), StaleVersionError),
    Row("succeeded by itself", (gone(successor="northgate"),), UnknownSuccessorError),
    Row("succeeded by a stranger", (gone(successor="stranger"),), UnknownSuccessorError),
    Row(
        "succeeded by one that is gone",
        (*without_northgate(), seats(NET, "mercy", epoch=2), gone(MemberId("lakeside"), "northgate")),
        UnknownSuccessorError,
    ),
    Row("successor before seat", (gone(successor="stranger"),), UnknownSuccessorError),
    Row("a seat is left behind", (gone(),), SeatHeldError),
    Row(
        "a seat in a second committee",
        (NewCommittee(SECOND, (NORTHGATE,)), *without_northgate()),
        SeatHeldError,
    ),
    Row("a stranger validates", (SetValidator(STRANGER, 0, True),), UnknownMemberError),
    Row("a validator at another version", (SetValidator(MERCY, 1, True),), StaleVersionError),
    Row("nobody is suspended", (Reinstate(MERCY, 0),), NotSuspendedError),
    Row("a stranger reinstated", (Reinstate(STRANGER, 0),), UnknownMemberError),
    Row("reinstated at another version", (Reinstate(MERCY, 1),), StaleVersionError),
    Row("a stranger's keys", (rekey("stranger", FRESH),), UnknownMemberError),
    Row("keys at another version", (rekey("northgate", FRESH, version=1),), StaleVersionError),
    Row("keys that another has", (rekey("northgate", OTHERS),), KeyTwiceError),
    Row("keys that change places", (replace(rekey("northgate", OLD), keys=CROSSED),), KeyTwiceError),
    Row(
        "keys had before",
        (rekey("northgate", FRESH), rekey("northgate", NET.party("northgate"), version=1)),
        KeyTwiceError,
    ),
    Row(
        "keys of small order",
        (replace(rekey("northgate", FRESH), keys=replace(FRESH.public, tls=bytes(32))),),
        UnsoundKeyError,
    ),
    Row("keys signed by the old ones", (rekey("northgate", FRESH, by=NET.party("northgate")),), BadProofError),
    Row("keys signed for another version", (replace(rekey("northgate", FRESH, version=1), version=0),), BadProofError),
    Row("a stranger's quota", (quota("stranger"),), UnknownMemberError),
    Row("a quota at another version", (quota(version=1),), StaleVersionError),
    Row("a member silenced by its quota", (quota(quota_bytes=LOW_QUOTA),), QuotaTooSmallError),
    Row("a committee again", (NewCommittee(NET.committee, (MERCY,)),), CommitteeTwiceError),
    Row("a committee of nobody", (NewCommittee(SECOND, ()),), CommitteeSizeError),
    Row("a committee of fourteen", (NewCommittee(SECOND, (MERCY,) * 14),), CommitteeSizeError),
    Row("a committee with a stranger", (NewCommittee(SECOND, (MERCY, STRANGER)),), UnknownHolderError),
    Row("a committee with one twice", (NewCommittee(SECOND, (MERCY, MERCY)),), SeatTwiceError),
    Row("seats of no committee", (SetSeats(NOWHERE, 1, (MERCY,)),), CommitteeNotFoundError),
    Row("seats at an epoch to come", (seats(NET, "mercy", epoch=2),), StaleEpochError),
    Row("seats at an epoch gone by", (seats(NET, "mercy"), seats(NET, "st-luke")), StaleEpochError),
    Row("a committee emptied", (seats(NET),), CommitteeSizeError),
    Row("a seat for a stranger", (seats(NET, "mercy", "stranger"),), UnknownHolderError),
    Row(
        "a seat for one that goes",
        (*without_northgate(), seats(NET, "mercy", "northgate", epoch=2)),
        UnknownHolderError,
    ),
    Row("two seats for one", (seats(NET, "mercy", "mercy"),), SeatTwiceError),
    Row("a pack at another version", (SetPack("us", 0, digest(b"p")),), StaleVersionError),
    Row("a pack where there is none", (SetPack("nz", 1, digest(b"p")),), StaleVersionError),
    Row("limits at another version", (SetParameters(1, GOOD),), StaleVersionError),
    *[
        Row(
            f"limits with {name} too small",
            (SetParameters(0, replace(GOOD, **{name: value})),),
            UnusableParametersError,
        )
        for name, value in (
            ("lane_bytes", LANE_BYTES_MIN - 1),
            ("messages_max", MESSAGES_MIN - 1),
            ("transaction_bytes_max", QUOTA_BYTES_MIN - 1),
            ("block_bytes_max", GOOD.transaction_bytes_max - 1),
        )
    ],
    Row("the rules in force", (Upgrade(1, 20),), NotNextRulesError),
    Row("rules after the next", (Upgrade(3, 20),), NotNextRulesError),
    Row("rules before the first", (Upgrade(0, 20),), NotNextRulesError),
    Row("a second upgrade while one waits", (Upgrade(2, 20), Upgrade(3, 30)), NotNextRulesError),
    Row("an upgrade in the past", (Upgrade(2, 9),), HeightPassedError),
    Row("an upgrade in this block", (Upgrade(2, 10),), HeightPassedError),
    Row("version before height", (Upgrade(3, 9),), NotNextRulesError),
    Row("no proposal to cancel", (Cancel(proposal_id("none")),), ProposalNotFoundError),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_a_change_is_refused(row: Row) -> None:
    state = founded(NET)
    for one in row.changes[:-1]:
        change(state, NOW, (one,))
    assert_refused(state, lambda: change(state, NOW, row.changes[-1:]), row.error)


def test_a_proposal_after_which_nobody_validates_is_refused() -> None:
    ledger = Ledger(NET)
    changes = tuple(SetValidator(MemberId(name), 0, False) for name in NAMES)
    assert ledger.send("mercy", propose(proposal_id("none"), *changes)) == NoValidatorError.code


def test_a_joiner_needs_a_jurisdiction_with_a_pack() -> None:
    state = founded(NET)
    PACKS.delete(state, "us")
    assert_refused(state, lambda: change(state, NOW, (add(),)), UnknownJurisdictionError)


def test_every_refusal_of_a_change_has_a_test() -> None:
    apart = {"UnknownJurisdictionError", "ProposalClosedError", "NoValidatorError", "SharesHeldError"}
    tested = {row.error.__name__ for row in REFUSALS} | apart
    assert {name for name in vars(changing) if name.endswith("Error")} == tested


def test_a_decided_proposal_is_not_cancelled() -> None:
    ledger = Ledger(NET)
    ledger.send("mercy", propose(proposal_id("p"), quota()))
    for member in ("st-luke", "lakeside"):
        ledger.send(member, reject(proposal_id("p")))
    state = ledger.state
    assert_refused(state, lambda: change(state, NOW, (Cancel(proposal_id("p")),)), ProposalClosedError)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(NET)


def executed(ledger: Ledger, *changes: Change) -> State:
    """The state after the members decided so; it is sound."""
    assert decide(ledger, *changes).standing is Standing.EXECUTED
    assert list(invariants(ledger.state)) == []
    return ledger.state


def test_a_joiner_becomes_a_member_that_validates_and_sponsors(ledger: Ledger) -> None:
    state = executed(ledger, add())
    assert entry(state, JOINER).keys == joiner().public
    assert (JOINER, joiner().validator.public) in validators(state)
    assert quota_of(state, JOINER) == 1 << 20
    ledger.network = with_party(NET, joiner())
    assert ledger.send(JOINER, NET.create(NET.id16("theirs"))) == ACCEPTED


def test_a_joiners_vote_counts_and_more_are_needed_then(ledger: Ledger) -> None:
    executed(ledger, add())
    ledger.network = with_party(NET, joiner())
    id = proposal_id("among five")
    ledger.send("mercy", propose(id, quota()))
    for member in ("st-luke", "lakeside"):
        assert ledger.send(member, approve(id)) == ACCEPTED
    assert standing(ledger.state, id).standing is Standing.OPEN
    assert ledger.send(JOINER, approve(id)) == ACCEPTED
    assert standing(ledger.state, id).standing is Standing.EXECUTED


def test_a_member_goes_with_all_that_hangs_on_it(ledger: Ledger) -> None:
    batch, credential = NET.id16("batch"), NET.id16("credential")
    assert ledger.send("northgate", NET.anchor("northgate", batch, good_until=ledger.time + 600_000)) == ACCEPTED
    assert ledger.send("northgate", NET.issue(credential, expires=ledger.time + 600_000)) == ACCEPTED
    state = executed(ledger, *without_northgate())
    assert member_of(state, NORTHGATE) is None
    assert successor_of(state, NORTHGATE) == MERCY
    assert jurisdictions(state)[NORTHGATE] == "us"
    assert NORTHGATE not in dict(validators(state))
    assert tls_keys_of(state, NORTHGATE) == ()
    assert ledger.send("northgate", NET.create(NET.id16("late"))) == "machine.unknown_sponsor"


def test_what_a_successor_answers_for_passes_on_when_it_goes_too(ledger: Ledger) -> None:
    executed(ledger, *without_northgate())
    decided = decide(
        ledger,
        seats(NET, "st-luke", "lakeside", epoch=2),
        gone(MERCY, "st-luke"),
        by=("st-luke", "lakeside", "mercy"),
    )
    assert decided.standing is Standing.EXECUTED
    assert successor_of(ledger.state, NORTHGATE) == successor_of(ledger.state, MERCY) == "st-luke"
    assert list(invariants(ledger.state)) == []


def test_a_member_that_goes_takes_its_votes_along(ledger: Ledger) -> None:
    id = proposal_id("open")
    ledger.send("northgate", propose(id, quota()))
    state = executed(ledger, *without_northgate())
    assert standing(state, id).approvals == ()
    assert standing(state, id).standing is Standing.OPEN
    for member in ("mercy", "st-luke"):
        ledger.send(member, approve(id))
    assert standing(ledger.state, id).standing is Standing.OPEN
    ledger.send("lakeside", approve(id))
    assert standing(ledger.state, id).standing is Standing.EXECUTED


def test_a_validator_steps_down_and_stays_a_member(ledger: Ledger) -> None:
    state = executed(ledger, SetValidator(NORTHGATE, 0, False))
    assert NORTHGATE not in dict(validators(state))
    assert NORTHGATE in members_of(state)


def test_new_keys_serve_at_once_and_the_old_ones_never_again(ledger: Ledger) -> None:
    state = executed(ledger, rekey("northgate", FRESH))
    assert dict(validators(state))[NORTHGATE] == FRESH.validator.public
    assert ledger.send("northgate", NET.create(NET.id16("old key"))) == "machine.bad_signature"
    ledger.network = with_party(NET, FRESH)
    assert ledger.send("northgate", NET.create(NET.id16("new key"))) == ACCEPTED


def test_a_key_that_stays_is_named_again_and_signs_again(ledger: Ledger) -> None:
    mixed = dataclasses.replace(NET.party("northgate"), ledger=FRESH.ledger)
    state = executed(ledger, rekey("northgate", mixed))
    assert entry(state, "northgate").keys == mixed.public
    assert epoch(state, NET) == 1  # Neither keeper nor sealing key changed.


def test_a_validators_address_is_known_after_it_changed_keys(ledger: Ledger) -> None:
    state = executed(ledger, rekey("northgate", FRESH))
    for key in (NET.party("northgate").validator.public, FRESH.validator.public):
        assert validator_at(state, digest(key)[:20]) == NORTHGATE
    assert validator_at(state, bytes(20)) is None


def test_seats_follow_new_keys_into_a_new_epoch(ledger: Ledger) -> None:
    executed(ledger, NewCommittee(SECOND, (MERCY,)))
    state = executed(ledger, rekey("northgate", FRESH))
    now, before = committee_of(state, NET.committee), committee_at(state, NET.committee, 1)
    assert now is not None
    assert before is not None
    assert (now.epoch, now.seats[3].key, now.seats[3].sealing) == (2, FRESH.keeper.public, FRESH.opening.public)
    assert before.seats[3].key == NET.party("northgate").keeper.public
    assert now.seats[:3] == before.seats[:3]
    second = committee_of(state, SECOND)
    assert second is not None
    assert second.epoch == 1


def test_a_seat_moves_and_the_old_epoch_stays_known(ledger: Ledger) -> None:
    state = executed(ledger, add(), seats(NET, "mercy", "st-luke", "lakeside", JOINER))
    now = committee_of(state, NET.committee)
    assert now is not None
    assert (now.epoch, now.seats[3].member) == (2, JOINER)
    before = committee_at(state, NET.committee, 1)
    assert before is not None
    assert before.seats[3].member == NORTHGATE
    assert committee_at(state, NET.committee, 2) == now
    assert committee_at(state, NET.committee, 3) is None


def test_a_second_committee_serves_further_subjects(ledger: Ledger) -> None:
    state = executed(ledger, NewCommittee(SECOND, (NORTHGATE, MERCY)))
    found = committee_of(state, SECOND)
    assert found is not None
    assert [seat.member for seat in found.seats] == [NORTHGATE, MERCY]
    cell = replace(NET.create(NET.id16("cell")), committee=SECOND)
    assert ledger.send("mercy", cell) == ACCEPTED


def test_packs_limits_and_quotas_change_by_vote(ledger: Ledger) -> None:
    state = executed(
        ledger, SetPack("us", 1, digest(b"p")), SetPack("nz", 0, digest(b"n")), SetParameters(0, GOOD), quota()
    )
    assert (pack_root_of(state, "us"), pack_root_of(state, "nz")) == (digest(b"p"), digest(b"n"))
    assert parameters_of(state) == GOOD
    assert quota_of(state, MERCY) == 20_000
    assert chain_of(state).version == 1


def test_other_rules_are_in_force_from_their_height_on(ledger: Ledger) -> None:
    state = executed(ledger, Upgrade(2, 100))
    assert [rules_at(state, height) for height in (0, 99, 100, 1_000)] == [1, 1, 2, 2]


def test_an_upgrade_that_waits_can_be_moved(ledger: Ledger) -> None:
    executed(ledger, Upgrade(2, 100))
    state = executed(ledger, Upgrade(2, 200))
    assert [(since, entry.rules) for since, entry in rules_ahead(state)] == [(0, 1), (200, 2)]


def test_a_proposal_that_is_open_or_waits_can_be_cancelled(ledger: Ledger) -> None:
    waits = decide(ledger, quota("mercy"), activate_at=1_000)
    assert waits.standing is Standing.ACCEPTED
    id = proposal_id("", 0)
    assert standing(ledger.state, id) == waits
    executed(ledger, Cancel(id))
    assert standing(ledger.state, id).standing is Standing.CANCELLED


# What follows for records and consent when a committee moves on.


def test_a_batch_with_receipts_of_the_old_epoch_is_refused_after_it(ledger: Ledger) -> None:
    until = ledger.time + 600_000
    dealt = NET.anchor("mercy", NET.id16("in flight"), good_until=until)
    executed(ledger, seats(NET, "st-luke", "mercy", "lakeside", "northgate"))
    assert ledger.send("mercy", dealt) == "records.stale_epoch"
    wrong = NET.anchor("mercy", NET.id16("in flight"), good_until=until, epoch=2)
    assert ledger.send("mercy", wrong) == "records.bad_receipt"  # By the seats' old holders.
    one, two, *rest = NET.parties
    moved = replace_parties(NET, (two, one, *rest))
    again = moved.anchor("mercy", NET.id16("in flight"), good_until=until, epoch=2)
    assert ledger.send("mercy", again) == ACCEPTED


def test_a_quorum_is_counted_among_the_new_seats(ledger: Ledger) -> None:
    until = ledger.time + 600_000
    executed(ledger, seats(NET, "mercy"))
    batch = NET.anchor("mercy", NET.id16("alone"), good_until=until, seats=(1,), epoch=2)
    assert ledger.send("mercy", batch) == ACCEPTED
    more = NET.anchor("mercy", NET.id16("more"), good_until=until, seats=(1, 2), epoch=2)
    assert ledger.send("mercy", more) == "records.unknown_seat"


def test_a_consent_advances_with_receipts_of_the_current_epoch_alone(ledger: Ledger) -> None:
    cell = NET.id16("cell")
    owner = NET.owner(cell, 0)
    assert ledger.send("mercy", NET.create(cell)) == ACCEPTED
    executed(ledger, rekey("mercy", joiner("mercy")))
    assert ledger.send("st-luke", NET.advance(cell, 0), witnesses=[owner]) == "cells.bad_receipt"
    assert ledger.send("st-luke", NET.advance(cell, 0, epoch=2), witnesses=[owner]) == "cells.bad_receipt"
    unmoved = NET.advance(cell, 0, epoch=2, seats=(2, 3))  # Seats whose keys stayed sign for the new epoch.
    assert ledger.send("st-luke", unmoved, witnesses=[owner]) == ACCEPTED


def test_a_freeze_needs_no_keeper_and_no_epoch(ledger: Ledger) -> None:
    cell = NET.id16("cell")
    ledger.send("mercy", NET.create(cell))
    freeze = ledger.tx("st-luke", NET.freeze(cell, 0), witnesses=[NET.owner(cell, 0)])
    executed(ledger, seats(NET, "northgate", "mercy"))
    assert ledger.block(freeze).results[0].code == ACCEPTED
