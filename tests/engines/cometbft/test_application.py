"""What the application answers, asked as CometBFT asks, without CometBFT."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from salus.contracts.members.messages import Offence
from salus.contracts.members.reads import evidence_of, suspension_of, validators
from salus.core.errors import IntegrityError
from salus.core.ids import HOUR_MS, MINUTE_MS, MemberId, TimeMs
from salus.core.wire import decode, encode, replace
from salus.crypto import signatures
from salus.crypto.digests import digest
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft import checking, proposing
from salus.engines.cometbft.application import Application, NotOurGenesisError
from salus.engines.cometbft.founding import comet_genesis
from salus.engines.cometbft.frames import Frames
from salus.engines.cometbft.server import EngineLostError
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.machine.admission import remembering
from salus.machine.machine import Machine
from salus.machine.transaction import Tx
from salus.state.proofs import Proof, verify
from salus.state.state import State
from tests.support.network import STARTED, Network, network

MERCY = MemberId("mercy")


@dataclass
class Asked:
    """An application and what it is asked."""

    network: Network
    replica: Replica
    verified: list[bytes] = field(default_factory=list)
    now: TimeMs = STARTED

    def __post_init__(self) -> None:
        def verify(key: bytes, message: bytes, signature: bytes) -> bool:
            self.verified.append(signature)
            return signatures.verify(key, message, signature)

        machine = Machine(remembering(verify))
        self.replica._machine = machine
        self.application = Application(self.replica, machine, lambda: self.now)

    def ask(self, **request: Any) -> abci.Response:
        data = self.application.answer(abci.Request(**request))
        return abci.Response.FromString(next(iter(Frames().feed(data))))

    def check(self, tx: bytes, *, again: bool = False) -> str:
        said = self.ask(check_tx=abci.CheckTx(tx=tx, type=abci.RECHECK if again else abci.NEW)).check_tx
        assert bool(said.code) == bool(said.data)
        return said.data.decode() or "ok"

    def propose(self, *txs: bytes, size_bytes_max: int = 1 << 20) -> list[bytes]:
        asked = abci.PrepareProposal(max_tx_bytes=size_bytes_max, txs=txs, height=1, time=at(self.replica.time))
        return list(self.ask(prepare_proposal=asked).prepare_proposal.txs)

    def accepts(self, *txs: bytes) -> bool:
        said = self.ask(process_proposal=abci.ProcessProposal(txs=txs, height=1)).process_proposal.status
        assert said != abci.ProcessProposalResponse.UNKNOWN
        return said == abci.ProcessProposalResponse.ACCEPT

    def finalize(self, *txs: bytes, time: TimeMs | None = None, **more: Any) -> abci.FinalizeBlockResponse:
        when = at(self.replica.time + 1_000 if time is None else time)
        asked = abci.FinalizeBlock(txs=txs, height=self.replica.height + 1, time=when, **more)
        return self.ask(finalize_block=asked).finalize_block

    def block(self, *txs: bytes, **more: Any) -> list[str]:
        said = self.finalize(*txs, **more)
        assert self.ask(commit=abci.Empty()).WhichOneof("value") == "commit"
        return [result.data.decode() for result in said.tx_results]

    def create(self, name: str, sponsor: str = "mercy", valid_until: TimeMs = STARTED + HOUR_MS // 2) -> bytes:
        return self.network.tx(sponsor, self.network.create(self.network.id16(name)), valid_until=valid_until)


def at(time: TimeMs) -> abci.Time:
    return abci.Time(seconds=time // 1_000, nanos=time % 1_000 * 1_000_000 + 999_999)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    net = network(4)
    replica = Replica(MERCY, net.genesis, LmdbStore(tmp_path), Machine())
    yield Asked(net, replica)
    replica.close()


def init_chain(net: Network, **changes: Any) -> abci.InitChain:
    said = json.loads(comet_genesis(net.genesis))
    state = json.dumps(said["app_state"]).encode()
    asked = abci.InitChain(chain_id=said["chain_id"], app_state_bytes=state, initial_height=1)
    for name, value in changes.items():
        setattr(asked, name, value)
    return asked


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": "other"},
        {"initial_height": 2},
        {"app_state_bytes": b""},
        {"app_state_bytes": b"not json"},
        {"app_state_bytes": b"\xff"},
        {"app_state_bytes": b"{}"},
        {"app_state_bytes": b'{"genesis": "00"}'},
    ],
)
def test_another_genesis_than_ours_is_refused(asked: Asked, changes: dict[str, Any]) -> None:
    with pytest.raises(NotOurGenesisError):
        asked.ask(init_chain=init_chain(asked.network, **changes))


def test_a_chain_that_has_begun_does_not_begin_again(asked: Asked) -> None:
    asked.block()
    with pytest.raises(NotOurGenesisError):
        asked.ask(init_chain=init_chain(asked.network))


def test_our_genesis_is_answered_with_validators_and_root(asked: Asked) -> None:
    said = asked.ask(init_chain=init_chain(asked.network)).init_chain
    assert said.app_hash == asked.replica.state.root()
    keys = {party.validator.public for party in asked.network.parties}
    assert {(each.pub_key.ed25519, each.power) for each in said.validators} == {(key, 1) for key in keys}


def test_a_request_that_is_not_known_ends_the_process(asked: Asked) -> None:
    with pytest.raises(EngineLostError):
        asked.application.answer(abci.Request())
    with pytest.raises(EngineLostError):
        asked.ask(list_snapshots=abci.Empty())  # Nobody has said who answers it.


def test_a_check_says_why_not_and_leaves_nothing(asked: Asked) -> None:
    root = asked.replica.state.root()
    assert asked.check(b"nothing") == "salus.malformed"
    assert asked.check(asked.create("a", valid_until=STARTED - 1)) == "machine.expired"
    assert asked.check(asked.create("a", valid_until=STARTED + HOUR_MS + 1)) == "machine.too_far_ahead"
    forged = replace(decode(Tx, asked.create("a")), signature=bytes(64))
    assert asked.check(encode(forged)) == "machine.bad_signature"
    assert asked.check(asked.create("a")) == "ok"
    assert asked.check(asked.create("a")) == "ok"  # Nothing of the first one stays.
    assert asked.replica.state.root() == root


def test_the_own_clock_counts_in_a_check_when_block_time_stands_still(asked: Asked) -> None:
    later = STARTED + 3 * HOUR_MS
    tx = asked.create("a", valid_until=later + MINUTE_MS)
    assert asked.check(tx) == "machine.too_far_ahead"
    asked.now = later
    assert asked.check(tx) == "ok"
    assert asked.propose(tx) == []  # In this block it would be too far ahead: its time is that of the votes before.
    asked.block(time=later)
    assert asked.propose(tx) == [tx]
    assert asked.block(tx) == ["ok"]


def test_a_signature_is_verified_once_for_check_and_block_and_afresh_when_unseen(asked: Asked) -> None:
    tx, unseen = asked.create("a"), asked.create("b")
    assert asked.check(tx) == "ok"
    assert len(asked.verified) == 1
    assert asked.block(tx) == ["ok"]
    assert len(asked.verified) == 1
    assert asked.block(unseen) == ["ok"]
    assert len(asked.verified) == 2


def test_a_recheck_looks_at_the_limit_alone(asked: Asked) -> None:
    tx, short = asked.create("a"), asked.create("b", valid_until=STARTED + 1_500)
    assert asked.check(tx) == asked.check(short) == "ok"
    asked.block()
    assert asked.check(short, again=True) == "ok"
    asked.block()
    before = len(asked.verified)
    assert asked.check(short, again=True) == "machine.expired"
    assert asked.check(tx, again=True) == "ok"
    assert len(asked.verified) == before


def test_a_fault_in_a_check_or_query_is_a_code_and_told_and_nothing_else_stops(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    asked.application.on_fault(told.append)
    tx, key = asked.create("a"), next(key for key, _ in asked.replica.state.scan(b""))
    with monkeypatch.context() as broken:
        for place, name in ((checking.Checker, "check"), (checking.Checker, "recheck"), (State, "get")):
            broken.setattr(place, name, _broken)
        assert asked.check(tx) == asked.check(tx, again=True) == "engine.fault"
        said = asked.ask(query=abci.Query(path="/state", data=key)).query
        assert (said.code, said.value, said.log) == (1, b"", "engine.fault")
    assert [type(error) for error in told] == [ZeroDivisionError] * 3
    assert asked.check(b"nothing") == "salus.malformed"  # A refusal is no fault.
    assert len(told) == 3
    assert asked.check(tx) == asked.check(tx, again=True) == "ok"
    assert asked.ask(query=abci.Query(path="/state", data=key)).query.value


def test_a_fault_in_a_block_is_raised_and_ends_the_process(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replica, "prepare", _broken)
    with pytest.raises(ZeroDivisionError):
        asked.finalize(asked.create("a"))


def _broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_nobodys_waiting_transactions_keep_others_out(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "POOL_TXS", 16)  # Four for each of four.
    txs = [asked.create(f"cell {number}") for number in range(5)]
    assert [asked.check(tx) for tx in txs] == ["ok"] * 4 + ["engine.busy"]
    assert asked.check(asked.create("other", sponsor="lakeside")) == "ok"
    lane = asked.network.tx("mercy", _freeze(asked), valid_until=STARTED + MINUTE_MS)
    assert asked.check(lane) == "cells.not_found"  # It has its own share, and is judged.
    asked.block(*txs[:2])
    assert asked.check(txs[2]) == "ok"  # It waits already, and takes no more room than before.
    assert [asked.check(asked.create(name)) for name in ("e", "f", "g")] == ["ok", "ok", "engine.busy"]
    asked.block(asked.create("never checked here"))
    assert asked.check(asked.create("g")) == "engine.busy"


def test_what_has_run_out_while_it_waited_is_refused_by_its_block_and_makes_room(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "POOL_TXS", 4)  # One for each of four.
    short = asked.create("a", valid_until=STARTED + 1_500)
    assert asked.check(short) == "ok"
    asked.block(time=STARTED + 2_000)
    assert asked.check(asked.create("b")) == "engine.busy"
    assert asked.block(*asked.propose(short)) == ["machine.expired"]
    assert asked.check(asked.create("b")) == "ok"


def test_a_check_between_a_block_and_its_commit_leaves_no_old_moment_behind(asked: Asked) -> None:
    first = asked.create("a")
    freeze = asked.network.tx(
        "mercy", _freeze(asked), valid_until=STARTED + MINUTE_MS, witnesses=(asked.network.owner(bytes(16), 0),)
    )
    asked.finalize(first)
    assert asked.check(freeze) == "cells.not_found"
    asked.ask(commit=abci.Empty())
    assert asked.check(freeze) == "cells.not_owner"  # The cell is there now.


def test_what_waits_is_counted_until_its_block_is_kept(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mempool takes new transactions while a block is worked out, and is closed from its commit on."""
    monkeypatch.setattr(checking, "POOL_TXS", 16)
    txs, more = ([asked.create(f"{what} {number}") for number in range(4)] for what in ("cell", "more"))
    assert [asked.check(tx) for tx in txs] == ["ok"] * 4
    asked.finalize()
    assert [asked.check(tx) for tx in more] == ["engine.busy"] * 4
    asked.ask(commit=abci.Empty())
    assert [asked.check(tx, again=True) for tx in txs] == ["ok"] * 4
    assert [asked.check(tx) for tx in more] == ["engine.busy"] * 4  # The block held none of them.
    asked.finalize(*txs)
    assert asked.check(more[0]) == "engine.busy"
    asked.ask(commit=abci.Empty())
    assert [asked.check(tx) for tx in more] == ["ok"] * 4


def test_a_check_while_a_block_is_worked_out_leaves_no_old_moment_behind(asked: Asked) -> None:
    asked.finalize(asked.create("a"))
    assert asked.check(asked.create("a")) == "ok"  # As of the block before.
    asked.ask(commit=abci.Empty())
    assert asked.check(asked.create("a")) == "cells.exists"


def _freeze(asked: Asked) -> Any:
    return asked.network.freeze(asked.network.id16("a"), 0)


def test_a_proposal_takes_the_lane_first_and_nobody_beyond_their_quota(tmp_path: Path) -> None:
    net = network(4, quota_bytes=700)
    replica = Replica(MERCY, net.genesis, LmdbStore(tmp_path), Machine())
    asked = Asked(net, replica)
    asked.block(asked.create("a"))
    bulk = [asked.create(f"cell {number}") for number in range(5)]
    other = asked.create("theirs", sponsor="lakeside")
    key = net.owner(net.id16("a"), 0)
    freeze = net.tx("mercy", _freeze(asked), valid_until=STARTED + MINUTE_MS, witnesses=(key,))
    chosen = asked.propose(*bulk, b"nothing", bulk[0], other, freeze)
    assert chosen == [*bulk[:2], other, freeze]  # In the order in which they came.
    assert asked.propose(*bulk, freeze, size_bytes_max=len(freeze)) == [freeze]
    assert asked.propose(*bulk, size_bytes_max=10) == []
    assert asked.block(*chosen) == ["ok"] * 4
    assert asked.propose() == []
    replica.close()


def test_a_proposal_is_refused_for_nonsense_alone(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    good, expired = asked.create("a"), asked.create("b", valid_until=1)
    assert asked.accepts()
    assert asked.accepts(good, expired)  # What a rule refuses is no nonsense.
    assert not asked.accepts(good, b"nothing")
    assert not asked.accepts(good, good)
    monkeypatch.setattr(proposing, "TXS_PER_BLOCK_MAX", 1)
    assert not asked.accepts(good, expired)
    large = [asked.network.tx("mercy", *_many(asked, n), valid_until=STARTED + 60_000) for n in range(40)]
    monkeypatch.undo()
    assert sum(map(len, large)) > 4 << 20
    assert not asked.accepts(*large)
    assert asked.accepts(*large[:30])


def _many(asked: Asked, number: int) -> list[Any]:
    return [asked.network.create(asked.network.id16(number, each)) for each in range(900)]


def test_a_block_gives_codes_and_root_and_shows_only_once_committed(asked: Asked) -> None:
    before = asked.replica.state.root()
    txs = (asked.create("a"), asked.create("a", sponsor="lakeside"), b"nothing")
    said = asked.finalize(*txs)
    assert [(each.code, each.data.decode()) for each in said.tx_results] == [
        (0, "ok"),
        (1, "cells.exists"),
        (1, "salus.malformed"),
    ]
    assert asked.replica.state.root() == before != said.app_hash
    assert asked.check(asked.create("a")) == "ok"  # As of the last committed block.
    assert asked.finalize(*txs).app_hash == said.app_hash  # Asked twice, it begins anew.
    asked.ask(commit=abci.Empty())
    assert asked.replica.state.root() == said.app_hash == asked.ask(info=abci.Empty()).info.last_block_app_hash
    assert asked.check(asked.create("a")) == "cells.exists"
    assert asked.finalize().app_hash == said.app_hash  # A block without transactions changes nothing.


def test_block_time_is_whole_milliseconds_and_never_goes_back(asked: Asked) -> None:
    asked.block(time=STARTED + 5)
    assert asked.replica.time == STARTED + 5
    asked.block(time=STARTED + 3)
    assert asked.replica.time == STARTED + 5


def test_a_block_that_does_not_follow_is_an_alarm(asked: Asked) -> None:
    with pytest.raises(IntegrityError):
        asked.ask(finalize_block=abci.FinalizeBlock(height=7, time=at(STARTED)))


@pytest.mark.parametrize(
    ("kind", "offence"),
    [
        (abci.DUPLICATE_VOTE, Offence.DUPLICATE_VOTE),
        (abci.LIGHT_CLIENT_ATTACK, Offence.LIGHT_CLIENT_ATTACK),
    ],
)
def test_evidence_suspends_a_validator_and_its_power_goes(asked: Asked, kind: int, offence: Offence) -> None:
    thief = asked.network.party("northgate").validator.public
    known = abci.Misbehavior(type=kind, validator=abci.Validator(address=digest(thief)[:20]), height=1)
    stranger = abci.Misbehavior(type=abci.DUPLICATE_VOTE, validator=abci.Validator(address=bytes(20)), height=1)
    said = asked.finalize(misbehavior=[stranger, known])
    assert [(each.pub_key.ed25519, each.power) for each in said.validator_updates] == [(thief, 0)]
    asked.ask(commit=abci.Empty())
    assert thief not in {key for _, key in validators(asked.replica.state)}
    suspension = suspension_of(asked.replica.state, MemberId("northgate"))
    assert suspension is not None
    assert suspension.offence is offence
    assert len(evidence_of(asked.replica.state, MemberId("northgate"))) == 1
    assert list(asked.finalize(misbehavior=[known]).validator_updates) == []


def test_a_query_gives_a_value_with_its_proof_and_nothing_else(asked: Asked) -> None:
    asked.block(asked.create("a"))
    key = next(key for key, _ in asked.replica.state.scan(b"cells/cell/"))
    said = asked.ask(query=abci.Query(path="/state", data=key, prove=True)).query
    proof = decode(Proof, said.proof_ops.ops[0].data)
    assert verify(asked.replica.header.app_hash, key, said.value, proof)
    absent = asked.ask(query=abci.Query(path="/state", data=b"nothing", prove=True)).query
    assert absent.value == b""
    assert verify(asked.replica.header.app_hash, b"nothing", None, decode(Proof, absent.proof_ops.ops[0].data))
    for bad in (
        abci.Query(path="/other", data=key),
        abci.Query(path="/state", data=key, height=9),
        abci.Query(path="/state"),
    ):
        refused = asked.ask(query=bad).query
        assert (refused.code, refused.value) == (1, b"")
