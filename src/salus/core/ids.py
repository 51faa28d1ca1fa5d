"""Names for the things that are passed around, so that two of them cannot be swapped unnoticed.

Sizes are part of the type: what arrives from outside is checked against them while it is decoded.
"""

from typing import Annotated, NewType

from msgspec import Meta

ChainId = NewType("ChainId", str)  # Named in the genesis; bound into every signature.
MemberId = NewType("MemberId", str)  # An organisation's short public name, such as `mercy`.
Purpose = NewType("Purpose", str)  # A code of HL7 v3 ActReason, such as `TREAT`.
FhirType = NewType("FhirType", str)  # A FHIR R4 resource type, such as `Observation`.

_Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]

BatchId = _Id16  # Drawn by the author; scoped to its author on the ledger.
CellId = _Id16  # Drawn by whoever creates the cell.
CommitteeId = _Id16
CredentialId = _Id16
ProposalId = _Id16  # Drawn by the member that proposes.
RequestId = _Id16
SubjectId = _Id16  # A patient's random handle. Never on the ledger, in a log or in an error.
Token = _Id16  # A blinded term: HMAC under a key of one subject and one author, cut to 16 bytes.
Salt = _Bytes32
Digest = _Bytes32  # SHA-256, always whole.
PublicKey = _Bytes32  # Ed25519.
Signature = _Bytes64  # Ed25519.
LastingKey = Annotated[bytes, Meta(min_length=1952, max_length=1952)]  # ML-DSA-65 public key.
LastingSignature = Annotated[bytes, Meta(min_length=3309, max_length=3309)]
SealingKey = Annotated[bytes, Meta(min_length=1216, max_length=1216)]  # X-Wing public key: ML-KEM-768 ‖ X25519.

Name = Annotated[MemberId, Meta(min_length=1, max_length=32, pattern=r"^[a-z0-9][a-z0-9-]*\Z")]
Unsigned = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Height = Unsigned
Version = Unsigned
Epoch = Unsigned
TimeMs = Unsigned  # Milliseconds since 1970-01-01T00:00:00Z. On the ledger always block time.
Seat = Annotated[int, Meta(ge=1, le=255)]  # A committee's seats count from 1: the x of its Shamir share.
LeafIndex = Annotated[int, Meta(ge=0, lt=1024)]

Sealed = Annotated[bytes, Meta(max_length=1 << 20)]  # An envelope to a seat or gateway, but for a batch's shares.
SealedShares = Annotated[bytes, Meta(max_length=1 << 25)]  # 1,024 records, each with a hash per seat.

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MIB_BYTES = 1 << 20

NO_DIGEST: Digest = bytes(32)  # Stands for "none" where a digest is optional.
