"""Who reads, and what is asked for."""

from dataclasses import dataclass, field

from salus.contracts.credentials.claims import Claims
from salus.contracts.reads.opening import Selection
from salus.core.ids import CommitteeId, CredentialId, Purpose, SubjectId
from salus.crypto.signatures import SigningKey


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: their own key, and the credential that binds it; none for a patient's own device."""

    key: SigningKey
    credential_id: CredentialId | None = None
    claims: Claims | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, and why."""

    subject: SubjectId
    committee: CommitteeId
    purpose: Purpose
    reason: str = ""
    selection: Selection = field(default_factory=Selection)
