"""Copies of the ledger, and their snapshots: each holds what its header says, and those of one folder hold the same."""

import random
import shlex
from collections.abc import Iterator, Sequence

from salus.core.errors import SalusError
from salus.core.ids import SECOND_MS, Digest, Height, MemberId
from salus.engines.cometbft.unit import SNAPSHOTS_FOLDER
from salus.engines.follower import Follower
from salus.engines.snapshots import SnapshotError, SnapshotFolder, heights_in, snapshot_hash
from salus.machine.block import Header
from salus.node.doctor.case import Case
from salus.node.observing.findings import Facts, Finding, found
from salus.node.observing.judging import BEHIND_MAX

SAMPLE_PIECES = 16  # Of each snapshot: all of them may be gigabytes.
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


def check_snapshots(case: Case) -> Iterator[Finding]:
    """Whether the newest snapshot that is due is there, and a sample of the pieces of all of them."""
    folder = case.place / SNAPSHOTS_FOLDER
    heights = heights_in(folder)
    for height in heights:
        try:
            snapshot = SnapshotFolder(folder / str(height))
            manifest = snapshot.manifest()
            for number in random.sample(range(len(manifest.pieces)), min(SAMPLE_PIECES, len(manifest.pieces))):
                snapshot.piece(manifest, number)
        except SnapshotError as error:
            facts: Facts = {"reason": str(error.facts["reason"]), "path": shlex.quote(str(folder / str(height)))}
            yield found("snapshot.damaged", case.member, "ledger", height=height, **facts)
    if case.site is None or case.ledger is None:
        return
    every = case.site.snapshot_every_blocks
    due = (case.ledger.height - every // 4) // every * every  # One that was due just now may be in the making.
    if due > max(case.ledger.base, *heights, 0):
        yield found("snapshot.missing", case.member, "ledger", height=due)


def compare_snapshots(cases: Sequence[Case]) -> Iterator[Finding]:
    """Who of a folder has another snapshot at a height than the first that has one."""
    first: dict[Height, tuple[MemberId, Digest]] = {}
    for case in cases:
        for height in heights_in(case.place / SNAPSHOTS_FOLDER):
            try:
                named = snapshot_hash(SnapshotFolder(case.place / SNAPSHOTS_FOLDER / str(height)).manifest().pieces)
            except SnapshotError:
                continue
            other, theirs = first.setdefault(height, (case.member, named))
            if named != theirs:
                yield found("snapshot.differs", case.member, "ledger", height=height, other=other)


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
