"""What an import tells: how far it is, what it could not take, and what became of everything.

Files, places and reasons are for the person who imports; they are never logged, since a file's name may be a patient's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from salus.contracts.records.header import RecordId
from salus.core.ids import MemberId
from salus.fhir.errors import WARNINGS, Problem
from salus.sdk.author import NewDocument


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something an import could not take in, or took in with a doubt."""

    file: str
    place: str
    reason: str  # An error code.
    count: int = 1

    @property
    def is_warning(self) -> bool:
        """Whether it was taken in all the same."""
        return self.reason in WARNINGS


@dataclass(frozen=True, slots=True)
class Imported:
    """One document that is on the ledger now."""

    member: MemberId
    local: str  # The member's own number for the patient.
    record: RecordId
    document: NewDocument  # As it was sealed.


@dataclass(slots=True)
class ImportReport:
    """What became of a folder. Counts are of resources unless the name says otherwise."""

    members: int = 0
    files: int = 0
    patients: int = 0
    new_patients: int = 0
    resources_in: int = 0  # All that the files held, what had to be refused included.
    directory_entries: int = 0
    records_sealed: int = 0
    records_durable: int = 0
    refused: int = 0
    changed: int = 0  # Sealed as a newer version of what was here.
    repeated: int = 0  # Here already, byte for byte.
    rewritten: int = 0  # Conditional references were resolved: not byte for byte what came in.
    batches: int = 0
    bytes_in: int = 0  # Of patients' documents.
    seconds: float = 0.0
    by_member: Counter[MemberId] = field(default_factory=Counter)  # Records sealed.
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def sealed_per_s(self) -> float:
        """Records a second, from the first file read to the last batch final."""
        return self.records_sealed / self.seconds if self.seconds else 0.0

    @property
    def problems(self) -> list[Trouble]:
        """What was not taken in."""
        return [trouble for trouble in self.troubles if not trouble.is_warning]

    @property
    def is_whole(self) -> bool:
        """Whether everything was taken in."""
        return not self.problems

    def add_problems(self, problems: tuple[Problem, ...]) -> None:
        """Take over what preparing a file found."""
        self.troubles += [Trouble(one.file, one.place, one.reason, one.count) for one in problems]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is."""

    files_done: int
    files: int
    documents: int  # Read so far.
    records_sealed: int
    batches: int
    seconds: float


OnProgress = Callable[[Progress], None]
OnImported = Callable[[Imported], None]
