"""What clients did and were told, and what must follow from it whatever went wrong meanwhile.

Each operation is written down when it begins and when it ends: done, refused, or unknown where no answer came in time.
The checks are plain functions over that list, so that they can be shown to find what they look for.

    written_once          every acknowledged document is there, once, wherever the patient asks
    reads_are_current     a read shows what was acknowledged before it began, and its height is not older than that
    consents_are_obeyed   a read that began after a revocation or a freeze was acknowledged shows nothing to the reader
    grants_are_obeyed     a read that began after a grant was acknowledged shows everything to the reader
    enough_happened       a run in which hardly anything was done, or hardly anything failed, shows nothing
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

DONE, REFUSED, UNKNOWN, RUNNING = "done", "refused", "unknown", "running"
NEVER_S = float("inf")
DONE_PER_MINUTE = {"import": 2.0, "grant": 0.5, "read": 2.0, "own-read": 1.0}  # A third of what a busy machine does.
FAULTS_PER_MINUTE = 2.0


@dataclass(slots=True)
class Operation:
    """One thing that a client asked for."""

    number: int
    kind: str  # `import`, `grant`, `revoke`, `freeze`, `thaw`, `read`, `own-read`, `emergency`.
    patient: int
    began_s: float
    ended_s: float = NEVER_S
    outcome: str = RUNNING
    code: str = ""  # Of a refusal.
    height: int = 0  # At which it took effect, or which it shows.
    sources: tuple[str, ...] = ()  # Documents that were written, or shown.
    gaps: int = 0
    is_stale: bool = False


@dataclass(slots=True)
class History:
    """All operations, in the order in which they began."""

    operations: list[Operation] = field(default_factory=list)

    def begin(self, kind: str, patient: int, now_s: float, sources: Iterable[str] = ()) -> Operation:
        """Write down that something was asked for."""
        made = Operation(len(self.operations), kind, patient, now_s, sources=tuple(sources))
        self.operations.append(made)
        return made

    def of(self, patient: int, *kinds: str) -> list[Operation]:
        """A patient's operations of these kinds."""
        return [one for one in self.operations if one.patient == patient and one.kind in kinds]

    @property
    def patients(self) -> list[int]:
        """Who is in it."""
        return sorted({one.patient for one in self.operations})

    def counts(self) -> dict[str, int]:
        """How much of what became what."""
        return dict(sorted(Counter(f"{one.kind} {one.outcome}" for one in self.operations).items()))


Final = Mapping[str, Mapping[int, list[str]]]
"""What each patient is shown at the end, by the member where they ask."""


def broken(history: History, final: Final) -> list[str]:
    """Every sentence of the module's head that does not hold, with the operation that shows it."""
    found = [*written_once(history, final)]
    for check in (reads_are_current, consents_are_obeyed, grants_are_obeyed):
        for patient in history.patients:
            found += check(history, patient)
    return found


def enough_happened(history: History, faults: int, minutes: float) -> Iterator[str]:
    """So much was done, of each kind, while so much failed."""
    done = Counter(one.kind for one in history.operations if one.outcome == DONE)
    for kind, per_minute in DONE_PER_MINUTE.items():
        if done[kind] < per_minute * minutes:
            yield f"only {done[kind]} times was {kind} done in {minutes:g} minutes"
    if faults < FAULTS_PER_MINUTE * minutes:
        yield f"only {faults} faults in {minutes:g} minutes"


def written_once(history: History, final: Final) -> Iterator[str]:
    """Every acknowledged document is shown to its patient once, wherever they ask; and nothing that nobody wrote."""
    for member, shown in final.items():
        for patient in history.patients:
            counts = Counter(shown.get(patient, []))
            asked = {source for one in history.of(patient, "import") for source in one.sources}
            yield from (f"{member} shows {source} {times} times" for source, times in counts.items() if times > 1)
            yield from (f"{member} shows {source}, which nobody wrote" for source in counts if source not in asked)
            for one in history.of(patient, "import"):
                lost = [source for source in one.sources if source not in counts]
                if one.outcome == DONE and lost:
                    yield f"operation {one.number} was acknowledged, and {member} does not show {lost}"


def reads_are_current(history: History, patient: int) -> Iterator[str]:
    """The patient's own reads show all that was acknowledged before, or a gap for it; nobody's are older than that."""
    changes = history.of(patient, "grant", "revoke", "freeze", "thaw")
    for read in history.of(patient, "own-read", "read"):
        if read.outcome != DONE or read.is_stale:
            continue
        missing = acknowledged(history, read) - set(read.sources) if read.kind == "own-read" else set[str]()
        if len(missing) > read.gaps:
            yield f"read {read.number} has {read.gaps} gaps and lacks {sorted(missing)}"
        newest = max((one.height for one in changes if one.outcome == DONE and one.ended_s < read.began_s), default=0)
        if read.height < newest:
            yield f"read {read.number} is of height {read.height}, older than {newest}, acknowledged before it began"


def consents_are_obeyed(history: History, patient: int) -> Iterator[str]:
    """Nothing is shown to a reader who asked after their permit was taken back, or after the record was frozen."""
    for read in history.of(patient, "read"):
        if not read.sources:
            continue
        for opening, closing in (("grant", "revoke"), ("thaw", "freeze")):
            opened, closed = history.of(patient, opening), history.of(patient, closing)
            last = max(
                (one.began_s for one in closed if one.outcome == DONE and one.ended_s < read.began_s), default=0.0
            )
            starts_open = opening == "thaw"
            never_opened = not any(one.began_s < read.ended_s and one.outcome != REFUSED for one in opened)
            reopened = any(last < one.began_s < read.ended_s and one.outcome != REFUSED for one in opened)
            if (last and not reopened) or (not last and never_opened and not starts_open):
                yield f"read {read.number} shows {len(read.sources)} documents without a {opening} after the {closing}"


def grants_are_obeyed(history: History, patient: int) -> Iterator[str]:
    """Everything is shown to a reader with a permit that nobody has touched since."""
    closing = history.of(patient, "revoke", "freeze")
    for read in history.of(patient, "read"):
        grants = [one for one in history.of(patient, "grant") if one.outcome == DONE and one.ended_s < read.began_s]
        if read.outcome != DONE or not grants:
            continue
        last = max(grants, key=lambda one: one.began_s)
        if any(one.ended_s > last.began_s and one.began_s < read.ended_s for one in closing if one.outcome != REFUSED):
            continue
        frozen = [one for one in history.of(patient, "freeze", "thaw") if one.outcome in (DONE, UNKNOWN)]
        if frozen and (frozen[-1].kind == "freeze" or any(one.ended_s > read.began_s for one in frozen)):
            continue
        missing = acknowledged(history, read) - set(read.sources)
        if len(missing) > read.gaps:
            yield f"read {read.number} is permitted, has {read.gaps} gaps and lacks {sorted(missing)}"


def acknowledged(history: History, read: Operation) -> set[str]:
    """What was acknowledged as written before a read began."""
    before = [one for one in history.of(read.patient, "import") if one.outcome == DONE and one.ended_s < read.began_s]
    return {source for one in before for source in one.sources}


def ended(operation: Operation, now_s: float, outcome: str, **facts: Any) -> None:
    """Write down how an operation ended."""
    operation.ended_s = NEVER_S if outcome == UNKNOWN else now_s
    operation.outcome = outcome
    for name, value in facts.items():
        setattr(operation, name, value)
