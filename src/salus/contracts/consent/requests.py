"""What a decision is told of the reader. Facts only that a keeper has verified itself: a caller's word is not one."""

from enum import Enum

from salus.contracts.consent.policy import Jurisdiction
from salus.contracts.consent.rules import Handle
from salus.core.ids import CredentialId, Name, Purpose
from salus.core.wire import Record


class ReadKind(Enum):
    """As whom the reader has signed."""

    CLINICIAN = "clinician"  # A member's person, with the key their credential binds.
    PATIENT = "patient"  # A key among the policy's devices.
    PROXY = "proxy"  # A key among the policy's proxies.


class ReadRequest(Record, tag="consent.request/1", frozen=True):
    """One reader, one purpose. For a patient or proxy, `member` merely forwards the request."""

    member: Name
    roles: tuple[str, ...]  # Of the credential, which was found active.
    credential: CredentialId | None
    jurisdiction: Jurisdiction  # The reader's: which pack applies beside the author's.
    kind: ReadKind
    handle: Handle | None  # Of the device or proxy whose key signed.
    purpose: Purpose
    reason: str = ""  # Typed by the reader; only whether there is one matters here.
    history: bool = False  # Asks for overridden versions too; which those are, the keeper knows.
    held: bool = False  # A lawful delay of the patient's own access is in force.
