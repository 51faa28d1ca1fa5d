"""What a reader gets: documents, gaps that are shown and not dropped, and who was caught."""

from dataclasses import dataclass, field

from salus.contracts.records.header import Header, RecordId
from salus.contracts.records.tables import Fate
from salus.core.ids import Height, MemberId
from salus.core.wire import Struct


class Opened(Struct, frozen=True):
    """One document, verified end to end, byte for byte as it was submitted.

    A view has hundreds: made at a stroke, of no interest to the cyclic collector, and shown by sizes alone.
    """

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
    """A party that lied: its own signature, or bytes on the ledger, show it. An honest member is never among them."""

    member: MemberId
    what: str  # `bad_share`, `wrong_header`, `wrong_dealing`, `bad_signature`, `stale_policy`, `omitted_record`, …
    record: RecordId | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A member that lacks what others have: no lie, but its operator should look; outbox or repair will mend it."""

    member: MemberId
    what: str  # `lacks_policy`, `lacks_record` (did not sign that it has it), `missing_blob`.
    record: RecordId | None = None


@dataclass(slots=True)
class Findings:
    """What was found of the parties while a view was made."""

    accusations: list[Accusation] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def accuse(self, member: MemberId, what: str, record: RecordId | None = None) -> None:
        """A lie that can be shown."""
        self.accusations.append(Accusation(member, what, record))

    def accuse_once(self, member: MemberId, what: str) -> None:
        """As `accuse`, where the same lie may come again and again."""
        if Accusation(member, what) not in self.accusations:
            self.accuse(member, what)

    def notice_once(self, member: MemberId, what: str) -> None:
        """As `notice`, where the same lack may come again and again."""
        if Notice(member, what) not in self.notices:
            self.notice(member, what)

    def add(self, other: "Findings") -> None:
        """What was found elsewhere."""
        self.accusations += other.accusations
        self.notices += other.notices

    def notice(self, member: MemberId, what: str, record: RecordId | None = None) -> None:
        """A lack."""
        self.notices.append(Notice(member, what, record))


@dataclass(slots=True)
class View:
    """The unified record at one moment."""

    records: list[Opened]
    gaps: list[Gap]
    accusations: list[Accusation]
    height: Height
    answered: int  # Seats whose answers held.
    absent: tuple[MemberId, ...]  # Seats that did not answer, refused, or answered of another moment.
    notices: list[Notice] = field(default_factory=list)
