"""What the commands for snapshots do besides what `node/snapshots.py` does for them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from salus.cli.errors import FileError, UnknownMemberError
from salus.core.ids import Height, MemberId
from salus.engines.snapshots import SnapshotError
from salus.node.folder import members_here, read_genesis
from salus.node.snapshots import Listed, check_pieces, described, listed


@dataclass(frozen=True, slots=True)
class Compared:
    """Snapshots that are the same, or one that is damaged."""

    height: Height
    hash: str
    places: tuple[str, ...]
    damaged: str = ""  # What is wrong with it.

    @property
    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"height": self.height, "hash": self.hash, "places": list(self.places), "damaged": self.damaged}


def member_here(folder: Path, name: str | None) -> MemberId:
    """The member of this name among those that live here; the first one where none is named.

    Raises:
        NoNetworkError, NotANetworkError: as `read_genesis`.
        UnknownMemberError: it does not live here.
    """
    here = members_here(folder, read_genesis(folder))
    if not here or (name is not None and name not in here):
        raise UnknownMemberError(member=name or "")
    return here[0] if name is None else MemberId(name)


def compared(folder: Path, places: Sequence[Path]) -> list[Compared]:
    """Snapshots by height and hash, every piece checked; those named, or all that lie in a network's folder.

    Raises:
        NoNetworkError, NotANetworkError: none is named, and there is no network.
    """
    found = [described("", place, 0) for place in places] if places else listed(folder)
    same: defaultdict[tuple[Height, str], list[str]] = defaultdict(list)
    damaged: list[Compared] = []
    for one in found:
        try:
            same[one.height, check_pieces(one.place).hex()].append(_name(one))
        except SnapshotError as error:
            what = [str(error.facts[name]) for name in ("reason", "piece") if name in error.facts]
            damaged.append(Compared(one.height, "", (_name(one),), ", ".join(what)))
    return [*(Compared(height, named, tuple(at)) for (height, named), at in sorted(same.items())), *damaged]


def _name(one: Listed) -> str:
    return one.where or str(one.place)


@contextmanager
def reported() -> Iterator[None]:
    """Say ours for what the system says of a folder.

    Raises:
        FileError: it cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        raise FileError(reason=error.strerror or type(error).__name__) from None
