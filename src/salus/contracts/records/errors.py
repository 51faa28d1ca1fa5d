"""Every way a message about records can be refused."""

from salus.core.errors import RefusalError


class ReceiptsOutOfOrderError(RefusalError):
    """The receipts do not name strictly rising seats."""

    code = "records.receipts_out_of_order"


class ReceiptEndsEarlyError(RefusalError):
    """A keeper promises to hold its shares for less long than the transaction is valid."""

    code = "records.receipt_ends_early"


class TargetInOwnBatchError(RefusalError):
    """A batch would supersede a record of its own."""

    code = "records.target_in_own_batch"


class TargetTwiceError(RefusalError):
    """A batch would supersede one record twice."""

    code = "records.target_twice"


class BatchExistsError(RefusalError):
    """The sponsor has anchored a batch under this id already."""

    code = "records.batch_exists"


class CommitteeNotFoundError(RefusalError):
    """No committee has this id."""

    code = "records.committee_not_found"


class StaleEpochError(RefusalError):
    """The committee is at another epoch."""

    code = "records.stale_epoch"


class AttestedBeforeError(RefusalError):
    """The batch is dealt to this epoch already."""

    code = "records.attested_before"


class UnknownSeatError(RefusalError):
    """A receipt names a seat that the committee does not have."""

    code = "records.unknown_seat"


class TooFewReceiptsError(RefusalError):
    """Fewer receipts than the committee's quorum."""

    code = "records.too_few_receipts"


class BadReceiptError(RefusalError):
    """A receipt's signature is not its seat's over this batch."""

    code = "records.bad_receipt"


class BatchNotFoundError(RefusalError):
    """Neither the sponsor nor one it has succeeded anchored a batch under this id."""

    code = "records.batch_not_found"


class AlreadyOverriddenError(RefusalError):
    """The record was superseded or withdrawn already."""

    code = "records.already_overridden"


class AlreadyWithdrawnError(RefusalError):
    """The record was withdrawn already."""

    code = "records.already_withdrawn"
