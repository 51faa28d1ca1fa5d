"""The machine: one row per refusal before any contract, all or nothing, quotas, empty blocks, admission."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from salus.contracts.credentials.messages import Revoke
from salus.contracts.members.errors import NotFoundedError
from salus.contracts.members.messages import (
    AnnounceTls,
    Endpoints,
    Misbehaviour,
    Move,
    Offence,
    Parameters,
    RotateGateway,
    RotateTls,
    SetQuota,
)
from salus.contracts.reads.messages import LogKind, LogRoot
from salus.contracts.reads.tables import LOG_ROOTS, REQUESTS
from salus.contracts.records.messages import FirstWithdraw, Withdraw
from salus.core.errors import IntegrityError, MalformedError, RefusalError
from salus.core.ids import HOUR_MS, NO_DIGEST, MemberId
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey
from salus.machine import routes
from salus.machine.admission import remembering
from salus.machine.block import ACCEPTED, Block, Result
from salus.machine.errors import (
    BadSignatureError,
    BadWitnessError,
    ExpiredError,
    ForeignBlockError,
    KeyTwiceError,
    OtherChainError,
    OverLaneError,
    OverQuotaError,
    TooFarAheadError,
    TooLargeError,
    TooManyMessagesError,
    TooManyWitnessesError,
    UnknownSponsorError,
)
from salus.machine.machine import Machine
from salus.machine.transaction import AnyMessage, Body, Tx, Witness, sign, transaction_id
from salus.state.errors import CorruptValueError
from salus.state.key_value import MemoryStore
from salus.state.state import State
from tests.support.governance import approve, decide, proposal_id, propose, seats
from tests.support.network import BLOCK_MS, CHAIN, NAMES, STARTED, Ledger, network
from tests.support.refusals import everything

NET = network(4, parameters=Parameters(transaction_bytes_max=1_500, messages_max=3))
NOW = STARTED + BLOCK_MS
CELL = NET.id16("cell")
STRANGER = SigningKey(digest(b"stranger"))
ROOT = LogRoot(log=LogKind.KEEPER, version=0, root=digest(b"log"))
MERCY = NET.party("mercy")


def body(*messages: AnyMessage, **changes: object) -> Body:
    made = Body(chain=CHAIN, valid_until=NOW + HOUR_MS, messages=messages or (ROOT,), sponsor=MERCY.member)
    return replace(made, **changes)


def signed(of: Body, *witnesses: SigningKey, by: SigningKey = MERCY.ledger) -> bytes:
    return sign(of, by, *witnesses)


def with_witnesses(of: Body, witnesses: Sequence[Witness]) -> bytes:
    return encode(replace(decode(Tx, signed(of)), witnesses=tuple(witnesses)))


def keys(count: int) -> list[SigningKey]:
    return [SigningKey(digest(bytes((number,)))) for number in range(count)]


FORGED = Witness(key=STRANGER.public, signature=bytes(64))
LARGE = body(*[NET.anchor("mercy", NET.id16("b", i), good_until=NOW + HOUR_MS, seats=(1, 2, 3, 4)) for i in range(3)])
MANY = body(*[NET.create(NET.id16("c", i)) for i in range(4)])


@dataclass(frozen=True)
class Row:
    """A transaction that the machine must refuse."""

    why: str
    tx: bytes
    error: type[RefusalError]


REFUSALS = [
    Row("another chain", signed(body(chain="other")), OtherChainError),
    Row("chain before time", signed(body(chain="other", valid_until=0)), OtherChainError),
    Row("over by a millisecond", signed(body(valid_until=NOW - 1)), ExpiredError),
    Row("an hour and a millisecond ahead", signed(body(valid_until=NOW + HOUR_MS + 1)), TooFarAheadError),
    Row("time before sponsor", signed(body(valid_until=0, sponsor="stranger")), ExpiredError),
    Row("a stranger as sponsor", signed(body(sponsor="stranger"), by=STRANGER), UnknownSponsorError),
    Row("sponsor before size", signed(replace(LARGE, sponsor="stranger")), UnknownSponsorError),
    Row("too large", signed(LARGE), TooLargeError),
    Row("too many messages", signed(MANY), TooManyMessagesError),
    Row("count before signature", signed(MANY, by=STRANGER), TooManyMessagesError),
    Row("signed by a stranger", signed(body(), by=STRANGER), BadSignatureError),
    Row("signed by another member", signed(body(), by=NET.party("lakeside").ledger), BadSignatureError),
    Row("signed by another key of the member", signed(body(), by=MERCY.keeper), BadSignatureError),
    Row("signature before witnesses", signed(body(), *keys(4), by=STRANGER), BadSignatureError),
    Row("too many witnesses", signed(body(), *keys(4)), TooManyWitnessesError),
    Row("a witness twice", signed(body(), STRANGER, STRANGER), KeyTwiceError),
    Row("the sponsor as its own witness", signed(body(), MERCY.ledger), KeyTwiceError),
    Row("twice before forged", with_witnesses(body(), [FORGED, FORGED]), KeyTwiceError),
    Row("a forged witness", with_witnesses(body(), [FORGED]), BadWitnessError),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.why)
def test_a_transaction_is_refused_before_any_contract(row: Row) -> None:
    ledger = Ledger(NET)
    before = everything(ledger.state)
    with pytest.raises(RefusalError) as caught:
        ledger.machine.check(ledger.state, row.tx, NOW)
    assert type(caught.value) is row.error
    named = transaction_id(decode(Tx, row.tx).body)
    assert ledger.block(row.tx).results == (Result(tx_id=named, code=row.error.code),)
    assert everything(ledger.state) == before


GOOD = signed(body())
GOOD_TX = decode(Tx, GOOD)
WIDE = encode(body(valid_until=1)).replace(b"\x01", b"\xcc\x01", 1)
MALFORMED = {
    "nothing": b"",
    "not MessagePack": b"\xc1",
    "a number": encode(7),
    "a trailing byte": GOOD + b"\0",
    "cut short": GOOD[:-1],
    "a body alone": GOOD_TX.body,
    "an empty body": encode(replace(GOOD_TX, body=b"")),
    "a body with a trailing byte": encode(replace(GOOD_TX, body=GOOD_TX.body + b"\0")),
    "an integer written long": encode(replace(GOOD_TX, body=WIDE)),
    "no messages": encode(replace(GOOD_TX, body=encode(replace(body(), messages=())))),
    "a message of no contract": encode(replace(GOOD_TX, body=GOOD_TX.body.replace(b"log_root/1", b"log_root/2"))),
    "a short signature": encode(replace(GOOD_TX, signature=bytes(63))),
    "a sponsor in capitals": encode(replace(GOOD_TX, body=encode(body(sponsor="Mercy")))),
    "a negative time": encode(replace(GOOD_TX, body=encode(body(valid_until=-1)))),
    "deep nesting": b"\x91" * 100_000,
}


@pytest.mark.parametrize("why", MALFORMED)
def test_bytes_that_are_no_transaction_never_reach_a_rule(why: str) -> None:
    ledger = Ledger(NET)
    before = everything(ledger.state)
    with pytest.raises(MalformedError):
        ledger.machine.check(ledger.state, MALFORMED[why], NOW)
    assert ledger.block(MALFORMED[why]).results == (Result(tx_id=NO_DIGEST, code="salus.malformed"),)
    assert everything(ledger.state) == before


@pytest.mark.parametrize("valid_until", [NOW, NOW + HOUR_MS])
def test_a_transaction_is_good_at_both_ends_of_its_time(valid_until: int) -> None:
    assert Ledger(NET).block(signed(body(valid_until=valid_until))).results[0].code == ACCEPTED


def test_one_refused_message_takes_all_others_with_it() -> None:
    ledger = Ledger(NET)
    before = everything(ledger.state)
    assert ledger.send("mercy", NET.create(CELL), ROOT, ROOT) == "reads.stale_version"
    assert everything(ledger.state) == before


def test_a_refused_transaction_does_not_touch_its_neighbours() -> None:
    ledger = Ledger(NET)
    txs = [ledger.tx("mercy", NET.create(CELL)), ledger.tx("lakeside", NET.create(CELL)), ledger.tx("lakeside", ROOT)]
    assert [result.code for result in ledger.block(*txs).results] == ["ok", "cells.exists", "ok"]


def test_a_later_message_sees_what_an_earlier_one_wrote() -> None:
    ledger = Ledger(NET)
    assert ledger.send("mercy", NET.create(CELL), NET.freeze(CELL, 0), witnesses=[NET.owner(CELL, 0)]) == ACCEPTED


def test_an_owner_who_did_not_sign_as_a_witness_is_not_heard() -> None:
    ledger = Ledger(NET)
    ledger.send("mercy", NET.create(CELL))
    assert ledger.send("mercy", NET.freeze(CELL, 0)) == "cells.not_owner"
    assert ledger.send("mercy", NET.freeze(CELL, 0), witnesses=[STRANGER]) == "cells.not_owner"


def replayed(ledger: Ledger) -> list[tuple[bytes, str]]:
    """One transaction of every kind, with the code of the contract that must refuse it the second time.

    The committee is at its second epoch, and a batch was anchored at the first.
    """
    earlier = NET.id16("earlier batch")
    assert ledger.send("mercy", NET.anchor("mercy", earlier, good_until=NOW + HOUR_MS)) == ACCEPTED
    decide(ledger, seats(NET, *NAMES))
    until = NOW + HOUR_MS
    other, third = NET.id16("other"), NET.id16("third")
    credential, batch = NET.id16("credential"), NET.id16("batch")

    proposal, tls = proposal_id("replayed"), SigningKey(digest(b"tls"))
    cheaper = SetQuota(member=MERCY.member, version=0, quota_bytes=20_000)

    def owned(message: AnyMessage, cell: bytes, version: int) -> bytes:
        return ledger.tx("mercy", message, witnesses=[NET.owner(cell, version)], valid_until=until)

    def plain(message: AnyMessage) -> bytes:
        return ledger.tx("mercy", message, valid_until=until)

    ledger_txs = [
        (plain(NET.create(CELL)), "cells.exists"),
        (plain(NET.create(other)), "cells.exists"),
        (plain(NET.create(third)), "cells.exists"),
        (owned(NET.advance(CELL, 0, epoch=2), CELL, 0), "cells.stale_version"),
        (owned(NET.freeze(other, 0), other, 0), "cells.stale_version"),
        (owned(NET.thaw(other, 1), other, 1), "cells.stale_version"),
        (owned(NET.close(third, 0), third, 0), "cells.stale_version"),
        (plain(NET.issue(credential, expires=until)), "credentials.exists"),
        (plain(Revoke(credential_id=credential, version=0)), "credentials.stale_version"),
        (plain(NET.anchor("mercy", batch, good_until=until, epoch=2)), "records.batch_exists"),
        (plain(NET.attest("mercy", earlier, good_until=until, holders=NAMES)), "records.attested_before"),
        (plain(FirstWithdraw(batch_id=batch, index=0)), "records.already_withdrawn"),
        (plain(Withdraw(batch_id=batch, index=1)), "records.already_withdrawn"),
        (plain(NET.request(NET.id16("request"), expires=until)), "reads.exists"),
        (plain(ROOT), "reads.stale_version"),
        (ledger.tx("lakeside", propose(proposal, cheaper), valid_until=until), "members.proposal_exists"),
        (plain(approve(proposal)), "members.voted_already"),
        (plain(Move(0, Endpoints(keeper="mercy.example:7443"))), "members.stale_version"),
        (ledger.tx("mercy", AnnounceTls(1, tls.public), witnesses=[tls], valid_until=until), "members.stale_version"),
        (plain(RotateTls(2)), "members.stale_version"),
        (plain(RotateGateway(3, OpeningKey(digest(b"gateway")).public)), "members.stale_version"),
    ]
    kinds = {type(message) for tx, _ in ledger_txs for message in decode(Body, decode(Tx, tx).body).messages}
    assert kinds == set(routes.ROUTES)
    return ledger_txs


@pytest.mark.parametrize("same_block", [True, False])
def test_a_replay_of_every_kind_is_refused_by_the_contract_itself(same_block: bool) -> None:
    ledger = Ledger(NET)
    kinds = replayed(ledger)
    txs = [tx for tx, _ in kinds]
    if same_block:
        codes = [result.code for result in ledger.block(*txs, *txs).results]
    else:
        codes = [result.code for _ in range(2) for result in ledger.block(*txs).results]
    assert codes == [ACCEPTED] * len(kinds) + [code for _, code in kinds]


SMALL = network(4, quota_bytes=600, parameters=Parameters(lane_bytes=1_100))


def test_a_member_over_its_quota_is_refused_and_the_others_are_not() -> None:
    ledger = Ledger(SMALL)
    own = [ledger.tx("mercy", SMALL.create(SMALL.id16("c", i))) for i in range(3)]
    other = ledger.tx("lakeside", SMALL.create(SMALL.id16("d")))
    codes = [result.code for result in ledger.block(*own, other).results]
    assert codes == [ACCEPTED, ACCEPTED, OverQuotaError.code, ACCEPTED]


def test_a_quota_begins_anew_with_every_block_and_counts_what_a_contract_refused() -> None:
    ledger = Ledger(SMALL)
    twice = [ledger.tx("mercy", SMALL.create(SMALL.id16("c")))] * 2
    last = ledger.tx("mercy", ROOT)
    codes = [result.code for result in ledger.block(*twice, last).results]
    assert codes == [ACCEPTED, "cells.exists", OverQuotaError.code]
    assert ledger.block(last).results[0].code == ACCEPTED


def test_what_is_not_signed_by_the_sponsor_does_not_use_up_its_quota() -> None:
    ledger = Ledger(SMALL)
    forged = [sign(Body(CHAIN, NOW, (ROOT,), MERCY.member), STRANGER)] * 9
    codes = [result.code for result in ledger.block(*forged, ledger.tx("mercy", ROOT)).results]
    assert codes == [BadSignatureError.code] * 9 + [ACCEPTED]


def test_a_full_quota_cannot_block_a_freeze_and_a_full_lane_is_refused() -> None:
    ledger = Ledger(SMALL)
    cells = [SMALL.id16("c", i) for i in range(4)]
    for cell in cells:
        ledger.send("lakeside", SMALL.create(cell))
    full = [ledger.tx("mercy", SMALL.create(SMALL.id16("d", i))) for i in range(3)]
    freezes = [ledger.tx("mercy", SMALL.freeze(cell, 0), witnesses=[SMALL.owner(cell, 0)]) for cell in cells]
    codes = [result.code for result in ledger.block(*full, *freezes).results]
    assert codes == [ACCEPTED, ACCEPTED, OverQuotaError.code, *[ACCEPTED] * 3, OverLaneError.code]


def test_a_freeze_with_company_uses_the_quota() -> None:
    tight = network(4, quota_bytes=10)
    ledger = Ledger(tight)
    tx = ledger.tx("mercy", tight.freeze(CELL, 0), ROOT, witnesses=[tight.owner(CELL, 0)])
    assert ledger.block(tx).results[0].code == OverQuotaError.code


def test_a_block_without_transactions_changes_nothing_however_late() -> None:
    ledger = Ledger(NET)
    ledger.send("mercy", NET.request(NET.id16("request"), expires=ledger.time + 2 * BLOCK_MS))
    before, app_hash = everything(ledger.state), ledger.app_hash
    assert ledger.block(after_ms=100 * HOUR_MS).app_hash == app_hash
    assert everything(ledger.state) == before


def test_the_next_block_with_a_transaction_forgets_what_is_due() -> None:
    ledger = Ledger(NET)
    request_id = NET.id16("request")
    ledger.send("mercy", NET.request(request_id, expires=ledger.time + 2 * BLOCK_MS))
    ledger.block(after_ms=100 * HOUR_MS)
    assert REQUESTS.has(ledger.state, request_id)
    ledger.send("mercy", ROOT)
    assert not REQUESTS.has(ledger.state, request_id)


def test_neither_height_nor_time_leaves_a_trace_in_the_app_hash() -> None:
    early, late = Ledger(NET), Ledger(NET)
    late.block(after_ms=5 * HOUR_MS)
    assert early.send("mercy", NET.create(CELL)) == late.send("mercy", NET.create(CELL)) == ACCEPTED
    assert early.app_hash == late.app_hash


def test_check_accepts_what_a_block_would_accept_and_writes_nothing() -> None:
    ledger = Ledger(NET)
    state = ledger.state
    before = everything(state)
    ledger.machine.check(state, GOOD, NOW)
    assert everything(state) == before
    assert ledger.block(GOOD).results[0].code == ACCEPTED


def test_check_refuses_what_a_contract_refuses() -> None:
    ledger = Ledger(NET)
    ledger.block(GOOD)
    with pytest.raises(RefusalError) as caught:
        ledger.machine.check(ledger.state, GOOD, NOW)
    assert caught.value.code == "reads.stale_version"


def test_a_block_of_another_chain_stops_the_node() -> None:
    ledger = Ledger(NET)
    block = Block(chain=network(4, seed=b"x").chain, height=1, time=NOW, previous=NO_DIGEST, txs=())
    with pytest.raises(ForeignBlockError):
        ledger.machine.apply(ledger.state, replace(block, chain="other"))


def test_a_state_without_genesis_takes_no_block() -> None:
    with pytest.raises(NotFoundedError):
        Machine().apply(State(MemoryStore()), Block(CHAIN, 1, NOW, NO_DIGEST, ()))


def test_evidence_changes_the_state_of_a_block_without_transactions() -> None:
    ledger = Ledger(network(4))
    before = ledger.block()
    shown = Misbehaviour(validator=MERCY.member, offence=Offence.DUPLICATE_VOTE, height=1)
    applied = ledger.block(misbehaviour=(shown,))
    assert applied.app_hash != before.app_hash
    assert applied.validators != before.validators
    assert ledger.block().app_hash == applied.app_hash


def test_evidence_is_part_of_the_block() -> None:
    block = Block(CHAIN, 1, NOW, NO_DIGEST, (), (Misbehaviour(MERCY.member, Offence.LIGHT_CLIENT_ATTACK, 1),))
    assert decode(Block, encode(block)) == block
    assert encode(block) != encode(replace(block, misbehaviour=()))


def test_damage_in_the_store_passes_through_and_is_no_refusal() -> None:
    ledger = Ledger(NET)
    state = ledger.state
    state.put(LOG_ROOTS.key_bytes((MERCY.member, "keeper")), b"\xc1")
    state.commit()
    with pytest.raises(CorruptValueError) as caught:
        ledger.block(GOOD)
    assert isinstance(caught.value, IntegrityError)


def test_a_remembered_verdict_is_asked_for_once_and_forgotten_in_the_end() -> None:
    asked: list[bytes] = []

    def verify(key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(key)
        return key == b"good"

    remembered = remembering(verify, 2)
    verdicts = [remembered(key, b"m", b"s") for key in (b"good", b"good", b"bad", b"bad", b"else", b"good")]
    assert verdicts == [True, True, False, False, False, True]
    assert asked == [b"good", b"bad", b"else", b"good"]


def test_a_route_leads_every_message_that_can_be_decoded_to_a_function() -> None:
    decodable = set(AnyMessage.__args__)
    named: dict[type, Callable[..., None]] = dict(routes.ROUTES)
    assert set(named) == decodable
    for message, transition in named.items():
        assert transition.__name__.replace("_", "") == message.__name__.removeprefix("First").lower()


def test_members_are_told_apart_by_their_names_alone() -> None:
    ledger = Ledger(NET)
    assert ledger.send("lakeside", ROOT) == ledger.send("mercy", ROOT) == ACCEPTED
    assert LOG_ROOTS.has(ledger.state, (MemberId("lakeside"), "keeper"))
