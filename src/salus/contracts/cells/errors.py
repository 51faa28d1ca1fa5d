"""Every way a message about a cell can be refused."""

from salus.core.errors import IntegrityError, RefusalError


class GuardiansNotOfferedError(RefusalError):
    """A cell cannot name guardians on this chain yet."""

    code = "cells.guardians_not_offered"


class CellExistsError(RefusalError):
    """A cell with this id was created already."""

    code = "cells.exists"


class CommitteeNotFoundError(RefusalError):
    """No committee has this id."""

    code = "cells.committee_not_found"


class ReceiptsOutOfOrderError(RefusalError):
    """The receipts do not name strictly rising seats."""

    code = "cells.receipts_out_of_order"


class CellNotFoundError(RefusalError):
    """No cell has this id."""

    code = "cells.not_found"


class StaleVersionError(RefusalError):
    """The cell has moved on from the version named."""

    code = "cells.stale_version"


class NotOwnerError(RefusalError):
    """The key shown is not the one whose digest the cell holds, or did not sign."""

    code = "cells.not_owner"


class CellClosedError(RefusalError):
    """The cell is closed for good."""

    code = "cells.closed"


class CellFrozenError(RefusalError):
    """The cell is frozen already."""

    code = "cells.frozen"


class CellNotFrozenError(RefusalError):
    """The cell is not frozen, so there is nothing to thaw."""

    code = "cells.not_frozen"


class UnknownSeatError(RefusalError):
    """A receipt names a seat that the cell's committee does not have."""

    code = "cells.unknown_seat"


class TooFewReceiptsError(RefusalError):
    """Fewer receipts than make sure that one honest keeper holds the content."""

    code = "cells.too_few_receipts"


class BadReceiptError(RefusalError):
    """A receipt's signature is not its seat's over the cell's next version."""

    code = "cells.bad_receipt"


class CommitteeLostError(IntegrityError):
    """A cell names a committee that the ledger does not hold."""

    code = "cells.committee_lost"
