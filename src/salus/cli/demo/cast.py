"""Whom the story is about: a patient whose record is scattered, a hospital that wants to read, one that wrote."""

from dataclasses import dataclass

from salus.cli import sample
from salus.cli.demo.kept import Kept, OfPatient
from salus.cli.home import Home
from salus.cli.identity import StaffName
from salus.cli.people import Patient
from salus.core.ids import MemberId


@dataclass(slots=True)
class Cast:
    """The people and hospitals of one demo. `patient` changes as their wallet does."""

    patient: Patient
    of: OfPatient
    reader: MemberId  # Its clinician wants to see the whole record.
    author: MemberId  # Wrote most of what the reader lacks.
    label: str | None  # `label:PSY`: what the patient keeps back; None where the data has no label elsewhere.

    @property
    def clinician(self) -> StaffName:
        """Who reads."""
        return StaffName("clinician", self.reader)

    @property
    def size(self) -> int:
        """How many records the patient has."""
        return self.of.by_author.total()

    @property
    def patient_name(self) -> str:
        """As people type it."""
        return f"patient:{self.patient.number}"

    @property
    def authors(self) -> list[MemberId]:
        """Who wrote, the main author of what the reader lacks first."""
        return sorted(self.of.by_author, key=lambda name: (name != self.author, name == self.reader))

    @property
    def excepted(self) -> int:
        """How many records elsewhere carry the label that the patient keeps back."""
        others = [labels for author, labels in self.of.labels.items() if author != self.reader]
        return 0 if self.label is None else sum(labels[self.label] for labels in others)

    @property
    def named_only(self) -> int:
        """How many records elsewhere are of a kind that a permit must name."""
        return sum(count for author, count in self.of.explicit.items() if author != self.reader)

    @property
    def own(self) -> int:
        """How many of them the reader's hospital wrote itself."""
        return self.of.by_author[self.reader]


def chosen(home: Home, kept: Kept) -> Cast | None:
    """The patient with most authors; among those, one with a sensitive label elsewhere; then the largest record.

    None where nothing was sealed, or where there is no second member to read anything.
    """
    if not kept.patients or len(home.network.members) < 2:
        return None
    local = max(kept.patients, key=lambda name: (name.endswith(sample.ADULT), *_interest(home, kept.patients[name])))
    of = kept.patients[local]
    patient = next(one for one in home.people.patients() if one.name == local)
    reader = _reader(home, of)
    others = {author: count for author, count in of.by_author.items() if author != reader}
    author = max(others, key=lambda name: others[name])
    return Cast(patient, of, reader, author, _label(of, reader))


def _interest(home: Home, of: OfPatient) -> tuple[int, bool, int]:
    return len(of.by_author), _label(of, _reader(home, of)) is not None, of.by_author.total()


def _reader(home: Home, of: OfPatient) -> MemberId:
    """The second largest author; of a record with one author, the next member, which wrote nothing."""
    ranked = [author for author, _ in of.by_author.most_common()]
    if len(ranked) > 1:
        return ranked[1]
    return next(member.name for member in home.network.members if member.name != ranked[0])


def _label(of: OfPatient, reader: MemberId) -> str | None:
    """The label that most records at other hospitals carry, mental health first."""
    found = [label for author, labels in of.labels.items() if author != reader for label in labels.elements()]
    if "label:PSY" in found:
        return "label:PSY"
    return max(sorted(set(found)), key=found.count, default=None)
