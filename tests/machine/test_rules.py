"""An upgrade, from the genesis on: a program that knows the old rules alone halts, one that knows both replays both."""

from typing import Final

import pytest

from salus.contracts import cells
from salus.contracts.cells.messages import Create
from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import CELLS, Status
from salus.contracts.members.messages import Upgrade
from salus.contracts.reads.messages import Request
from salus.core.context import Context
from salus.core.errors import IntegrityError, MalformedError
from salus.core.ids import HOUR_MS, NO_DIGEST
from salus.core.wire import replace
from salus.machine.block import ACCEPTED, Block, Result
from salus.machine.errors import UnknownRulesError
from salus.machine.machine import Machine
from salus.machine.routes import ROUTES, RULES, Rules
from salus.state.state import State
from tests.support.governance import decide
from tests.support.network import Ledger, network
from tests.support.refusals import everything

NET = network(4)
FROM = 6


def create_frozen(state: State, ctx: Context, msg: Create) -> None:
    """The second version's rule: a cell starts frozen, until its owner thaws it."""
    cells.create(state, ctx, msg)
    cell = CELLS.get(state, msg.cell_id)
    assert cell is not None
    CELLS.put(state, msg.cell_id, replace(cell, status=Status.FROZEN))


WITHOUT_REQUESTS: Final = {kind: answer for kind, answer in ROUTES.items() if kind is not Request}
OLD: Final = {1: Rules(routes=WITHOUT_REQUESTS, closing=RULES[1].closing)}
NEW: Final = {**OLD, 2: Rules(routes={**ROUTES, Create: create_frozen}, closing=RULES[1].closing)}


def upgraded() -> Ledger:
    """A chain that new programs made: three blocks of votes, two under the old rules, two under the new."""
    ledger = Ledger(NET, machine=Machine(rules=NEW))
    decide(ledger, Upgrade(rules=2, from_height=FROM))
    for number in range(4, 8):
        request = NET.request(NET.id16("request", number), expires=ledger.time + HOUR_MS)
        ledger.block(ledger.tx("mercy", NET.create(NET.id16(number))), ledger.tx("mercy", request))
    return ledger


def replay(blocks: list[Block], rules: dict[int, Rules]) -> tuple[list[bytes], Ledger, IntegrityError | None]:
    """The roots as far as a program with these rules comes, its ledger, and what stopped it."""
    ledger, roots = Ledger(NET, machine=Machine(rules=rules)), []
    for block in blocks:
        try:
            roots.append(ledger.block(*block.txs, after_ms=block.time - ledger.time).app_hash)
        except IntegrityError as error:
            return roots, ledger, error
    return roots, ledger, None


def test_old_code_halts_at_the_height_and_names_the_version_that_it_needs() -> None:
    roots, ledger, error = replay(upgraded().blocks, OLD)
    assert isinstance(error, UnknownRulesError)
    assert error.facts == {"rules": 2, "height": FROM}
    assert len(roots) == FROM - 1
    assert roots == replay(upgraded().blocks, NEW)[0][: FROM - 1]
    assert cell_of(ledger.state, NET.id16(FROM)) is None


def test_old_code_halts_before_it_applies_anything() -> None:
    chain = upgraded()
    _, old, _ = replay(chain.blocks[: FROM - 1], OLD)
    before = everything(old.state)
    state = old.state
    with pytest.raises(UnknownRulesError):
        old.machine.apply(state, chain.blocks[FROM - 1])
    assert state.changes == {}
    assert everything(old.state) == before


def test_old_code_halts_even_at_an_empty_block() -> None:
    _, old, _ = replay(upgraded().blocks[: FROM - 1], OLD)
    with pytest.raises(UnknownRulesError):
        old.block()


def test_new_code_replays_each_height_by_its_own_rules() -> None:
    chain = upgraded()
    roots, ledger, error = replay(chain.blocks, NEW)
    assert error is None
    assert roots[-1] == chain.app_hash
    statuses = [cell.status for number in range(4, 8) if (cell := cell_of(ledger.state, NET.id16(number)))]
    assert statuses == [Status.LIVE] * 2 + [Status.FROZEN] * 2


def test_a_message_of_the_new_rules_is_none_under_the_old_ones_for_old_and_new_code() -> None:
    """The block holds it, since whoever proposes may put in anything; both find the same result."""
    for rules in (OLD, NEW):
        ledger = Ledger(NET, machine=Machine(rules=rules))
        request = ledger.tx("mercy", NET.request(NET.id16("early"), expires=ledger.time + HOUR_MS))
        assert ledger.block(request).results == (Result(tx_id=NO_DIGEST, code=MalformedError.code),)
        with pytest.raises(MalformedError):
            ledger.machine.check(ledger.state, request, ledger.time)


def test_a_message_of_the_new_rules_is_taken_from_their_height_on() -> None:
    ledger = upgraded()
    request = ledger.tx("mercy", NET.request(NET.id16("late"), expires=ledger.time + HOUR_MS))
    ledger.machine.check(ledger.state, request, ledger.time + 1, height=ledger.height + 1)
    assert ledger.block(request).results[0].code == ACCEPTED


def test_old_code_votes_for_what_it_does_not_know_yet() -> None:
    ledger = Ledger(NET, machine=Machine(rules=OLD))
    assert decide(ledger, Upgrade(rules=2, from_height=100)).code == ""
    assert ledger.send("mercy", NET.create(NET.id16("meanwhile"))) == ACCEPTED


def test_this_program_knows_the_rules_that_every_network_starts_with() -> None:
    assert Ledger(NET).send("mercy", NET.create(NET.id16("first"))) == ACCEPTED
    assert min(RULES) == 1
