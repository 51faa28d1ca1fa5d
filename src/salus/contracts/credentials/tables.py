"""What the ledger keeps of credentials."""

from enum import Enum
from typing import Final

from salus.core.ids import CredentialId, Digest, Name, TimeMs, Version
from salus.core.wire import Record
from salus.state.keys import Bytes
from salus.state.table import Table


class Status(Enum):
    """Whether an issuer still stands behind a credential. Expiry is separate: it is a matter of time."""

    ACTIVE = "active"
    REVOKED = "revoked"


class Credential(Record, tag="credentials.credential/1", frozen=True):
    """One credential's standing."""

    version: Version
    issuer: Name
    commitment: Digest
    expires: TimeMs
    status: Status


CREDENTIALS: Final = Table[CredentialId, Credential]("credentials/credential/", Credential, Bytes(16))
