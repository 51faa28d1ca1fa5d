"""The patient's log: who used what, from all keepers and all authors, checked against the roots on the ledger.

Each log proves its last number and head for the subject under a root that stands on the ledger, and its entries are
chained: a log that leaves one out, or changes one that a root covers, is named. So is one that speaks for another,
sends what cannot be read, or has entries that no root covers a minute later; what comes before the fault is shown.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salus.contracts.members.reads import member_of
from salus.contracts.reads.messages import LogKind
from salus.contracts.reads.reads import log_root_of
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import NO_DIGEST, CommitteeId, Digest, MemberId, SubjectId, Unsigned
from salus.core.transport import ask
from salus.core.wire import Record, decode, encode
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.signatures import SigningKey
from salus.keeper.access_log import RESTORED_KIND, ROOT_DUE_MS
from salus.keeper.answers import unpadded
from salus.keeper.messages import (
    LogAsk,
    LogAsking,
    LogEntry,
    LogTold,
    SealedLog,
    Signed,
    info,
    log_entry_digest,
    log_statement,
)
from salus.sdk.chairs import chairs_before
from salus.sdk.desk import OwnLogAsk
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.gateway import Gateway, seats_of
from salus.state.proofs import Proof, verify

ROUNDS_MAX = 3  # How often a log is asked whose root and the ledger's differ.
SETTLES_S = 0.5  # How long a block may take to show which of the two was behind.
_MAY_SETTLE = frozenset({"not_on_ledger", "shorter_than_anchored"})

_Checked = tuple[list[LogEntry], int, list[str]]  # Entries, how many of them a root covers, and faults.


@dataclass(frozen=True, slots=True)
class LogFault:
    """What is wrong with one log."""

    where: MemberId
    # `unreadable`, `foreign`, `broken_chain`, `shorter_than_anchored`, `not_on_ledger`, `overdue`, `absent`.
    # `restored`: by its own word it was put back from a backup, and uses between backup and loss are missing.
    what: str


@dataclass(frozen=True, slots=True)
class PatientLog:
    """The union, by time, and what could not be trusted of it."""

    entries: list[LogEntry]
    faults: list[LogFault]
    anchored: int  # Entries that a root on the ledger covers.
    silent: list[MemberId]  # Sat in the committee before, and told nothing: away, or it never knew this device.


@dataclass(frozen=True, slots=True)
class _Source:
    member: MemberId
    kind: LogKind
    request: Record
    has_left: bool = False  # It sits in the committee no more, and may never have heard of this patient.


async def read_log(
    gateway: Gateway, subject: SubjectId, committee_id: CommitteeId, writers: Sequence[MemberId], device: SigningKey
) -> PatientLog:
    """Ask every keeper of the committee, every one that sat there before, and every writer for the subject's log.

    Raises:
        TooFewSeatsError: no keeper of now and no writer answered.
    """
    reply_key = OpeningKey(os.urandom(32))
    asking = LogAsking(
        chain=gateway.chain,
        subject=subject,
        key=device.public,
        time=gateway.clock(),
        reply_key=reply_key.public,
        after=0,
    )
    body = encode(asking)
    signed = encode(Signed(body=body, signature=device.sign(log_statement(body))))
    sources = _sources(gateway, committee_id, writers, signed)
    told = await asyncio.gather(*(_settled(gateway, source, reply_key) for source in sources))
    entries: list[LogEntry] = []
    faults: list[LogFault] = []
    silent: list[MemberId] = []
    anchored = 0
    for source, one in zip(sources, told, strict=True):
        if one is None:
            if source.has_left:
                silent.append(source.member)
            else:
                faults.append(LogFault(source.member, "absent"))
            continue
        own, covered, what = one
        entries += own
        anchored += covered
        faults += [LogFault(source.member, fault) for fault in what]
    if all(one is None or source.has_left for source, one in zip(sources, told, strict=True)):
        raise TooFewSeatsError(answered=0, needed=1)
    return PatientLog(
        entries=sorted(entries, key=lambda entry: (entry.time, entry.where)),
        faults=faults,
        anchored=anchored,
        silent=silent,
    )


def _sources(gateway: Gateway, committee_id: CommitteeId, writers: Sequence[MemberId], signed: bytes) -> list[_Source]:
    named = info(gateway.chain, "log")
    committee = gateway.committee(committee_id)
    sources = [
        _Source(holder.member, LogKind.KEEPER, LogAsk(committee_id, seat, seal(holder.sealing, signed, named)))
        for seat, holder in seats_of(committee)
    ]
    for chair in chairs_before(gateway.view.state, committee_id, committee):
        asked = LogAsk(committee_id, chair.seat, seal(chair.sealing, signed, named))
        sources.append(_Source(chair.member, LogKind.KEEPER, asked, has_left=True))
    for writer in writers:
        member = member_of(gateway.view.state, writer)
        if member is not None:
            sources.append(_Source(writer, LogKind.AUTHOR, OwnLogAsk(seal(member.keys.gateway, signed, named))))
    return sources


async def _settled(gateway: Gateway, source: _Source, reply_key: OpeningKey) -> _Checked | None:
    """What a log tells, if it answers; asked again where a root may have become final meanwhile, here or there."""
    for left in reversed(range(ROUNDS_MAX)):
        told = await _told(gateway, source, reply_key)
        checked = None if told is None else _checked(gateway, source, told)
        if checked is None or not left or not _MAY_SETTLE & set(checked[2]):
            break
        await gateway.view.reached(gateway.view.height + 1, SETTLES_S)
    return checked


async def _told(gateway: Gateway, source: _Source, reply_key: OpeningKey) -> LogTold | None:
    try:
        sealed = await ask(gateway.transport, source.member, source.request, SealedLog)
        return decode(LogTold, unpadded(reply_key.open(sealed.sealed, info(gateway.chain, "log answer"))))
    except SalusError:
        return None


def _checked(gateway: Gateway, source: _Source, told: LogTold) -> _Checked:
    """Entries, how many of them a root covers, and faults."""
    entries: list[LogEntry] = []
    heads: dict[int, Digest] = {0: NO_DIGEST}  # By the entry's number.
    faults: list[str] = []
    last = 0
    for data in told.entries:
        try:
            entry = decode(LogEntry, data)
        except MalformedError:
            faults.append("unreadable")
            break
        if entry.where != source.member:
            faults.append("foreign")
            break
        is_restored = entry.kind == RESTORED_KIND and entry.subject_number > last
        if entry.previous != heads[last] or not (is_restored or entry.subject_number == last + 1):
            faults.append("broken_chain")
            break
        if is_restored:
            faults.append("restored")
        entries.append(entry)
        last = entry.subject_number
        heads[last] = log_entry_digest(data)
    number, fault = _anchored(gateway, source, told, heads)
    covered = sum(entry.subject_number <= number for entry in entries)
    # By block time: while the ledger stands still nobody can anchor, and no time passes on it either.
    if any(entry.time + ROOT_DUE_MS < gateway.view.time for entry in entries[covered:]):
        faults.append("overdue")
    return entries, covered, faults + ([fault] if fault else [])


def _anchored(gateway: Gateway, source: _Source, told: LogTold, heads: Mapping[int, Digest]) -> tuple[int, str | None]:
    """The subject's number up to which a root on the ledger covers the log, and what is wrong with that."""
    latest = log_root_of(gateway.view.state, source.member, source.kind)
    if latest is None:
        return 0, None
    try:
        proof = decode(Proof, told.proof)
        number, head = decode(tuple[Unsigned, Digest], told.anchored) if told.anchored else (0, NO_DIGEST)
    except MalformedError:
        return 0, "not_on_ledger"
    if told.root != latest.root:
        return 0, "not_on_ledger"
    if not verify(told.root, told.subject_key, told.anchored or None, proof):
        return 0, "not_on_ledger"
    if heads.get(number) != head:
        return 0, "shorter_than_anchored"
    return number, None
