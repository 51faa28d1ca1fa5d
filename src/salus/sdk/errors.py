"""Every way in which a program's own request cannot go on."""

from salus.core.errors import IntegrityError, RefusalError, UnavailableError


class LedgerRefusedError(RefusalError):
    """The ledger refused the transaction; `said` is the rule's own code."""

    def __init__(self, said: str, **facts: str | int | bytes) -> None:
        super().__init__(said=said, **facts)
        self.said = said

    code = "sdk.ledger_refused"


class TooFewSeatsError(UnavailableError):
    """Too few keepers answered to go on; what was begun can be repeated."""

    code = "sdk.too_few_seats"


class NoSuchSubjectError(RefusalError):
    """This member is not linked to such a patient."""

    code = "sdk.no_such_subject"


class NothingToSealError(RefusalError):
    """Keepers refused every record of the batch: this member may not write about these patients."""

    code = "sdk.not_a_writer"


class OldPolicyError(UnavailableError):
    """The policy in force is not held here and no keeper gave it: by an older one nothing is opened while on line."""

    code = "sdk.old_policy"


class OwnStoreError(IntegrityError):
    """What this member kept of its own records contradicts the ledger."""

    code = "sdk.own_store"


class OldWalletError(RefusalError):
    """The patient has claimed the record, or another device has gone on: this wallet's keys no longer count."""

    code = "sdk.old_wallet"
