"""What follows from votes and from evidence: proposals are counted and carried out, validators suspended.

No member calls anything here. The machine does: `suspend` for the evidence that a block carries, before its
transactions; `govern` after the last transaction of a block that has any.
"""

from itertools import islice

from salus.contracts.members.changing import Moment, change
from salus.contracts.members.messages import Misbehaviour
from salus.contracts.members.reads import governors
from salus.contracts.members.tables import (
    EVIDENCE,
    MEMBERS,
    PENDING,
    PROPOSALS,
    SUSPENSIONS,
    Evidence,
    Proposal,
    Standing,
    Suspension,
)
from salus.core.errors import RefusalError
from salus.core.ids import Height, MemberId, ProposalId, TimeMs
from salus.core.wire import replace
from salus.crypto.shares import faulty
from salus.state.state import State

CONSIDERED_MAX = 1_000  # Per block, so that none pays for a backlog.


def govern(state: State, moment: Moment) -> None:
    """Decide what can be decided now, the oldest proposal first, each with the members as the ones before left them."""
    for (_, proposal_id), _ in islice(PENDING.items(state), CONSIDERED_MAX):
        proposal = PROPOSALS.get(state, proposal_id)
        if proposal is not None and proposal.standing in (Standing.OPEN, Standing.ACCEPTED):
            _consider(state, moment, proposal_id, proposal)


def is_approved(approvals: int, members: int) -> bool:
    """More than two thirds."""
    return 3 * approvals > 2 * members


def is_rejected(rejections: int, members: int) -> bool:
    """A third or more, so that more than two thirds cannot come together."""
    return 3 * rejections >= members


def suspend(state: State, misbehaviour: Misbehaviour, *, height: Height) -> None:
    """Note what a validator did, and stop it validating and voting until members reinstate it.

    Evidence that stands here already changes nothing, so that a member reinstated stays so. No more are suspended at
    once than the network tolerates, `(n - 1) // 3` of its validators: beyond that, to go on without them would leave it
    to a few. Their evidence stands, and the members decide.
    """
    member = misbehaviour.validator
    if EVIDENCE.has(state, (member, misbehaviour.height)):
        return
    EVIDENCE.put(state, (member, misbehaviour.height), Evidence(offence=misbehaviour.offence, reported=height))
    if _may_be_suspended(state, member):
        suspension = Suspension(offence=misbehaviour.offence, height=misbehaviour.height, since=height)
        SUSPENSIONS.put(state, member, suspension)


def _may_be_suspended(state: State, member: MemberId) -> bool:
    validators = {name for name, entry in MEMBERS.items(state) if entry.validator}
    suspended = {name for name, _ in SUSPENSIONS.items(state)}
    return member in validators - suspended and len(suspended & validators) < faulty(len(validators))


def _consider(state: State, moment: Moment, proposal_id: ProposalId, proposal: Proposal) -> None:
    if proposal.standing is Standing.OPEN:
        members = set(governors(state))
        if is_approved(len(members.intersection(proposal.approvals)), len(members)):
            proposal = _stands(state, moment, proposal_id, proposal, Standing.ACCEPTED)
        elif is_rejected(len(members.intersection(proposal.rejections)), len(members)):
            _stands(state, moment, proposal_id, proposal, Standing.REJECTED)
        elif _is_over(proposal, moment.time):
            _stands(state, moment, proposal_id, proposal, Standing.EXPIRED)
    if proposal.standing is Standing.ACCEPTED and proposal.activate_at <= moment.height:
        _execute(state, moment, proposal_id, proposal)


def _execute(state: State, moment: Moment, proposal_id: ProposalId, proposal: Proposal) -> None:
    """Make all changes, or none."""
    mark = state.savepoint()
    try:
        change(state, moment, proposal.changes)
    except RefusalError as refusal:
        state.rollback(mark)
        _stands(state, moment, proposal_id, proposal, Standing.FAILED, refusal.code)
    else:
        _stands(state, moment, proposal_id, proposal, Standing.EXECUTED)


def _stands(
    state: State, moment: Moment, proposal_id: ProposalId, proposal: Proposal, standing: Standing, code: str = ""
) -> Proposal:
    decided = replace(proposal, standing=standing, decided=moment.height, code=code)
    PROPOSALS.put(state, proposal_id, decided)
    if standing is not Standing.ACCEPTED:
        PENDING.delete(state, (proposal.height, proposal_id))
    return decided


def _is_over(proposal: Proposal, time: TimeMs) -> bool:
    return time >= proposal.expires
