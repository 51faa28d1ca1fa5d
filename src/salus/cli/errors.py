"""Every way in which a command cannot go on by itself. What a person reads of them is in `told.py`."""

from salus.core.errors import MalformedError, RefusalError, UnavailableError


class UnknownPersonError(RefusalError):
    """There is no such person: people are named as `clinician@mercy` or `patient:1`."""

    code = "cli.unknown_person"


class UnknownPatientError(RefusalError):
    """No patient has this number here."""

    code = "cli.unknown_patient"


class UnknownMemberError(RefusalError):
    """No member of this network has this name."""

    code = "cli.unknown_member"


class UnknownDocumentError(RefusalError):
    """No document that may be seen here has this id."""

    code = "cli.unknown_document"


class AmbiguousDocumentError(RefusalError):
    """Several documents begin with this id: give more of it."""

    code = "cli.ambiguous_document"


class UnknownProposalError(RefusalError):
    """No proposal has this id."""

    code = "cli.unknown_proposal"


class AmbiguousProposalError(RefusalError):
    """Several proposals begin with this id: give more of it."""

    code = "cli.ambiguous_proposal"


class OtherEngineError(RefusalError):
    """The network in this folder was made for one process, and keeps to that."""

    code = "cli.other_engine"


class OtherPackError(RefusalError):
    """The file is not the pack that is proposed."""

    code = "cli.other_pack"


class UnknownCommitteeError(RefusalError):
    """No committee has this id, or several begin with it."""

    code = "cli.unknown_committee"


class SeatsHeldError(RefusalError):
    """The member keeps shares: somebody must take its seats, or there will be fewer."""

    code = "cli.seats_held"


class NotApartError(RefusalError):
    """The members of this network share one process, so none of them is on a machine of its own."""

    code = "cli.not_apart"


class ApartError(RefusalError):
    """The members of this network are on machines of their own: keys of a new one are made where it will live."""

    code = "cli.apart"


class SeveralMembersError(RefusalError):
    """Several members live in this folder: say which of them acts."""

    code = "cli.several_members"


class ElsewhereError(RefusalError):
    """That member's people act on a machine of their own, not here."""

    code = "cli.elsewhere"


class UnknownRuleError(RefusalError):
    """The consent has no such rule."""

    code = "cli.unknown_rule"


class NotTheirsError(RefusalError):
    """This person may not do this: another kind of person does."""

    code = "cli.not_theirs"


class CustodialError(RefusalError):
    """A hospital keeps this patient's keys, so nobody acts with a device of the patient."""

    code = "cli.custodial"


class AlreadyOwnError(RefusalError):
    """The patient keeps their own keys already: there is nothing to claim."""

    code = "cli.already_own"


class NotUpError(UnavailableError):
    """The members of this network run as processes of their own, and they are not up."""

    code = "cli.not_up"


class NoWitnessError(RefusalError):
    """The witness must be another hospital that writes about this patient."""

    code = "cli.no_witness"


class UnknownTransactionError(RefusalError):
    """The ledger holds no such transaction."""

    code = "cli.unknown_transaction"


class PolicyAwayError(UnavailableError):
    """No hospital that writes about this patient has the consent in force at hand."""

    code = "cli.policy_away"


class FileError(UnavailableError):
    """A file cannot be read or written: check its path, its rights, and the space left on the disk."""

    code = "cli.file"


class ConnectionLostError(UnavailableError):
    """The running network went away before it had answered; what was asked may have been done."""

    code = "cli.connection_lost"


class StoppingError(UnavailableError):
    """The network is being stopped, and this took longer than it waits; what was acknowledged is kept."""

    code = "cli.stopping"


class AlreadyUpError(UnavailableError):
    """The network in this folder is up already, in another process."""

    code = "cli.already_up"


class WordError(MalformedError):
    """A word, date or id is not one that is known here."""

    code = "cli.word"


class PastError(MalformedError):
    """The day given is over, so nothing would ever be in force."""

    code = "cli.past"


class NotAReceiptError(MalformedError):
    """The file is no receipt of Salus, or was cut short."""

    code = "cli.not_a_receipt"


class NoSignedCheckpointError(RefusalError):
    """Members have signed no checkpoint here yet; they do with the first block of a day, where they run apart."""

    code = "cli.no_signed_checkpoint"


class NotACheckpointError(MalformedError):
    """The file is no checkpoint of Salus, or was cut short."""

    code = "cli.not_a_checkpoint"


class NotAGenesisError(MalformedError):
    """The file is no genesis of Salus, or was cut short."""

    code = "cli.not_a_genesis"
