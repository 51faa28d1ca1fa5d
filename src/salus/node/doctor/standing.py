"""How a member stands by its own copy of the ledger: whether it takes part, knows the rules, and owes a vote."""

from collections.abc import Iterator

from salus.contracts.consent import pack_root
from salus.contracts.members.reads import (
    governors,
    pack_roots_of,
    proposals,
    rules_ahead,
    successor_of,
    suspension_of,
    undecided,
)
from salus.contracts.members.tables import Standing
from salus.core.ids import DAY_MS
from salus.machine.routes import RULES
from salus.node.doctor.case import Case
from salus.node.folder import packs_in
from salus.node.observing.findings import Facts, Finding, found

_ID_SHOWN = 12


def check_membership(case: Case) -> Iterator[Finding]:
    """Whether the ledger has it as a member, and as a validator as before."""
    if case.ledger is None:
        return
    state, entry = case.ledger.state, case.entry
    if entry is None:
        successor = successor_of(state, case.member)
        if successor is None:
            yield found("member.unknown", case.member)
        else:
            yield found("member.left", case.member, successor=successor)
        return
    suspension = suspension_of(state, case.member)
    if suspension is not None:
        facts: Facts = {"offence": suspension.offence.value, "height": suspension.height, "since": suspension.since}
        yield found("validator.suspended", case.member, "ledger", **facts)
    was_one = any(one.member == case.member and one.validator for one in case.genesis.members)
    if was_one and not entry.validator:
        yield found("validator.taken_out", case.member, "ledger")


def check_votes(case: Case) -> Iterator[Finding]:
    """Proposals on which it may vote and has not."""
    if case.ledger is None or case.member not in governors(case.ledger.state):
        return
    for proposal_id, proposal in undecided(case.ledger.state):
        has_voted = case.member in (*proposal.approvals, *proposal.rejections)
        if proposal.standing is not Standing.OPEN or has_voted or proposal.expires <= case.clock():
            continue
        days = (proposal.expires - case.clock()) // DAY_MS
        facts: Facts = {"proposer": proposal.proposer, "days": days, "id": proposal_id.hex()[:_ID_SHOWN]}
        yield found("proposal.waits", case.member, **facts)


def check_rules(case: Case) -> Iterator[Finding]:
    """Versions of the rules that are decided and that this program does not know."""
    if case.ledger is None:
        return
    for since, entry in rules_ahead(case.ledger.state):
        if entry.rules not in RULES:
            yield found("rules.unknown", case.member, "ledger", rules=entry.rules, height=since, known=max(RULES))


def check_packs(case: Case) -> Iterator[Finding]:
    """Packs in force that are not here: without them nothing can be decided under their law."""
    if case.ledger is None:
        return
    here = {pack_root(pack) for pack in packs_in(case.folder)}
    missing = [root for root in pack_roots_of(case.ledger.state) if root not in here]
    if missing:
        yield found("pack.missing", case.member, packs=len(missing))


def pack_changed_at(case: Case) -> int:
    """The height of the newest decision that changed the member's own pack; 0 where it is the genesis's still."""
    from salus.contracts.members.messages import SetPack

    assert case.ledger is not None
    entry = case.entry
    own = None if entry is None else entry.jurisdiction
    return max(
        (
            proposal.decided
            for _, proposal in proposals(case.ledger.state)
            if proposal.standing is Standing.EXECUTED
            and any(isinstance(change, SetPack) and change.jurisdiction == own for change in proposal.changes)
        ),
        default=0,
    )
