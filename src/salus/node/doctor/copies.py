"""Copies of the ledger: each holds what its newest header says, and those of one folder hold the same."""

from collections.abc import Iterator, Sequence

from salus.core.errors import SalusError
from salus.core.ids import SECOND_MS, Height
from salus.engines.follower import Follower
from salus.machine.block import Header
from salus.node.doctor.case import Case
from salus.node.observing.findings import Facts, Finding, found
from salus.node.observing.judging import BEHIND_MAX

AHEAD_S_MAX = 5  # How far the newest block's time may be ahead of this machine's.


def check_root(case: Case) -> Iterator[Finding]:
    """Whether the state has the root that its newest header names."""
    if case.ledger is None:
        return
    if case.ledger.state.root() != case.ledger.header.app_hash:
        yield found("ledger.root_wrong", case.member, "ledger", height=case.ledger.height)


def check_time(case: Case) -> Iterator[Finding]:
    """Whether the newest block comes from this machine's future: then its clock is behind the others'."""
    if case.ledger is None:
        return
    ahead_s = (case.ledger.time - case.clock()) // SECOND_MS
    if ahead_s > AHEAD_S_MAX:
        yield found("clock.behind_ledger", case.member, seconds=ahead_s)


def compare(cases: Sequence[Case]) -> Iterator[Finding]:
    """Who of a folder is behind the others, and who has other results at a height that several have."""
    ledgers = [case.ledger for case in cases if case.ledger is not None]
    if not ledgers:
        return
    top = max(ledgers, key=lambda ledger: ledger.height)
    for ledger in ledgers:
        if top.height - ledger.height > BEHIND_MAX:
            yield found("ledger.behind", ledger.member, "ledger", blocks=top.height - ledger.height)
        own, others = header_at(ledger, ledger.height), header_at(top, ledger.height)
        if own is not None and others is not None and own != others:
            facts: Facts = {"height": ledger.height, "other": top.member}
            yield found("ledger.roots_differ", ledger.member, "ledger", **facts)


def header_at(ledger: Follower, height: Height) -> Header | None:
    """A copy's header at a height; None where it holds none, or none that reads."""
    if height == ledger.height:
        return ledger.header
    try:
        return ledger.block(height).header
    except SalusError:
        return None
