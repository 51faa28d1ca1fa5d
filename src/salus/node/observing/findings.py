"""What may be found wrong with a member: each kind under a stable code, with how bad it is, one sentence, what to do.

`salus status` and `salus doctor` say the same of the same thing, since both say it from this table. A sentence is
filled with facts by name: members, codes, numbers, and files of the member's own folder; nothing of a person.
`docs/reference/findings.md` is made from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # Something does not serve, or is not safe.
    WARNING = "warning"  # It will be so, unless somebody acts.
    NOTE = "note"  # Something is left to do.


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding."""

    severity: Severity
    says: str
    to_do: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. Whose it is stays empty where it is everybody's."""

    severity: str
    code: str
    member: str
    part: str
    what: str
    to_do: str

    @property
    def as_json(self) -> dict[str, str]:
        """For programs; what `Finding(**…)` takes."""
        return asdict(self)


def _error(says: str, to_do: str) -> Kind:
    return Kind(Severity.ERROR, says, to_do)


def _warning(says: str, to_do: str) -> Kind:
    return Kind(Severity.WARNING, says, to_do)


def _note(says: str, to_do: str) -> Kind:
    return Kind(Severity.NOTE, says, to_do)


KINDS: Mapping[str, Kind] = {
    # What runs, as it says of itself (`judging.py`).
    "network.down": _error("no network is up in this folder", "salus up"),
    "process.silent": _error(
        "nothing answers at its operator's port {port}", "See logs/{log}.log. If nothing runs, start it: salus up"
    ),
    "engine.no_answer": _error("its ordering engine does not answer", "See cometbft.log in its folder `engine`."),
    "engine.stopped": _error("the engine has stopped", "See logs/network.log, then start it again: salus up"),
    "engine.catching_up": _error("it still fetches blocks", "Wait; if it does not end, see whether it has peers."),
    "engine.undecided": _error(
        "its engine answers and decides nothing: the newest block is {age_s} s old, a heartbeat comes every 15",
        "Bring members back until more than two thirds of the validators are up: salus status --once",
    ),
    "engine.few_peers": _warning(
        "its engine is connected to {peers} of {others} others",
        "See whether they are up, and whether the addresses under `peers` in its member.toml are right.",
    ),
    "engine.halted": _error(
        "it came to another result than the others and stopped",
        "Keep a copy of its folder, then let it join anew from a snapshot: salus ledger check --member {member}",
    ),
    "ledger.view_old": _error(
        "its view of the ledger is older than a minute, so it releases nothing",
        "See whether more than two thirds of the members are up, and whether the clocks agree.",
    ),
    "ledger.behind": _warning("it is {blocks} blocks behind", "Wait; if it does not catch up, see its log."),
    "store.unreadable": _error("its store cannot be read", "Check the disk, or the database it is in."),
    "log.root_overdue": _error(
        "its log's root is overdue, so it answers break-glass alone", "See whether its ledger process takes transactions."
    ),
    "outbox.stuck": _warning(
        "a final batch still lacks a seat after ten minutes", "Bring the member back that is away."
    ),
    "peer.away": _warning("{peer} does not answer it", "See whether that member is up, and its certificate."),
    "tls.certificate_old": _error(
        "its certificate should have been renewed {hours} hours ago",
        "Check its clock, then restart the process: it makes a new one at its start.",
    ),
}  # fmt: skip


def found(code: str, member: str = "", part: str = "", **facts: int | str) -> Finding:
    """A finding of a kind, with its facts put in."""
    kind = KINDS[code]
    facts = {"member": member, "part": part, **facts}
    return Finding(kind.severity, code, member, part, kind.says.format(**facts), kind.to_do.format(**facts))
