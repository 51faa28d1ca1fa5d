"""Which member stands for which organisation, kept beside the network so that a repeated import decides alike.

An organisation whose id is a member's name is that member. Others are given out by `fhir.authors.assign`: largest
first, those that share patients apart, so that records are as scattered here as they were in life.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from salus.core.errors import IntegrityError
from salus.core.ids import MemberId
from salus.fhir.authors import assign
from salus.node.keys import write_secret

FILE = "organisations.json"


class PlacesError(IntegrityError):
    """The table of organisations does not read: mend or remove it before importing again."""

    code = "import.places"


class Places:
    """Members by organisation, for one network."""

    def __init__(self, folder: Path, members: Sequence[MemberId]) -> None:
        """Read the table of a network's folder.

        Raises:
            PlacesError: it does not read, or names somebody who is no member.
        """
        self._path = folder / FILE
        self._members = members
        self._known = self._read()

    def of(self, organisation: str | None) -> MemberId | None:
        """The member that an organisation is."""
        if organisation is None:
            return None
        own_id = organisation.rpartition("/")[2]
        return MemberId(own_id) if own_id in self._members else self._known.get(organisation)

    def learn(self, counts: Mapping[str, int], patients: Iterable[Mapping[str, int]]) -> None:
        """Give out the organisations that are new; durable on return. `counts`: records by organisation."""
        fresh = {name: count for name, count in counts.items() if self.of(name) is None}
        if not fresh:
            return
        known = {name: member for name in counts if (member := self.of(name)) is not None}
        given = assign(counts, self._members, patients, {**self._known, **known})
        self._known.update({name: MemberId(given[name]) for name in fresh})
        write_secret(self._path, msgspec.json.encode(self._known, order="sorted"), replace=True)

    def _read(self) -> dict[str, MemberId]:
        try:
            known = msgspec.json.decode(self._path.read_bytes(), type=dict[str, MemberId])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError):
            raise PlacesError(file=FILE) from None
        if not set(known.values()) <= set(self._members):
            raise PlacesError(file=FILE)
        return known


def counted(organisations: Iterable[tuple[str, str]]) -> tuple[Counter[str], list[Counter[str]]]:
    """Records by organisation, and the same per patient, from pairs of patient and organisation."""
    counts: Counter[str] = Counter()
    patients: dict[str, Counter[str]] = {}
    for patient, organisation in organisations:
        counts[organisation] += 1
        theirs = patients.get(patient)
        if theirs is None:
            theirs = patients[patient] = Counter()
        theirs[organisation] += 1
    return counts, list(patients.values())
