"""Figures worked out when somebody asks, from what is there: each source is a function that yields samples.

A source reads what its part keeps anyway, in the part's own thread. What takes longer (the engine's word, the size of
folders) is looked up before (`look` in `operating.py`), and not more often than makes sense.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from salus.contracts.members.reads import members_of
from salus.core.clock import Clock
from salus.core.ids import MemberId
from salus.engines.engine import Ledger
from salus.node.gateway_side import GatewaySide
from salus.node.http.client import HttpTransport
from salus.node.http.server import Server
from salus.node.http.trust import Trust
from salus.node.keeper_side import KeeperSide
from salus.node.keys import DUTIES, KEYS_FOLDER, made_at
from salus.node.observing.families import COUNTER, FAMILIES, HISTOGRAM
from salus.node.observing.fields import OK, OTHER, code_of
from salus.node.observing.logs import Logs, say_error
from salus.node.observing.watching import BUCKETS_S, Durations, WatchedDoor, WatchedEngine
from salus.sdk.author_store import Stage

Labels = tuple[str, ...]
"""Values of the labels that a family has, in its order."""

Sample = tuple[str, Labels, float | Durations]
Source = Callable[[], Iterable[Sample]]
Sources = Callable[[], Iterable[Source]]
"""What there is to show now: members of one process come and go."""


class Figures(Collector):
    """All figures of a process, for prometheus-client."""

    def __init__(self, part: str, *sources: Sources) -> None:
        self.sources = list(sources)
        self._part = part
        self._faults = 0

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        found: defaultdict[str, dict[Labels, float | Durations]] = defaultdict(dict)
        for source in chain.from_iterable(sources() for sources in self.sources):
            try:
                for name, labels, value in source():
                    found[name][labels] = value
            except Exception as error:  # One store that is away takes no other figure with it.
                self._faults += 1
                say_error(error, part=self._part)
        found["salus_scrape_faults_total"][(self._part,)] = self._faults
        for name in FAMILIES:
            if name in found:
                yield _metric(name, found[name])


def of_log(part: str, logs: Logs, version: str) -> Iterator[Sample]:
    """What the log counts."""
    yield "salus_build_info", (part, version), 1
    yield "salus_log_fields_dropped_total", (part,), logs.fields_dropped
    for (family, code), count in logs.errors.items():
        yield "salus_errors_total", (part, family, code), count


def of_ledger(part: str, ledger: Ledger, clock: Clock) -> Iterator[Sample]:
    """How far a copy of the ledger is."""
    own = (ledger.member, part)
    yield "salus_height", own, ledger.height
    yield "salus_view_age_seconds", own, (clock() - ledger.time) / 1000
    yield "salus_members", own, len(members_of(ledger.state))


def of_engine(engine: WatchedEngine, waiting: Callable[[], int]) -> Iterator[Sample]:
    """How transactions of this process fare."""
    own = (engine.member, engine.part)
    yield "salus_queue_waiting", own, waiting()
    yield "salus_finality_seconds", own, engine.durations
    for code, count in engine.seen.items():
        yield "salus_submissions_total", (*own, code), count


def of_door(door: WatchedDoor) -> Iterator[Sample]:
    """What is asked here, and how it is answered."""
    own = (door.member, door.part)
    yield "salus_request_seconds", own, door.durations
    yield "salus_refusals_last_minute", own, door.refused_lately
    refused: Counter[str] = Counter()
    for (request, code), count in door.seen.items():
        yield "salus_requests_total", (*own, request, code), count
        if code != OK:
            refused[code] += count
    for code, count in refused.items():
        yield "salus_refusals_total", (*own, code), count


def of_wire(member: MemberId, part: str, server: Server, transport: HttpTransport, trust: Trust) -> Iterator[Sample]:
    """How HTTP fares between members."""
    own = (member, part)
    for code, count in _by_outcome(server.seen).items():
        yield "salus_wire_answers_total", (*own, code), count
    for code, count in _by_outcome(transport.seen).items():
        yield "salus_wire_attempts_total", (*own, code), count
    for peer, is_away in transport.peers_away().items():
        yield "salus_peer_away", (*own, peer), is_away
    if trust.renewal is not None:
        yield "salus_certificate_renewal_seconds", own, (trust.renewal - trust.clock()) / 1000


def of_keeper(side: KeeperSide, clock: Clock) -> Iterator[Sample]:
    """How a keeper stands."""
    own, log = (side.name, "keeper"), side.keeper.log
    waiting_since = log.waiting_since
    yield "salus_log_entries", own, log.newest
    yield "salus_log_root_age_seconds", own, 0 if waiting_since is None else (clock() - waiting_since) / 1000
    yield "salus_log_root_overdue", own, log.is_overdue
    yield "salus_open_requests", own, len(side.keeper.answers.permitted)
    yield "salus_store_reconciled", own, side.is_reconciled


def of_gateway(side: GatewaySide, clock: Clock) -> Iterator[Sample]:
    """How a gateway stands."""
    own, log = (side.name, "gateway"), side.own_log
    waiting_since = log.waiting_since
    yield "salus_log_entries", own, log.newest
    yield "salus_log_root_age_seconds", own, 0 if waiting_since is None else (clock() - waiting_since) / 1000
    yield "salus_log_root_overdue", own, log.is_overdue
    yield "salus_outbox_batches", (*own, "planned"), side.store.count(Stage.PLANNED)
    yield "salus_outbox_batches", (*own, "final"), side.store.count(Stage.FINAL)
    yield "salus_outbox_age_seconds", own, outbox_age_s(side, clock)


def outbox_age_s(side: GatewaySide, clock: Clock) -> float:
    """How long ago the oldest batch became final that some seat still lacks; 0 where there is none."""
    heights = [plan.height for plan in side.store.plans(Stage.FINAL)]
    if not heights:
        return 0.0
    return max(0.0, (clock() - side.ledger.block(min(heights)).header.time) / 1000)


def of_keys(member: MemberId, part: str, folder: Path, clock: Clock) -> Iterator[Sample]:
    """How old a member's keys are."""
    for duty in DUTIES:
        made = made_at(folder / KEYS_FOLDER, duty)
        if made is not None:
            yield "salus_key_age_seconds", (member, part, duty), (clock() - made) / 1000


def of_disk(member: MemberId, part: str, folder: Path) -> Iterator[Sample]:
    """What is left of the disk."""
    usage = shutil.disk_usage(folder)
    yield "salus_disk_free_bytes", (member, part), usage.free
    yield "salus_disk_bytes", (member, part), usage.total


def _by_outcome(seen: Mapping[str, int]) -> Counter[str]:
    """What a server or client counted, in words whose number is bounded."""
    named: Counter[str] = Counter()
    for said, count in seen.items():
        word = said.partition(".")[0] if said.startswith("fault.") else said.replace(" ", "_")
        named[word if word in _WIRE_WORDS or code_of(word) == word else OTHER] += count
    return named


_WIRE_WORDS = frozenset({"ok", "gave_up", "fault", "left_alone", "reply_too_long", "ConnectError", "ConnectTimeout"})
_WIRE_WORDS |= {"ReadError", "ReadTimeout", "WriteError", "RemoteProtocolError", "PoolTimeout", "CloseError"}
_WIRE_WORDS |= {f"status_{status}" for status in (400, 401, 403, 408, 413, 421, 422, 429, 500, 503)}


def _metric(name: str, samples: Mapping[Labels, float | Durations]) -> Metric:
    family = FAMILIES[name]
    if family.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(name, family.says, labels=family.labels)
        for labels, durations in samples.items():
            assert isinstance(durations, Durations)
            histogram.add_metric(labels, list(_cumulated(durations)), durations.total_s)
        return histogram
    kind = CounterMetricFamily if family.kind == COUNTER else GaugeMetricFamily
    metric = kind(name, family.says, labels=family.labels)
    for labels, value in samples.items():
        assert not isinstance(value, Durations)
        metric.add_metric(labels, float(value))
    return metric


def _cumulated(durations: Durations) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), durations.counts, strict=True):
        total += count
        yield bound, total
