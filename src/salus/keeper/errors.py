"""Every way a keeper refuses. Nothing here says anything of a patient: what is forbidden looks like what is absent."""

from salus.core.errors import IntegrityError, MalformedError, RefusalError, UnavailableError


class NotSeatedError(RefusalError):
    """This member holds no such seat in this committee at this epoch."""

    code = "keeper.not_seated"


class EnvelopeError(MalformedError):
    """The envelope does not open, or its author did not sign what is inside."""

    code = "keeper.envelope"


class InconsistentDealerError(RefusalError):
    """Headers or shares do not lead to the roots they were sent under."""

    code = "keeper.inconsistent_dealer"


class DepositConflictError(RefusalError):
    """The ledger holds this batch under other roots."""

    code = "keeper.deposit_conflict"


class PolicyError(RefusalError):
    """This version may not be held: not the next one, another cell's, or not its custodian's to widen."""

    code = "keeper.policy"


class WideningWaitsError(RefusalError):
    """A custodian's widening waits 24 hours of block time, or for a second writer's signature."""

    code = "keeper.widening_waits"


class NoRequestError(RefusalError):
    """No open request on the ledger carries this opening and this reply key."""

    code = "keeper.no_request"


class RequestExpiredError(RefusalError):
    """The request has run out."""

    code = "keeper.request_expired"


class PersonError(RefusalError):
    """The person's signature, key or credential does not hold."""

    code = "keeper.person"


class QuotaError(RefusalError):
    """This person or member has asked too often; break-glass beyond its quota needs a second person."""

    code = "keeper.quota"


class BreakGlassError(RefusalError):
    """Break-glass needs an emergency role, a typed reason, and at most sixty minutes."""

    code = "keeper.break_glass"


class PolicyMissingError(UnavailableError):
    """The policy in force is not held here, and no other seat has given it: nothing is served until one does."""

    code = "keeper.policy_missing"


class NotSuccessorError(RefusalError):
    """The author has not left the network, or another member succeeded it: nobody else deals its batches again."""

    code = "keeper.not_successor"


class NotBehindError(RefusalError):
    """No such batch is dealt to the keepers of before: there is nothing to deal again."""

    code = "keeper.not_behind"


class WitnessError(RefusalError):
    """Too few keepers of before say that these are all records of the batch."""

    code = "keeper.witness"


class NotHeldError(UnavailableError):
    """This keeper does not hold the batch, or its vault has not all ciphertext yet."""

    code = "keeper.not_held"


class RepairWaitsError(UnavailableError):
    """A patient of the batch has frozen the record, or is not known here: nothing of the batch leaves until then."""

    code = "keeper.repair_waits"


class StaleError(UnavailableError):
    """This keeper's view of the ledger is older than 60 seconds, or behind what was asked."""

    code = "keeper.stale"


class RestoredError(UnavailableError):
    """This keeper's store was put back from a backup, or lost: it serves nothing until it has caught up with others."""

    code = "keeper.restored"


class LogOverdueError(UnavailableError):
    """The log's root is overdue on the ledger: only break-glass is answered until it is there."""

    code = "keeper.log_overdue"


class StoreCorruptError(IntegrityError):
    """What this keeper stored does not open or contradicts itself."""

    code = "keeper.store_corrupt"
