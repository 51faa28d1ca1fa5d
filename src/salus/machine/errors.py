"""Every way a transaction can be refused before a contract sees it. Bytes that are none are `salus.malformed`."""

from salus.core.errors import IntegrityError, RefusalError


class OtherChainError(RefusalError):
    """The transaction is for another chain."""

    code = "machine.other_chain"


class ExpiredError(RefusalError):
    """The transaction's `valid_until` has passed."""

    code = "machine.expired"


class TooFarAheadError(RefusalError):
    """The transaction's `valid_until` is more than an hour ahead."""

    code = "machine.too_far_ahead"


class UnknownSponsorError(RefusalError):
    """The sponsor is not a member."""

    code = "machine.unknown_sponsor"


class TooLargeError(RefusalError):
    """The transaction has more bytes than the limit in force."""

    code = "machine.too_large"


class TooManyMessagesError(RefusalError):
    """The transaction has more messages than the limit in force."""

    code = "machine.too_many_messages"


class BadSignatureError(RefusalError):
    """The signature is not the sponsor's over this body."""

    code = "machine.bad_signature"


class TooManyWitnessesError(RefusalError):
    """The transaction has more witnesses than messages are allowed."""

    code = "machine.too_many_witnesses"


class KeyTwiceError(RefusalError):
    """Two signatures of the transaction are by one key."""

    code = "machine.key_twice"


class BadWitnessError(RefusalError):
    """A witness's signature is not its key's over this body."""

    code = "machine.bad_witness"


class OverQuotaError(RefusalError):
    """The sponsor has used up its bytes in this block."""

    code = "machine.over_quota"


class OverLaneError(RefusalError):
    """The sponsor has used up its reserved bytes for freeze, thaw and advance in this block."""

    code = "machine.over_lane"


class UnknownRulesError(IntegrityError):
    """This program does not know the rules in force at this height: install the version named, then start again."""

    code = "machine.unknown_rules"


class ForeignBlockError(IntegrityError):
    """A block of another chain was to be applied to this state."""

    code = "machine.foreign_block"
