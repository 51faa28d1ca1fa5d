"""How every part of a member stands by the figures that its processes show, and what is wrong with it.

The figures are those of `families.py`, however they were had: scraped from operators' ports (`asking.py`), or worked
out in the same process. Whoever shows them to people is elsewhere: `salus status`, `salus doctor`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from salus.node.observing.findings import Finding, found

PARTS = ("ledger", "keeper", "gateway")
BEHIND_MAX = 20  # Blocks. A member that is further behind than this is told of.
QUIET_S = 45.0  # Three heartbeats: an engine that decides something has made a block meanwhile.
RENEWAL_OVERDUE_S = 86_400.0
OUTBOX_S_MAX = 600.0  # How long a final batch may lack a seat.
CHECKS: Mapping[str, str] = {  # A check of readiness (`parts_here.py`), and the finding where it does not hold.
    "engine_answers": "engine.no_answer",
    "engine_runs": "engine.stopped",
    "agrees": "engine.halted",
    "caught_up": "engine.catching_up",
    "view_fresh": "ledger.view_old",
    "store_open": "store.unreadable",
    "votes": "engine.looking_on",
    "reconciled": "store.catching_up",
    "missed_nothing": "store.missed",
    "log_anchored": "log.root_overdue",
    "outbox_moves": "outbox.stuck",
}

Whose = tuple[str, str]
"""A member and its part."""

Figures = Mapping[Whose, Mapping[str, dict[str, float]]]
"""By member and part: each figure, by its further label, empty where it has none."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of one member. What is None does not apply to it, or could not be learnt."""

    member: str
    part: str
    ready: bool
    height: int | None = None
    view_age_s: float | None = None
    peers: int | None = None
    queue: int | None = None
    outbox: int | None = None
    log_root_age_s: float | None = None
    log_root_overdue: bool | None = None
    refusals_last_minute: int | None = None
    store_bytes: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How everything stands."""

    parts: tuple[PartStatus, ...]
    wrong: tuple[Finding, ...]

    @property
    def is_ready(self) -> bool:
        """Whether every part serves."""
        return bool(self.parts) and all(part.ready for part in self.parts)

    @property
    def as_json(self) -> dict[str, object]:
        """For programs."""
        parts, wrong = [asdict(part) for part in self.parts], [one.as_json for one in self.wrong]
        return {"ready": self.is_ready, "parts": parts, "wrong": wrong}


def status_from(said: Mapping[str, list[dict[str, object]]]) -> Status:
    """What `Status.as_json` gave."""
    parts = tuple(PartStatus(**part) for part in said["parts"])  # type: ignore[arg-type]
    return Status(parts, tuple(Finding(**one) for one in said["wrong"]))  # type: ignore[arg-type]


def read_figures(text: str) -> Figures:
    """Figures out of Prometheus' text."""
    from prometheus_client.parser import text_string_to_metric_families

    figures: defaultdict[Whose, defaultdict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            whose = (labels.pop("member", ""), labels.pop("part", ""))
            figures[whose][sample.name][next(iter(labels.values()), "")] = sample.value
    return figures


def judged(parts: Iterable[Whose], figures: Figures, away: Mapping[Whose, int]) -> Status:
    """What the figures say of each part, and what is wrong with it; `away` are ports where nothing answers."""
    shown = [_part(whose, figures) for whose in parts]
    top = max((part.height or 0 for part in shown), default=0)
    wrong = [one for part in shown for one in _wrong_with(part, figures, away, top)]
    return Status(tuple(shown), tuple(wrong))


def _part(whose: Whose, figures: Figures) -> PartStatus:
    own, (member, part) = figures.get(whose, {}), whose
    process = figures.get(("", part)) or figures.get(("", "network")) or {}

    def whole(name: str) -> int | None:
        value = _one(own, name)
        return None if value is None else int(value)

    checks, overdue = own.get("salus_ready", {}), _one(own, "salus_log_root_overdue")
    return PartStatus(
        member=member,
        part=part,
        ready=bool(checks) and all(checks.values()),
        height=whole("salus_height"),
        view_age_s=_one(own, "salus_view_age_seconds"),
        peers=whole("salus_engine_peers"),
        queue=whole("salus_queue_transactions") if part == "ledger" else whole("salus_queue_waiting"),
        outbox=int(own["salus_outbox_batches"].get("final", 0)) if "salus_outbox_batches" in own else None,
        log_root_age_s=_one(own, "salus_log_root_age_seconds"),
        log_root_overdue=None if overdue is None else bool(overdue),
        refusals_last_minute=whole("salus_refusals_last_minute"),
        store_bytes=int(sum(own["salus_store_bytes"].values())) if "salus_store_bytes" in own else None,
        version=next(iter(process.get("salus_build_info", {})), ""),
    )


def _wrong_with(part: PartStatus, figures: Figures, away: Mapping[Whose, int], top: int) -> Iterable[Finding]:
    whose = (part.member, part.part)
    if whose in away:
        log = "gateway" if part.part == "gateway" else f"{part.part}-{part.member}"
        yield found("process.silent", *whose, port=away[whose], log=log)
        return
    own = figures.get(whose, {})
    checks = own.get("salus_ready", {})
    for check, holds in checks.items():
        if not holds and (check != "caught_up" or checks.get("engine_answers", True)):
            yield found(CHECKS[check], *whose)
    if part.height is not None and top - part.height > BEHIND_MAX:
        yield found("ledger.behind", *whose, blocks=top - part.height)
    yield from _wrong_with_engine(part, own)
    for peer, is_away in own.get("salus_peer_away", {}).items():
        if is_away:
            yield found("peer.away", *whose, peer=peer)
    renewal_s = _one(own, "salus_certificate_renewal_seconds")
    if renewal_s is not None and renewal_s < -RENEWAL_OVERDUE_S:
        yield found("tls.certificate_old", *whose, hours=int(-renewal_s // 3600))


def _wrong_with_engine(part: PartStatus, own: Mapping[str, dict[str, float]]) -> Iterable[Finding]:
    """An engine that is there and has caught up is to make blocks, and to be connected to most others."""
    whose = (part.member, part.part)
    if not _one(own, "salus_engine_answers") or _one(own, "salus_engine_catching_up"):
        return
    if part.view_age_s is not None and part.view_age_s > QUIET_S:
        yield found("engine.undecided", *whose, age_s=int(part.view_age_s))
    others = int(_one(own, "salus_members") or 1) - 1
    if part.peers is not None and 3 * part.peers < 2 * others:
        yield found("engine.few_peers", *whose, peers=part.peers, others=others)


def _one(own: Mapping[str, dict[str, float]], name: str) -> float | None:
    return own[name].get("") if name in own else None
