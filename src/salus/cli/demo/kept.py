"""What the demo remembers of the import: a digest of every document that must come back, and some to tell of."""

import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

from salus.cli import sample
from salus.cli.importing import Imported
from salus.contracts.records.header import RecordId
from salus.core.ids import Digest, MemberId

_FINAL = re.compile(rb'("status"\s*:\s*)"final"')
_WRONG_VALUE = re.compile(rb'("value"\s*:\s*)7\.1\b')


@dataclass(slots=True)
class OfPatient:
    """One patient's documents."""

    by_author: Counter[MemberId] = field(default_factory=Counter)
    labels: dict[MemberId, Counter[str]] = field(default_factory=dict)  # `label:PSY` and the like, by author.
    explicit: dict[MemberId, int] = field(default_factory=dict)  # Records whose kind a permit must name.
    correctable: dict[MemberId, Imported] = field(default_factory=dict)


@dataclass(slots=True)
class Kept:
    """All that was sealed: nothing of it in clear but one document per patient and author that can be corrected."""

    digests: dict[RecordId, Digest] = field(default_factory=dict)
    patients: dict[str, OfPatient] = field(default_factory=dict)  # By the members' number.

    def take(self, imported: Imported) -> None:
        """Remember a document that was sealed."""
        document, author = imported.document, imported.member
        if document.replaces is not None:
            self.digests.pop(document.replaces, None)
        self.digests[imported.record] = sha256(document.data).digest()
        patient = self.patients.setdefault(imported.local, OfPatient())
        patient.by_author[author] += 1
        labels = [term for term in document.terms if term.startswith("label:")]
        patient.labels.setdefault(author, Counter()).update(labels)
        patient.explicit[author] = patient.explicit.get(author, 0) + bool(document.explicit)
        is_wrong = document.source.endswith(sample.WRONG_POTASSIUM)
        if is_wrong or (author not in patient.correctable and _FINAL.search(document.data[:4096])):
            patient.correctable[author] = imported

    def corrected(self, old: RecordId, new: RecordId, data: bytes) -> None:
        """Expect a correction instead of what it corrects."""
        self.digests.pop(old, None)
        self.digests[new] = sha256(data).digest()


def corrected_bytes(imported: Imported) -> bytes:
    """The same document, corrected as its author would: the sample's wrong value mended, any other marked corrected."""
    data = _FINAL.sub(rb'\1"corrected"', imported.document.data, count=1)
    if imported.document.source.endswith(sample.WRONG_POTASSIUM):
        data = _WRONG_VALUE.sub(rb"\g<1>" + sample.RIGHT_POTASSIUM.encode(), data, count=1)
    return data
