"""What `salus status` finds out: how every part of every member here stands, what is wrong, and what to do about it.

Where members run apart, each process is asked at its operator's port; a network in one process is asked through its
socket. Both tell the same figures (`node/observing/families.py`), and they are judged here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from salus.cli.operated import LOGS_FOLDER
from salus.node.folder import member_folder, members_here, read_genesis
from salus.node.network import Network
from salus.node.site import read_site

PARTS = ("ledger", "keeper", "gateway")
ANSWER_S = 3.0
BEHIND_MAX = 20  # Blocks. A member that is further behind than this is told of.
CHECKS: Mapping[str, tuple[str, str]] = {
    "engine_answers": ("its ordering engine does not answer", "See cometbft.log in its folder `engine`."),
    "engine_runs": ("the engine has stopped", "See logs/network.log, then start it again: salus up"),
    "caught_up": ("it still fetches blocks", "Wait; if it does not end, see whether it has peers."),
    "view_fresh": (
        "its view of the ledger is older than a minute, so it releases nothing",
        "See whether more than two thirds of the members are up, and whether the clocks agree.",
    ),
    "store_open": ("its store cannot be read", "Check the disk, or the database it is in."),
    "log_anchored": (
        "its log's root is overdue, so it answers break-glass alone",
        "See whether its ledger process takes transactions.",
    ),
    "outbox_moves": ("a final batch still lacks a seat after ten minutes", "Bring the member back that is away."),
}


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
class Wrong:
    """Something that is not as it should be."""

    member: str
    part: str
    what: str
    to_do: str


@dataclass(frozen=True, slots=True)
class Status:
    """How everything stands."""

    parts: tuple[PartStatus, ...]
    wrong: tuple[Wrong, ...]

    @property
    def is_ready(self) -> bool:
        """Whether every part serves."""
        return bool(self.parts) and all(part.ready for part in self.parts)

    @property
    def as_json(self) -> dict[str, object]:
        """For programs."""
        parts, wrong = [asdict(part) for part in self.parts], [asdict(one) for one in self.wrong]
        return {"ready": self.is_ready, "parts": parts, "wrong": wrong}

    @property
    def rows(self) -> list[list[str]]:
        """For people; see `COLUMNS`."""
        return [_row(part) for part in self.parts]


COLUMNS = (
    "member",
    "part",
    "ready",
    "height",
    "age",
    "peers",
    "queue",
    "outbox",
    "root age",
    "refused/min",
    "MiB",
    "version",
)


def status_from(said: Mapping[str, list[dict[str, object]]]) -> Status:
    """What `Status.as_json` gave."""
    parts = tuple(PartStatus(**part) for part in said["parts"])  # type: ignore[arg-type]
    return Status(parts, tuple(Wrong(**one) for one in said["wrong"]))  # type: ignore[arg-type]


async def status_of_network(network: Network) -> Status:
    """Of whole members in this process."""
    import io

    from salus.node.observing.logs import Logs
    from salus.node.observing.operating import Operating
    from salus.node.observing.parts_here import show_network
    from salus.node.observing.traces import Tracer

    here = Operating("network", Logs(io.StringIO()), Tracer())
    show_network(here, network)
    figures = read_figures((await here.figures()).decode())
    return judged([(str(member.name), part) for member in network.members for part in PARTS], figures, {})


async def status_apart(folder: Path) -> Status:
    """Of members that run as processes of their own, by their operators' ports.

    Raises:
        NoNetworkError: there is no network in this folder.
        SiteError: a member's addresses cannot be read.
    """
    names = members_here(folder, read_genesis(folder))
    sites = {name: read_site(member_folder(folder, name)) for name in names}
    ports = {
        **{(str(name), "ledger"): site.ledger_operator for name, site in sites.items()},
        **{(str(name), "keeper"): site.keeper_operator for name, site in sites.items()},
        **{(str(name), "gateway"): sites[names[0]].gateway_operator for name in names},  # One process for all here.
    }
    asked = sorted(set(ports.values()))
    told = dict(zip(asked, await asyncio.gather(*map(_scraped, asked)), strict=True))
    figures = read_figures("".join(text for text in told.values() if text is not None))
    away = {
        whose: f"nothing answers at its operator's port {port}" for whose, port in ports.items() if told[port] is None
    }
    return judged([(str(name), part) for part in PARTS for name in names], figures, away)


Figures = Mapping[tuple[str, str], Mapping[str, dict[str, float]]]
"""By member and part: each figure, by its further label, empty where it has none."""


def read_figures(text: str) -> Figures:
    """Figures out of Prometheus' text."""
    from prometheus_client.parser import text_string_to_metric_families

    found: defaultdict[tuple[str, str], defaultdict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            whose = (labels.pop("member", ""), labels.pop("part", ""))
            found[whose][sample.name][next(iter(labels.values()), "")] = sample.value
    return found


def judged(parts: Iterable[tuple[str, str]], figures: Figures, away: Mapping[tuple[str, str], str]) -> Status:
    """What the figures say of each part, and what is wrong with it."""
    shown = [_part(whose, figures) for whose in parts]
    top = max((part.height or 0 for part in shown), default=0)
    wrong = [one for part in shown for one in _wrong_with(part, figures, away, top)]
    return Status(tuple(shown), tuple(wrong))


def _part(whose: tuple[str, str], figures: Figures) -> PartStatus:
    own, (member, part) = figures.get(whose, {}), whose
    process = figures.get(("", part)) or figures.get(("", "network")) or {}

    def one(name: str) -> float | None:
        return own[name].get("") if name in own else None

    def whole(name: str) -> int | None:
        value = one(name)
        return None if value is None else int(value)

    checks, overdue = own.get("salus_ready", {}), one("salus_log_root_overdue")
    return PartStatus(
        member=member,
        part=part,
        ready=bool(checks) and all(checks.values()),
        height=whole("salus_height"),
        view_age_s=one("salus_view_age_seconds"),
        peers=whole("salus_engine_peers"),
        queue=whole("salus_queue_transactions") if part == "ledger" else whole("salus_queue_waiting"),
        outbox=int(own["salus_outbox_batches"].get("final", 0)) if "salus_outbox_batches" in own else None,
        log_root_age_s=one("salus_log_root_age_seconds"),
        log_root_overdue=None if overdue is None else bool(overdue),
        refusals_last_minute=whole("salus_refusals_last_minute"),
        store_bytes=int(sum(own["salus_store_bytes"].values())) if "salus_store_bytes" in own else None,
        version=next(iter(process.get("salus_build_info", {})), ""),
    )


def _wrong_with(part: PartStatus, figures: Figures, away: Mapping[tuple[str, str], str], top: int) -> Iterable[Wrong]:
    whose = (part.member, part.part)
    if whose in away:
        name = "gateway" if part.part == "gateway" else f"{part.part}-{part.member}"
        yield Wrong(*whose, away[whose], f"See {LOGS_FOLDER}/{name}.log. If nothing runs, start it: salus up")
        return
    own = figures.get(whose, {})
    for check, holds in own.get("salus_ready", {}).items():
        if not holds:
            yield Wrong(*whose, *CHECKS[check])
    if part.height is not None and top - part.height > BEHIND_MAX:
        yield Wrong(*whose, f"it is {top - part.height} blocks behind", "Wait; if it does not catch up, see its log.")
    for peer, is_away in own.get("salus_peer_away", {}).items():
        if is_away:
            yield Wrong(*whose, f"{peer} does not answer it", "See whether that member is up, and its certificate.")


def _row(part: PartStatus) -> list[str]:
    root = _seconds(part.log_root_age_s) + (" overdue" if part.log_root_overdue else "")
    return [
        part.member,
        part.part,
        "yes" if part.ready else "NO",
        _number(part.height),
        _seconds(part.view_age_s),
        _number(part.peers),
        _number(part.queue),
        _number(part.outbox),
        root,
        _number(part.refusals_last_minute),
        "" if part.store_bytes is None else f"{part.store_bytes / (1 << 20):.1f}",
        part.version,
    ]


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"


async def _scraped(port: int) -> str | None:
    """What a process says of itself; None where it does not answer."""
    import httpx

    try:
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_S) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    except (httpx.HTTPError, OSError):
        return None
    return answer.text if answer.status_code == 200 else None
