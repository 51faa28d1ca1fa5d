"""Every way a genesis can be refused. All name members, committees or keys, which are public."""

from salus.core.errors import IntegrityError, RefusalError


class NoValidatorError(RefusalError):
    """A genesis needs at least one member that validates."""

    code = "members.no_validator"


class MemberTwiceError(RefusalError):
    """Two founding members have one name."""

    code = "members.member_twice"


class KeyTwiceError(RefusalError):
    """One public key serves two members or two duties."""

    code = "members.key_twice"


class UnsoundKeyError(RefusalError):
    """A signing key is not one that all members would judge alike."""

    code = "members.unsound_key"


class CommitteeTwiceError(RefusalError):
    """Two founding committees have one id."""

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


class NotFoundedError(IntegrityError):
    """The state has no genesis, so nothing can be asked of it."""

    code = "members.not_founded"
