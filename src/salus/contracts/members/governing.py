"""How members propose and vote, and what each may change of itself alone; each function checks, then writes.

Nothing is decided here: `executing.py` counts after the last transaction of a block.
"""

from salus.contracts.members.changing import Moment, change
from salus.contracts.members.errors import (
    BadProofError,
    HeightPassedError,
    KeyTwiceError,
    NoNextKeyError,
    ProposalClosedError,
    ProposalExistsError,
    ProposalExpiredError,
    ProposalNotFoundError,
    StaleVersionError,
    SuspendedError,
    TooManyProposalsError,
    UnknownMemberError,
    UnsoundKeyError,
    VotedAlreadyError,
)
from salus.contracts.members.messages import (
    AddMember,
    AnnounceTls,
    Move,
    Propose,
    ReplaceKeys,
    RotateGateway,
    RotateTls,
    Vote,
)
from salus.contracts.members.reads import suspension_of, undecided
from salus.contracts.members.tables import KEYS, MEMBERS, PENDING, PROPOSALS, Member, Pending, Proposal, Standing
from salus.contracts.members.transitions import duties, remember_keys
from salus.core.context import Context
from salus.core.ids import DAY_MS, Version
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.signatures import is_sound
from salus.state.state import State

OPEN_MS = 7 * DAY_MS
UNDECIDED_MAX = 8  # Per member, so that none fills the list that each block walks.


def propose(state: State, ctx: Context, msg: Propose) -> None:
    """Put changes to the vote, with the sponsor's approval. What could not be done now is not put to it.

    Raises, in this order:
        HeightPassedError: `activate_at` is neither 0 nor ahead.
        ProposalExistsError: a proposal has this id, be it decided or not.
        SuspendedError: the sponsor is suspended.
        TooManyProposalsError: it has `UNDECIDED_MAX` undecided ones.
        RefusalError: a change could not be made, as `changing.py` says of each.
    """
    if 0 < msg.activate_at <= ctx.height:
        raise HeightPassedError(activate_at=msg.activate_at, height=ctx.height)
    if PROPOSALS.has(state, msg.proposal_id):
        raise ProposalExistsError(proposal_id=msg.proposal_id)
    _check_governs(state, ctx)
    if sum(one.proposer == ctx.sponsor for _, one in undecided(state)) >= UNDECIDED_MAX:
        raise TooManyProposalsError(member=ctx.sponsor)
    _try(state, ctx, msg)
    proposal = Proposal(
        proposer=ctx.sponsor,
        changes=msg.changes,
        activate_at=msg.activate_at,
        height=ctx.height,
        expires=ctx.time + OPEN_MS,
        approvals=(ctx.sponsor,),
        rejections=(),
        standing=Standing.OPEN,
        decided=0,
        code="",
    )
    PROPOSALS.put(state, msg.proposal_id, proposal)
    PENDING.put(state, (ctx.height, msg.proposal_id), Pending())


def vote(state: State, ctx: Context, msg: Vote) -> None:
    """Say yes or no, once.

    Raises, in this order:
        ProposalNotFoundError: there is no such proposal.
        SuspendedError: the sponsor is suspended.
        ProposalClosedError: it is decided, or accepted already.
        ProposalExpiredError: its time is over.
        VotedAlreadyError: the sponsor has voted, or proposed it.
    """
    proposal = PROPOSALS.get(state, msg.proposal_id)
    if proposal is None:
        raise ProposalNotFoundError(proposal_id=msg.proposal_id)
    _check_governs(state, ctx)
    if proposal.standing is not Standing.OPEN:
        raise ProposalClosedError(proposal_id=msg.proposal_id)
    if ctx.time >= proposal.expires:
        raise ProposalExpiredError(proposal_id=msg.proposal_id, expires=proposal.expires)
    if ctx.sponsor in (*proposal.approvals, *proposal.rejections):
        raise VotedAlreadyError(proposal_id=msg.proposal_id, member=ctx.sponsor)
    voted = (
        replace(proposal, approvals=(*proposal.approvals, ctx.sponsor))
        if msg.approve
        else replace(proposal, rejections=(*proposal.rejections, ctx.sponsor))
    )
    PROPOSALS.put(state, msg.proposal_id, voted)


def move(state: State, ctx: Context, msg: Move) -> None:
    """Say where the sponsor is reached. Raises as `_own`."""
    _put(state, ctx, replace(_own(state, ctx, msg.version), endpoints=msg.endpoints))


def announce_tls(state: State, ctx: Context, msg: AnnounceTls) -> None:
    """Let peers accept a second TLS key, before any server shows it.

    Raises, in this order:
        StaleVersionError: as in `_own`.
        KeyTwiceError: it is or was a member's key.
        UnsoundKeyError: not all members would judge it alike.
        BadProofError: it did not sign the transaction.
    """
    entry = _own(state, ctx, msg.version)
    if KEYS.has(state, digest(msg.key)):
        raise KeyTwiceError(key=msg.key)
    if not is_sound(msg.key):
        raise UnsoundKeyError(key=msg.key)
    if not ctx.signed_by(msg.key):
        raise BadProofError(key=msg.key)
    _put(state, ctx, replace(entry, tls_next=msg.key))
    remember_keys(state, ctx.sponsor, (msg.key,))


def rotate_tls(state: State, ctx: Context, msg: RotateTls) -> None:
    """End the old TLS key, once every server shows the new one; at once, if the old one was stolen.

    Raises, in this order:
        StaleVersionError: as in `_own`.
        NoNextKeyError: none was announced.
    """
    entry = _own(state, ctx, msg.version)
    if entry.tls_next is None:
        raise NoNextKeyError(member=ctx.sponsor)
    _put(state, ctx, replace(entry, keys=replace(entry.keys, tls=entry.tls_next), tls_next=None))


def rotate_gateway(state: State, ctx: Context, msg: RotateGateway) -> None:
    """Have links and policies sealed to another key from now on.

    Raises, in this order:
        StaleVersionError: as in `_own`.
        KeyTwiceError: it is or was a member's key, or a proposal names it: it cannot sign, so anybody could claim it.
    """
    entry = _own(state, ctx, msg.version)
    if KEYS.has(state, digest(msg.key)) or _is_proposed(state, msg.key):
        raise KeyTwiceError(key=msg.key[:32])
    _put(state, ctx, replace(entry, keys=replace(entry.keys, gateway=msg.key)))
    remember_keys(state, ctx.sponsor, (msg.key,))


def _check_governs(state: State, ctx: Context) -> None:
    if suspension_of(state, ctx.sponsor) is not None:
        raise SuspendedError(member=ctx.sponsor)


def _is_proposed(state: State, key: bytes) -> bool:
    changes = [one for _, proposal in undecided(state) for one in proposal.changes]
    return any(key in duties(one.keys) for one in changes if isinstance(one, AddMember | ReplaceKeys))


def _try(state: State, ctx: Context, msg: Propose) -> None:
    """Make the changes and take them back."""
    mark = state.savepoint()
    try:
        change(state, Moment(chain=ctx.chain, height=ctx.height, time=ctx.time, verify=ctx.verify), msg.changes)
    finally:
        state.rollback(mark)


def _own(state: State, ctx: Context, version: Version) -> Member:
    """The sponsor's own entry.

    Raises:
        StaleVersionError: what it may change alone has moved on.
    """
    entry = MEMBERS.get(state, ctx.sponsor)
    if entry is None:
        raise UnknownMemberError(member=ctx.sponsor)
    if version != entry.own_version:
        raise StaleVersionError(member=ctx.sponsor, version=entry.own_version)
    return entry


def _put(state: State, ctx: Context, entry: Member) -> None:
    MEMBERS.put(state, ctx.sponsor, replace(entry, own_version=entry.own_version + 1))
