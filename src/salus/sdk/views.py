"""What a reader gets: documents, gaps that are shown and not dropped, and who was caught."""

from dataclasses import dataclass

from salus.contracts.records.header import Header, RecordId
from salus.contracts.records.tables import Fate
from salus.core.ids import Height, MemberId


@dataclass(frozen=True, slots=True)
class Opened:
    """One document, verified end to end, byte for byte as it was submitted."""

    header: Header
    data: bytes
    obligations: tuple[str, ...]
    fate: Fate | None  # Set where history was asked for and this version no longer counts.
    is_own: bool = False  # Opened by its author's own key.
    is_stale: bool = False  # Decided by an author offline, from the last policy it held.


@dataclass(frozen=True, slots=True)
class Gap:
    """A record that is known and permitted, and cannot be read now."""

    record: RecordId
    reason: str  # `too_few_shares`, `inconsistent_dealer`, `blob_missing`.


@dataclass(frozen=True, slots=True)
class Accusation:
    """A party whose own signature, or bytes on the ledger, shows that it lied or lost something."""

    member: MemberId
    what: str  # `bad_share`, `wrong_header`, `bad_signature`, `stale_policy`, `omitted_record`, `bad_blob`, …
    record: RecordId | None = None


@dataclass(slots=True)
class View:
    """The unified record at one moment."""

    records: list[Opened]
    gaps: list[Gap]
    accusations: list[Accusation]
    height: Height
    answered: int  # Seats whose answers held.
    absent: tuple[MemberId, ...]  # Seats that did not answer, or refused.
