"""A long seeded walk of proposals, votes, evidence and records: who decides, and that nothing else changes anything."""

from collections import Counter
from random import Random

import pytest

from salus.contracts.members.messages import Cancel, Misbehaviour, Offence
from salus.contracts.members.reads import governors, member_of, members_of, proposal_of, proposals, undecided
from salus.contracts.members.tables import Standing
from salus.core.ids import DAY_MS, MemberId
from salus.machine.block import ACCEPTED
from salus.machine.invariants import invariants
from salus.state.key_value import MemoryStore
from salus.state.state import checked_root
from tests.properties.governing import HOLDERS, JOINERS, KINDS, NET, change, decided
from tests.support.governance import approve, joiner, proposal_id, propose, reject, with_party
from tests.support.network import NAMES, Ledger

ROUNDS = 120
SEEDS = range(6)


def signed_by_holders(ledger: Ledger) -> None:
    """Who was given other keys signs with them."""
    entries = [member_of(ledger.state, name) for name in members_of(ledger.state)]
    holders = [HOLDERS[entry.keys.ledger] for entry in entries if entry is not None]
    ledger.network = with_party(NET, *(joiner(name, b"one") for name in JOINERS))
    ledger.network = with_party(ledger.network, *holders)


def walk(seed: int) -> tuple[Ledger, Counter[tuple[str, str]]]:
    """So many rounds of one proposal each, with votes by some; what became of each kind."""
    chance, ledger, seen = Random(seed), Ledger(NET), Counter[tuple[str, str]]()
    kinds: dict[bytes, str] = {}
    for number in range(ROUNDS):
        signed_by_holders(ledger)
        state, before = ledger.state, decided(ledger.state)
        kind, member = chance.choice(KINDS), chance.choice([*NAMES, *JOINERS])
        others = [name for name in members_of(state) if name != member]
        off = int(chance.random() < 0.1)
        made = change(state, kind, member, chance.choice(others), off, ledger.height)
        if kind == "cancel" and undecided(state):
            made = [Cancel(proposal_id=chance.choice(undecided(state))[0])]
        waits = chance.choice([0, 0, 0, ledger.height + 3])
        id = proposal_id("walk", number)
        kinds[id] = kind
        voters = list(members_of(state))
        chance.shuffle(voters)
        txs = [ledger.tx(voters[0], propose(id, *made, activate_at=waits))]
        for voter in voters[1:]:
            if chance.random() < 0.85:
                txs.append(ledger.tx(voter, approve(id) if chance.random() < 0.9 else reject(id)))
        shown = (
            (Misbehaviour(MemberId(chance.choice(NAMES)), Offence.DUPLICATE_VOTE, number),)
            if chance.random() < 0.1
            else ()
        )
        able = set(governors(state))
        applied = ledger.block(*txs, after_ms=chance.choice([1_000, 1_000, DAY_MS]), misbehaviour=shown)
        assert list(invariants(ledger.state)) == []
        if decided(ledger.state) != before:
            executed = [one for _, one in proposals(ledger.state) if one.standing is Standing.EXECUTED]
            new = [one for one in executed if one.decided == ledger.height]
            assert new
            if len(new) == 1 and not shown and not new[0].activate_at:
                assert 3 * len(able.intersection(new[0].approvals)) > 2 * len(able)
        assert (applied.results[0].code == ACCEPTED) is (proposal_of(ledger.state, id) is not None)
    for id, one in proposals(ledger.state):
        seen[kinds[id], one.standing.value] += 1
    return ledger, seen


WALKS = [walk(seed) for seed in SEEDS]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_walk_replays_to_the_same_root(seed: int) -> None:
    ledger, _ = WALKS[seed]
    again = Ledger(NET, store=MemoryStore())
    for block in ledger.blocks:
        again.block(*block.txs, after_ms=block.time - again.time, misbehaviour=block.misbehaviour)
    assert (again.app_hash, again.previous) == (ledger.app_hash, ledger.previous)
    assert checked_root(ledger.store) == ledger.app_hash


def test_the_walks_see_every_kind_executed_and_every_end_of_a_proposal() -> None:
    seen = sum((counts for _, counts in WALKS), Counter[tuple[str, str]]())
    assert {kind for kind, end in seen if end == "executed"} >= set(KINDS) - {"remove"}
    assert {end for _, end in seen} >= {one.value for one in Standing} - {"open", "accepted"}
