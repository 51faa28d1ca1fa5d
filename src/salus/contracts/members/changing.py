"""What each change of an accepted proposal does: one function per kind; each checks, then writes.

None of them asks who wants it: `executing.py` calls them once enough members have approved, and `governing.py` tries
them before a vote, so that what cannot be done is not put to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

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
    SharesHeldError,
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
    AddMember,
    Cancel,
    Change,
    Committee,
    KeyProof,
    MemberKeys,
    NewCommittee,
    Parameters,
    Reinstate,
    RemoveMember,
    ReplaceKeys,
    SeatHolder,
    SetPack,
    SetParameters,
    SetQuota,
    SetSeats,
    SetValidator,
    Upgrade,
)
from salus.contracts.members.reads import chain_of, former, rules_ahead, validators
from salus.contracts.members.statements import joining, replacing
from salus.contracts.members.tables import (
    AUTHORSHIPS,
    CHAIN,
    COMMITTEES,
    EPOCHS,
    KEYS,
    MEMBERS,
    PACKS,
    PENDING,
    PROPOSALS,
    RULES,
    SUSPENSIONS,
    Authorship,
    Member,
    PackRoot,
    Rules,
    Standing,
)
from salus.contracts.members.transitions import (
    CHAIN_KEY,
    SEATS_MAX,
    duties,
    first_repeated,
    remember_keys,
    seated,
    signing_keys,
)
from salus.core.context import Verify
from salus.core.ids import ChainId, CommitteeId, Digest, Height, MemberId, TimeMs, Version
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.shares import threshold
from salus.crypto.signatures import is_sound
from salus.state.state import State

QUOTA_BYTES_MIN = 16_384  # Room to propose a member with its keys, and to vote on others.
LANE_BYTES_MIN = 1_024  # A freeze with its witness takes about 400.
MESSAGES_MIN = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """The block in which changes happen."""

    chain: ChainId
    height: Height
    time: TimeMs
    verify: Verify


def change(state: State, moment: Moment, changes: tuple[Change, ...]) -> None:
    """Make changes in their order. The caller takes back what was written if one of them is refused.

    Raises:
        RefusalError: as the functions below say, or `NoValidatorError` where nobody would validate in the end.
    """
    for one in changes:
        _CHANGES[type(one)](state, moment, one)
    if not validators(state):
        raise NoValidatorError(height=moment.height)


def add_member(state: State, moment: Moment, wanted: AddMember) -> None:
    """Let an organisation in.

    Raises, in this order:
        MemberTwiceError: a member has this name, or one that is gone had it: what it authored is found under it.
        KeyTwiceError, UnsoundKeyError, BadProofError: as in `_check_keys`.
        UnknownJurisdictionError: no pack is in force where it is.
        QuotaTooSmallError: it could not vote.
    """
    if MEMBERS.has(state, wanted.member) or AUTHORSHIPS.has(state, wanted.member):
        raise MemberTwiceError(member=wanted.member)
    statement = joining(
        chain=moment.chain,
        member=wanted.member,
        keys=wanted.keys,
        jurisdiction=wanted.jurisdiction,
        endpoints=wanted.endpoints,
    )
    _check_keys(state, moment, wanted.keys, (), statement, wanted.proof)
    if not PACKS.has(state, wanted.jurisdiction):
        raise UnknownJurisdictionError(member=wanted.member)
    _check_quota(wanted.quota_bytes)
    entry = Member(
        version=0,
        own_version=0,
        keys=wanted.keys,
        tls_next=None,
        jurisdiction=wanted.jurisdiction,
        validator=wanted.validator,
        quota_bytes=wanted.quota_bytes,
        endpoints=wanted.endpoints,
    )
    MEMBERS.put(state, wanted.member, entry)
    remember_keys(state, wanted.member, duties(wanted.keys))


def remove_member(state: State, moment: Moment, wanted: RemoveMember) -> None:
    """Let a member go: its records, credentials and patients have a successor, and its seats have moved.

    Raises, in this order:
        UnknownMemberError, StaleVersionError: as in `_entry`.
        UnknownSuccessorError: the successor is no member, or the one that goes.
        SeatHeldError: it holds a seat.
        SharesHeldError: too few others are left of a committee as it was, to which batches are dealt still.
    """
    entry = _entry(state, wanted.member, wanted.version)
    if wanted.successor == wanted.member or not MEMBERS.has(state, wanted.successor):
        raise UnknownSuccessorError(member=wanted.member, successor=wanted.successor)
    for committee, seated_now in COMMITTEES.items(state):
        if any(seat.member == wanted.member for seat in seated_now.seats):
            raise SeatHeldError(member=wanted.member, committee=committee)
    _check_shares(state, wanted.member)
    MEMBERS.delete(state, wanted.member)
    SUSPENSIONS.delete(state, wanted.member)
    for author, inherited in AUTHORSHIPS.items(state):
        if inherited.successor == wanted.member:
            AUTHORSHIPS.put(state, author, replace(inherited, successor=wanted.successor))
    authorship = Authorship(successor=wanted.successor, height=moment.height, jurisdiction=entry.jurisdiction)
    AUTHORSHIPS.put(state, wanted.member, authorship)
    _forget_votes(state, wanted.member)


def set_validator(state: State, moment: Moment, wanted: SetValidator) -> None:
    """Let a member sign headers, or no longer. Raises as `_entry`."""
    entry = _entry(state, wanted.member, wanted.version)
    _put(state, wanted.member, replace(entry, validator=wanted.validator))


def reinstate(state: State, moment: Moment, wanted: Reinstate) -> None:
    """End a suspension.

    Raises, in this order:
        UnknownMemberError, StaleVersionError: as in `_entry`.
        NotSuspendedError: there is none.
    """
    entry = _entry(state, wanted.member, wanted.version)
    if not SUSPENSIONS.has(state, wanted.member):
        raise NotSuspendedError(member=wanted.member)
    SUSPENSIONS.delete(state, wanted.member)
    _put(state, wanted.member, entry)


def replace_keys(state: State, moment: Moment, wanted: ReplaceKeys) -> None:
    """Give a member other keys. Committees where its keeper or sealing key changes move on an epoch.

    A TLS key that it announced is dropped: whoever stole the ledger key may have announced it. A thief may also change
    what `governing.py` lets a member change alone; seven new keys do not depend on that.

    Raises, in this order:
        UnknownMemberError, StaleVersionError: as in `_entry`.
        KeyTwiceError, UnsoundKeyError, BadProofError: as in `_check_keys`.
    """
    entry = _entry(state, wanted.member, wanted.version)
    statement = replacing(chain=moment.chain, member=wanted.member, version=wanted.version, keys=wanted.keys)
    _check_keys(state, moment, wanted.keys, duties(entry.keys), statement, wanted.proof)
    _put(state, wanted.member, replace(entry, keys=wanted.keys, tls_next=None))
    remember_keys(state, wanted.member, duties(wanted.keys))
    holder = seated(wanted.member, wanted.keys)
    for committee, before in COMMITTEES.items(state):
        seats = tuple(holder if seat.member == wanted.member else seat for seat in before.seats)
        if seats != before.seats:
            _next_epoch(state, committee, before, seats)


def set_quota(state: State, moment: Moment, wanted: SetQuota) -> None:
    """Change what a member may sponsor.

    Raises, in this order:
        UnknownMemberError, StaleVersionError: as in `_entry`.
        QuotaTooSmallError: it could no longer vote.
    """
    entry = _entry(state, wanted.member, wanted.version)
    _check_quota(wanted.quota_bytes)
    _put(state, wanted.member, replace(entry, quota_bytes=wanted.quota_bytes))


def new_committee(state: State, moment: Moment, wanted: NewCommittee) -> None:
    """Seat keepers for further subjects.

    Raises, in this order:
        CommitteeTwiceError: a committee has this id.
        CommitteeSizeError, UnknownHolderError, SeatTwiceError: as in `_seats`.
    """
    if COMMITTEES.has(state, wanted.committee):
        raise CommitteeTwiceError(committee=wanted.committee)
    seats = _seats(state, wanted.committee, wanted.seats)
    COMMITTEES.put(state, wanted.committee, Committee(epoch=1, seats=seats))


def set_seats(state: State, moment: Moment, wanted: SetSeats) -> None:
    """Seat a committee anew, at its next epoch; who sat there before stays known.

    Raises, in this order:
        CommitteeNotFoundError: no committee has this id.
        StaleEpochError: it has moved on.
        CommitteeSizeError, UnknownHolderError, SeatTwiceError: as in `_seats`.
    """
    before = COMMITTEES.get(state, wanted.committee)
    if before is None:
        raise CommitteeNotFoundError(committee=wanted.committee)
    if wanted.epoch != before.epoch:
        raise StaleEpochError(committee=wanted.committee, epoch=before.epoch)
    _next_epoch(state, wanted.committee, before, _seats(state, wanted.committee, wanted.seats))


def set_pack(state: State, moment: Moment, wanted: SetPack) -> None:
    """Put a pack in force.

    Raises:
        StaleVersionError: another version is in force; 0 stands for none.
    """
    before = PACKS.get(state, wanted.jurisdiction)
    version = 0 if before is None else before.version
    if wanted.version != version:
        raise StaleVersionError(version=version)
    PACKS.put(state, wanted.jurisdiction, PackRoot(version=version + 1, root=wanted.root))


def set_parameters(state: State, moment: Moment, wanted: SetParameters) -> None:
    """Change the limits.

    Raises, in this order:
        StaleVersionError: they have been changed meanwhile.
        UnusableParametersError: nobody could propose or vote under them, or no patient freeze a cell.
    """
    chain = chain_of(state)
    if wanted.version != chain.version:
        raise StaleVersionError(version=chain.version)
    if not _is_usable(wanted.parameters):
        raise UnusableParametersError(version=wanted.version)
    CHAIN.put(state, CHAIN_KEY, replace(chain, version=chain.version + 1, parameters=wanted.parameters))


def upgrade(state: State, moment: Moment, wanted: Upgrade) -> None:
    """Let other rules be in force from a height on. At most one version waits for its height at a time.

    Raises, in this order:
        NotNextRulesError: not the version after the one in force.
        HeightPassedError: the height is not ahead.
    """
    *_, (newest_from, newest) = rules_ahead(state)
    waits = newest_from > moment.height
    if wanted.rules != newest.rules + (not waits):
        raise NotNextRulesError(rules=wanted.rules)
    if wanted.from_height <= moment.height:
        raise HeightPassedError(from_height=wanted.from_height, height=moment.height)
    if waits:
        RULES.delete(state, newest_from)
    RULES.put(state, wanted.from_height, Rules(rules=wanted.rules))


def cancel(state: State, moment: Moment, wanted: Cancel) -> None:
    """Take a proposal back.

    Raises, in this order:
        ProposalNotFoundError: there is none.
        ProposalClosedError: it is decided.
    """
    proposal = PROPOSALS.get(state, wanted.proposal_id)
    if proposal is None:
        raise ProposalNotFoundError(proposal_id=wanted.proposal_id)
    if proposal.standing not in (Standing.OPEN, Standing.ACCEPTED):
        raise ProposalClosedError(proposal_id=wanted.proposal_id)
    PROPOSALS.put(state, wanted.proposal_id, replace(proposal, standing=Standing.CANCELLED, decided=moment.height))
    PENDING.delete(state, (proposal.height, wanted.proposal_id))


def _entry(state: State, member: MemberId, version: Version) -> Member:
    """A member at this version.

    Raises, in this order:
        UnknownMemberError: no member has this name.
        StaleVersionError: its entry has moved on.
    """
    entry = MEMBERS.get(state, member)
    if entry is None:
        raise UnknownMemberError(member=member)
    if version != entry.version:
        raise StaleVersionError(member=member, version=entry.version)
    return entry


def _put(state: State, member: MemberId, entry: Member) -> None:
    MEMBERS.put(state, member, replace(entry, version=entry.version + 1))


def _check_keys(
    state: State, moment: Moment, keys: MemberKeys, before: tuple[bytes, ...], statement: Digest, proof: KeyProof
) -> None:
    """Raise unless these keys may serve: each its duty, as `before`, or new to the network.

    Raises, in this order:
        KeyTwiceError: one is or was a member's key, or stands for two duties.
        UnsoundKeyError: a signing key is not one that all members would judge alike.
        BadProofError: a signing key did not sign the statement.
    """
    wanted = duties(keys)
    if (twice := first_repeated(wanted)) is not None:
        raise KeyTwiceError(key=twice[:32])
    for place, key in enumerate(wanted):
        if before[place : place + 1] != (key,) and KEYS.has(state, digest(key)):
            raise KeyTwiceError(key=key[:32])
    signatures = (proof.ledger, proof.validator, proof.keeper, proof.tls)
    for key in signing_keys(keys):
        if not is_sound(key):
            raise UnsoundKeyError(key=key)
    for key, signature in zip(signing_keys(keys), signatures, strict=True):
        if not moment.verify(key, statement, signature):
            raise BadProofError(key=key)


def _check_quota(quota_bytes: int) -> None:
    if quota_bytes < QUOTA_BYTES_MIN:
        raise QuotaTooSmallError(quota_bytes=quota_bytes, quota_bytes_min=QUOTA_BYTES_MIN)


def _is_usable(limits: Parameters) -> bool:
    return (
        limits.lane_bytes >= LANE_BYTES_MIN
        and limits.messages_max >= MESSAGES_MIN
        and QUOTA_BYTES_MIN <= limits.transaction_bytes_max <= limits.block_bytes_max
    )


def _seats(state: State, committee: CommitteeId, names: tuple[MemberId, ...]) -> tuple[SeatHolder, ...]:
    """Members on seats, in this order.

    Raises, in this order:
        CommitteeSizeError: there is no seat, or more than `SEATS_MAX`.
        UnknownHolderError: one is not a member.
        SeatTwiceError: one would have two seats.
    """
    if not 1 <= len(names) <= SEATS_MAX:
        raise CommitteeSizeError(committee=committee, seats=len(names))
    seats: list[SeatHolder] = []
    for member in names:
        entry = MEMBERS.get(state, member)
        if entry is None:
            raise UnknownHolderError(committee=committee, member=member)
        seats.append(seated(member, entry.keys))
    if (twice := first_repeated(names)) is not None:
        raise SeatTwiceError(committee=committee, member=twice)
    return tuple(seats)


def _check_shares(state: State, member: MemberId) -> None:
    """Raise SharesHeldError where batches could not be opened, nor dealt again by others, once this member is gone."""
    for committee, _ in COMMITTEES.items(state):
        for epoch, before in former(state, committee):
            holders = [seat.member for seat in before.seats]
            left = sum(MEMBERS.has(state, name) for name in holders if name != member)
            if member in holders and left < threshold(len(holders)):
                raise SharesHeldError(member=member, committee=committee, epoch=epoch)


def _next_epoch(state: State, committee: CommitteeId, before: Committee, seats: tuple[SeatHolder, ...]) -> None:
    EPOCHS.put(state, (committee, before.epoch), before)
    COMMITTEES.put(state, committee, Committee(epoch=before.epoch + 1, seats=seats))


def _forget_votes(state: State, member: MemberId) -> None:
    """A member that goes takes along its votes on what is undecided."""
    for (_, proposal_id), _ in PENDING.items(state):
        proposal = PROPOSALS.get(state, proposal_id)
        if proposal is not None and member in (*proposal.approvals, *proposal.rejections):
            approvals = tuple(name for name in proposal.approvals if name != member)
            rejections = tuple(name for name in proposal.rejections if name != member)
            PROPOSALS.put(state, proposal_id, replace(proposal, approvals=approvals, rejections=rejections))


_Make = Callable[[State, Moment, Any], None]  # `Any`: each takes its own change, and the key says which.

_CHANGES: Final[dict[type[Change], _Make]] = {
    AddMember: add_member,
    RemoveMember: remove_member,
    SetValidator: set_validator,
    Reinstate: reinstate,
    ReplaceKeys: replace_keys,
    SetQuota: set_quota,
    NewCommittee: new_committee,
    SetSeats: set_seats,
    SetPack: set_pack,
    SetParameters: set_parameters,
    Upgrade: upgrade,
    Cancel: cancel,
}
