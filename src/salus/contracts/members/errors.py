"""Every way a genesis, a proposal or a vote can be refused. All name members, committees or keys, which are public."""

from salus.core.errors import IntegrityError, RefusalError


class NoValidatorError(RefusalError):
    """At least one member must validate."""

    code = "members.no_validator"


class MemberTwiceError(RefusalError):
    """Two members would have one name, or one that is gone had it."""

    code = "members.member_twice"


class KeyTwiceError(RefusalError):
    """One public key would serve two members or two duties, or serve again."""

    code = "members.key_twice"


class UnsoundKeyError(RefusalError):
    """A signing key is not one that all members would judge alike."""

    code = "members.unsound_key"


class CommitteeTwiceError(RefusalError):
    """Two committees would have one id."""

    code = "members.committee_twice"


class CommitteeSizeError(RefusalError):
    """A committee has no seat, or more than thirteen."""

    code = "members.committee_size"


class UnknownHolderError(RefusalError):
    """A seat is given to someone who is not a member."""

    code = "members.unknown_holder"


class SeatTwiceError(RefusalError):
    """A member holds two seats of one committee, so that its loss would count twice."""

    code = "members.seat_twice"


class PackTwiceError(RefusalError):
    """Two founding packs are for one jurisdiction."""

    code = "members.pack_twice"


class AlreadyFoundedError(RefusalError):
    """The state already belongs to a chain."""

    code = "members.already_founded"


class UnknownMemberError(RefusalError):
    """No member has this name."""

    code = "members.unknown_member"


class StaleVersionError(RefusalError):
    """What was to be changed has moved on from the version named."""

    code = "members.stale_version"


class BadProofError(RefusalError):
    """A new key did not sign for what it would serve."""

    code = "members.bad_proof"


class UnknownJurisdictionError(RefusalError):
    """No pack is in force in the member's jurisdiction."""

    code = "members.unknown_jurisdiction"


class QuotaTooSmallError(RefusalError):
    """The quota would be too small for a member to vote."""

    code = "members.quota_too_small"


class UnknownSuccessorError(RefusalError):
    """Who is to succeed a member is no other member."""

    code = "members.unknown_successor"


class SeatHeldError(RefusalError):
    """A member that holds a seat cannot go before the seat has moved."""

    code = "members.seat_held"


class SharesHeldError(RefusalError):
    """Without the member too few would be left of those who hold the shares of older batches: these come first."""

    code = "members.shares_held"


class NotSuspendedError(RefusalError):
    """The member is not suspended."""

    code = "members.not_suspended"


class CommitteeNotFoundError(RefusalError):
    """No committee has this id."""

    code = "members.committee_not_found"


class StaleEpochError(RefusalError):
    """The committee is at another epoch."""

    code = "members.stale_epoch"


class UnusableParametersError(RefusalError):
    """Under these limits the network could not decide on better ones, or a patient not freeze a cell."""

    code = "members.unusable_parameters"


class NotNextRulesError(RefusalError):
    """An upgrade leads to the version after the one in force, and to no other."""

    code = "members.not_next_rules"


class HeightPassedError(RefusalError):
    """The height named is not ahead."""

    code = "members.height_passed"


class ProposalExistsError(RefusalError):
    """A proposal has this id already."""

    code = "members.proposal_exists"


class TooManyProposalsError(RefusalError):
    """The member has as many undecided proposals as it may have."""

    code = "members.too_many_proposals"


class ProposalNotFoundError(RefusalError):
    """No proposal has this id."""

    code = "members.proposal_not_found"


class ProposalClosedError(RefusalError):
    """The proposal is decided."""

    code = "members.proposal_closed"


class ProposalExpiredError(RefusalError):
    """The proposal's time is over."""

    code = "members.proposal_expired"


class VotedAlreadyError(RefusalError):
    """The member has voted on this proposal."""

    code = "members.voted_already"


class SuspendedError(RefusalError):
    """A suspended member neither proposes nor votes."""

    code = "members.suspended"


class NoNextKeyError(RefusalError):
    """No TLS key was announced that could take the old one's place."""

    code = "members.no_next_key"


class NotFoundedError(IntegrityError):
    """The state has no genesis, so nothing can be asked of it."""

    code = "members.not_founded"
