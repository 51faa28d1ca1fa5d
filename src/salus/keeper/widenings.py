"""What a custodian may not do alone: a widening waits a day, or for a second writer, and never goes unnoticed.

    1. It is noticed under the digest of its evidence: another version, or other evidence, waits a day of its own.
    2. Notice, evidence and second signature are durable, and an entry stands in the patient's log.
    3. Every writer of the version in force is told, again and again until it has heard.

Whether a change widens at all is in `consent.narrowing`; whether a version may be held, in `policies.py`.
"""

import asyncio
from contextlib import suppress

import sqlalchemy as sa

from salus.contracts.consent.policy import PolicySet, commitment
from salus.core.clock import Clock
from salus.core.errors import SalusError, UnavailableError
from salus.core.ids import DAY_MS, CellId, Digest, MemberId, Name, Purpose, TimeMs
from salus.core.transport import Transport, ask
from salus.core.wire import Record, encode, reopen, replace
from salus.keeper.access_log import AccessLog
from salus.keeper.errors import QuotaError
from salus.keeper.messages import Cosignature, LogEntry, Noted, WideningNotice
from salus.keeper.store import WIDENINGS, SubjectStore, upsert
from salus.machine.view import View

WIDENING_WAITS_MS = DAY_MS
NOTICES_PER_DAY = 32  # Of one patient, so that a custodian fills neither disk nor log.
TOLD_FOR_MS = 30 * DAY_MS  # A writer that has been away longer sees it in the policy itself.
KIND = "widening"  # Of the log's entry.
PURPOSE = Purpose("PATADMIN")


class Kept(Record, tag="keeper.widening/1", frozen=True):
    """What is kept of a widening."""

    notice: WideningNotice
    cosignature: Cosignature | None
    writers: tuple[Name, ...]  # Who has not heard of it yet.


class Widenings:
    """The notices of one keeper."""

    def __init__(
        self, member: MemberId, store: SubjectStore, view: View, transport: Transport, log: AccessLog, clock: Clock
    ) -> None:
        self._member = member
        self._store = store
        self._view = view
        self._transport = transport
        self._log = log
        self._clock = clock
        self._telling: asyncio.Task[None] | None = None

    def noticed(self, old: PolicySet, new: PolicySet, evidence: Digest, cosigned: Cosignature | None) -> TimeMs:
        """When this widening was first asked for here under this evidence: from now on, if it is new. Durable.

        Raises:
            QuotaError: too many of this patient were noticed in the last day.
        """
        named = commitment(new)
        tag = self._store.tag(new.subject)
        kept = self._kept(tag, new.cell, named, evidence)
        if kept is not None:
            if cosigned is not None and kept.cosignature is None:
                notice = replace(kept.notice, cosigner=cosigned.member)
                self._keep(tag, replace(kept, notice=notice, cosignature=cosigned, writers=_writers(old)))
            return kept.notice.noticed
        assert old.custodian is not None, "Only a custodian's widening is noticed."
        if self._noticed_lately(new.cell) >= NOTICES_PER_DAY:
            raise QuotaError(widenings_per_day=NOTICES_PER_DAY)
        notice = WideningNotice(
            cell_id=new.cell,
            commitment=named,
            version=new.version,
            custodian=old.custodian,
            evidence=evidence,
            cosigner=None if cosigned is None else cosigned.member,
            noticed=self._view.time,
        )
        self._write_log(new, notice)
        self._keep(tag, Kept(notice=notice, cosignature=cosigned, writers=_writers(old)))
        return self._view.time

    def tell(self) -> None:
        """Tell writers who have not heard, in the background; one round at a time."""
        query = sa.select(WIDENINGS.c.cell).where(WIDENINGS.c.untold > 0).limit(1)
        is_idle = self._telling is None or self._telling.done()
        if is_idle and self._store.connection.execute(query).first() is not None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_all())

    def stop(self) -> None:
        """Let go of the round under way."""
        if self._telling is not None:
            self._telling.cancel()

    async def _tell_all(self) -> None:
        query = sa.select(WIDENINGS.c.tag, WIDENINGS.c.cell, WIDENINGS.c.commitment, WIDENINGS.c.evidence)
        for tag, *place in self._store.connection.execute(query.where(WIDENINGS.c.untold > 0)).all():
            kept = self._kept(tag, *place)
            if kept is None:
                continue
            is_old = self._view.time - kept.notice.noticed > TOLD_FOR_MS
            heard = await asyncio.gather(*(self._tell_one(writer, kept.notice) for writer in kept.writers))
            left = () if is_old else tuple(w for w, has_heard in zip(kept.writers, heard, strict=True) if not has_heard)
            if left != kept.writers and self._kept(tag, *place) == kept:  # Else it is told anew, as it is now.
                with suppress(UnavailableError):  # The disk is full: they hear it twice.
                    self._keep(tag, replace(kept, writers=left))

    async def _tell_one(self, writer: MemberId, notice: WideningNotice) -> bool:
        try:
            await ask(self._transport, writer, notice, Noted)
        except SalusError:
            return False
        return True

    def _noticed_lately(self, cell_id: CellId) -> int:
        lately = (WIDENINGS.c.cell == cell_id, WIDENINGS.c.noticed > self._view.time - DAY_MS)
        query = sa.select(sa.func.count()).select_from(WIDENINGS).where(*lately)
        return int(self._store.connection.execute(query).scalar_one())

    def _kept(self, tag: bytes, cell_id: CellId, named: Digest, evidence: Digest) -> Kept | None:
        where = (WIDENINGS.c.cell == cell_id, WIDENINGS.c.commitment == named, WIDENINGS.c.evidence == evidence)
        wrapped = self._store.connection.execute(sa.select(WIDENINGS.c.wrapped).where(*where)).scalar()
        if wrapped is None:
            return None
        return reopen(Kept, self._store.unwrapped(tag, wrapped, _context(named, evidence)))

    def _keep(self, tag: bytes, kept: Kept) -> None:
        notice = kept.notice
        with self._store.commit("keeper.widening") as connection:
            row: dict[str, object] = {
                "cell": notice.cell_id,
                "commitment": notice.commitment,
                "evidence": notice.evidence,
                "tag": tag,
                "noticed": notice.noticed,
                "untold": len(kept.writers),
                "wrapped": self._store.wrapped(tag, encode(kept), _context(notice.commitment, notice.evidence)),
            }
            upsert(connection, WIDENINGS, [row])

    def _write_log(self, new: PolicySet, notice: WideningNotice) -> None:
        def fill(number: int, subject_number: int, previous: Digest) -> LogEntry:
            return LogEntry(
                number=number,
                subject_number=subject_number,
                time=self._clock(),
                height=self._view.height,
                where=self._member,
                request_id=notice.commitment[:16],  # No request stands for it; this is the same at every keeper.
                member=notice.custodian,
                credential_id=None,
                handle=None,
                kind=KIND,
                purpose=PURPOSE,
                reason=f"evidence {notice.evidence.hex()}",
                released=(),
                withheld=(),
                previous=previous,
            )

        self._log.append(new.subject, b"custodian " + notice.custodian.encode(), fill)


def _writers(policy: PolicySet) -> tuple[Name, ...]:
    return tuple(writer.member for writer in policy.writers)


def _context(named: Digest, evidence: Digest) -> bytes:
    return b"widening" + named + evidence
