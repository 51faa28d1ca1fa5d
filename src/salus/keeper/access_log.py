"""The access log: who used whose record, durable before any answer leaves, its head anchored on the ledger.

Entries are numbered in the log and per subject, and chained per subject. The log's root is that of a map from keyed
subject to last number and head (`state.tree`): when it stands on the ledger, no entry before it can be dropped or
changed without the patient, or an auditor, seeing it. The map is kept only then, so that what is told can be proved by
the ledger at any moment. Keepers log what they release, authors what they open.

A log that was put back from a backup has forgotten its newest entries, and their numbers are taken. It goes on far
above them, at a number that follows from the ledger (`jump`), and says so in an entry before a subject's next one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from salus.contracts.reads.messages import LogKind, LogRoot
from salus.contracts.reads.reads import log_root_of
from salus.core.clock import Clock
from salus.core.errors import UnavailableError
from salus.core.ids import DAY_MS, MINUTE_MS, NO_DIGEST, Digest, MemberId, Purpose, RequestId, SubjectId, TimeMs
from salus.core.wire import encode, reopen
from salus.crypto.digests import tagged
from salus.keeper.errors import RestoredError
from salus.keeper.messages import LogEntry, LogTold, log_entry_digest
from salus.keeper.store import LOG, SqlPages, SubjectStore, reported
from salus.machine.sponsor import Sponsor
from salus.machine.view import View
from salus.state import tree
from salus.state.key_value import KeyValue
from salus.state.proofs import prove

ROOT_DUE_MS = MINUTE_MS  # How long an entry may wait for a root on the ledger.
RESTORED_KIND = "restored"  # Of the entry that bridges what was forgotten.
_JUMP_BITS = 32  # More entries than a log writes between two roots.
_ROOTS_KEPT = 64  # So many own roots are recognised on the ledger.
_RESTORED_KEY = tagged("log.restored", b"")  # In the log's map: up to which number entries may be missing.

# Built once: what stands between a request and its answer need not be put together each time.
_INSERT = LOG.insert()
_LAST = (
    sa.select(LOG.c.subject_number, LOG.c.head)
    .where(LOG.c.tag == sa.bindparam("tag"))
    .order_by(LOG.c.subject_number.desc())
    .limit(1)
)
_LAST_ANCHORED = _LAST.where(LOG.c.number <= sa.bindparam("anchored"))
_ENTRIES = (
    sa.select(LOG.c.wrapped, LOG.c.number)
    .where(LOG.c.tag == sa.bindparam("tag"), LOG.c.subject_number > sa.bindparam("after"))
    .order_by(LOG.c.subject_number)
)
_READS = sa.select(sa.func.count()).where(LOG.c.person == sa.bindparam("person"), LOG.c.time > sa.bindparam("since"))
_BROKEN = sa.select(sa.func.count(LOG.c.request.distinct())).where(
    LOG.c.break_glass, LOG.c.time > sa.bindparam("since")
)
_BROKEN_BY_PERSON = _BROKEN.where(LOG.c.person == sa.bindparam("person"))
_BROKEN_BY_MEMBER = _BROKEN.where(LOG.c.member == sa.bindparam("member"))
_FIRST_BROKEN = sa.select(sa.func.min(LOG.c.time)).where(
    LOG.c.break_glass, LOG.c.person == sa.bindparam("person"), LOG.c.request == sa.bindparam("request")
)

Fill = Callable[[int, int, Digest], LogEntry]  # Number, subject's number, previous head: the entry that takes them.


@dataclass(frozen=True, slots=True)
class Broken:
    """How often the glass was broken in the last day, each request counted once."""

    by_person: int
    by_member: int
    first: TimeMs | None  # When this person first used this very request: a repeat costs nothing.


@dataclass(frozen=True, slots=True)
class Rooting:
    """A log's next root, on its way to the ledger."""

    root: Digest
    number: int  # The newest entry that it covers.
    pages: Mapping[bytes, bytes | None]  # What its tree changes; None where a page goes.


class _Draft:
    """The map's pages with changes that are not kept: what stands on the ledger can be proved meanwhile."""

    def __init__(self, pages: KeyValue) -> None:
        self._pages = pages
        self.changed: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.changed[key] if key in self.changed else self._pages.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.changed[key] = value

    def delete(self, key: bytes) -> None:
        self.changed[key] = None

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        rows = {**dict(self._pages.scan(prefix, start)), **self.changed}
        found = ((key, rows[key]) for key in sorted(rows) if key.startswith(prefix) and key >= prefix + start)
        return ((key, value) for key, value in found if value is not None)


class AccessLog:
    """One member's log, in its subject store. Not for two threads."""

    def __init__(self, member: MemberId, store: SubjectStore, clock: Clock) -> None:
        self.member = member
        self._store = store
        self._clock = clock
        self._pages = SqlPages(store)
        self._base = int.from_bytes(
            store.meta("base") or b"", "big"
        )  # Numbers up to this one may have been used, and forgotten.
        self._number: int | None = self._find_newest()
        self._oldest_unanchored = self._find_unanchored()
        self._recognised = b""  # The newest root seen on the ledger that is one of this log's.
        self.may_go_on: Callable[[], bool] = lambda: store.is_reconciled  # Set by who knows more of the ledger.

    def append(self, subject: SubjectId, person: bytes, fill: Fill) -> LogEntry:
        """Write one entry; durable on return.

        Raises:
            RestoredError: entries may have been forgotten, and it is not known yet how many.
        """
        return self.append_all([(subject, fill)], person)[0]

    def append_all(self, fills: Sequence[tuple[SubjectId, Fill]], person: bytes) -> list[LogEntry]:
        """Write an entry for each of these subjects, all or none; durable on return. Raises as `append`."""
        self._check_complete()
        entries: list[LogEntry] = []
        try:
            with self._store.commit("log.append"):
                number = self.newest
                for subject, fill in fills:
                    tag = self._store.tag(subject)
                    number, subject_number, previous = self._bridged(tag, number)
                    number += 1
                    entries.append(fill(number, subject_number + 1, previous))
                    self._insert(tag, person, entries[-1])
        except BaseException:
            self._number = None  # A write that was reported as failed may have been kept.
            with suppress(UnavailableError):
                self._oldest_unanchored = self._find_unanchored()
            raise
        if self._number is None or self._oldest_unanchored is None:
            self._oldest_unanchored = self._find_unanchored()
        if entries:
            self._number = entries[-1].number
        return entries

    def entries(self, subject: SubjectId, after: int = 0) -> list[bytes]:
        """A subject's entries with a higher number, encoded, by rising number."""
        tag = self._store.tag(subject)
        rows = self._store.connection.execute(_ENTRIES, {"tag": tag, "after": after}).all()
        if not rows:
            return []
        return self._store.unwrapped_all(tag, [(wrapped, log_context(number)) for wrapped, number in rows])

    def reads(self, person: bytes) -> int:
        """How often this person has read here in the last 24 hours."""
        asked = {"person": self._store.keyed("person", person), "since": self._clock() - DAY_MS}
        return int(self._store.connection.execute(_READS, asked).scalar_one())

    def broken(self, person: bytes, member: MemberId, request_id: RequestId) -> Broken:
        """How often this person, and this member's people together, have broken the glass here in the last 24 hours."""
        execute, since = self._store.connection.execute, self._clock() - DAY_MS
        who = self._store.keyed("person", person)
        whose = self._store.keyed("member", member.encode())
        first = execute(_FIRST_BROKEN, {"person": who, "request": self._store.keyed("request", request_id)}).scalar()
        return Broken(
            by_person=int(execute(_BROKEN_BY_PERSON, {"person": who, "since": since}).scalar_one()),
            by_member=int(execute(_BROKEN_BY_MEMBER, {"member": whose, "since": since}).scalar_one()),
            first=None if first is None else int(first),
        )

    @property
    def is_overdue(self) -> bool:
        """Whether an entry has waited longer than a minute for a root on the ledger."""
        oldest = self._oldest_unanchored
        return oldest is not None and self._clock() - oldest > ROOT_DUE_MS

    @property
    def newest(self) -> int:
        """The number of the newest entry, or of the last that may have been forgotten."""
        if self._number is None:
            self._number = self._find_newest()
        return self._number

    @property
    def waiting_since(self) -> TimeMs | None:
        """When the oldest entry was written that no root on the ledger covers; None where there is none."""
        return self._oldest_unanchored

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever logged here."""
        return self._find_newest() == 0

    @property
    def is_complete(self) -> bool:
        """Whether it is known that no entry is missing, or how many may be: only then may it be added to."""
        return self.may_go_on()

    @property
    def has_news(self) -> bool:
        """Whether there are entries that no root on the ledger covers."""
        return self._oldest_unanchored is not None

    def next_root(self) -> Rooting:
        """The map up to the newest entry, and its root. Nothing is kept until that root stands on the ledger."""
        number, covered = self.newest, self._anchored_number()
        query = sa.select(LOG.c.tag, sa.func.max(LOG.c.subject_number)).where(LOG.c.number > covered)
        changed = self._store.connection.execute(query.group_by(LOG.c.tag)).all()
        changes = {self.subject_key(bytes(tag)): self._map_value(bytes(tag)) for tag, _ in changed}
        if self._base > covered:
            changes[_RESTORED_KEY] = encode(self._base)  # So that this root is like none before.
        draft = _Draft(self._pages)
        tree.update(draft, dict(sorted(changes.items())))
        return Rooting(root=tree.root(draft), number=number, pages=draft.changed)

    def leaving(self, rooting: Rooting) -> None:
        """Remember a root as this log's own before it leaves: it may stand on the ledger although nobody heard so."""
        roots = self._roots()
        if rooting.root not in roots:
            with self._store.commit("log.leaving"):
                self._store.set_meta("roots", b"".join([*roots, rooting.root][-_ROOTS_KEPT:]))

    def anchored(self, rooting: Rooting) -> None:
        """Take a root that stands on the ledger as the one that proofs lead to; one durable write."""
        if rooting.number <= self._anchored_number():
            return  # A later one was quicker.
        with self._store.commit("log.anchored"):
            for key, page in rooting.pages.items():
                if page is None:
                    self._pages.delete(key)
                else:
                    self._pages.put(key, page)
            self._store.set_meta("anchored", rooting.number.to_bytes(8, "big"))
        self._oldest_unanchored = self._find_unanchored()

    def jump(self, version: int) -> Rooting:
        """Leave all numbers behind that may have been used; durable on return. The root that says so.

        `version` is that of the next root on the ledger, so that no two jumps of a log lead to the same number.
        """
        base = version << _JUMP_BITS
        with self._store.commit("log.jump"):
            self._store.set_meta("base", base.to_bytes(8, "big"))
        self._base, self._number = base, None
        return self.next_root()

    def is_behind(self, latest: Digest) -> bool:
        """Whether the root on the ledger is none of this log's newest: then it has forgotten entries."""
        if latest == self._recognised or latest == tree.root(self._pages) or latest in self._roots():
            self._recognised = latest
            return False
        return True

    def told(self, subject: SubjectId, after: int) -> LogTold:
        """A subject's entries and the proof of how many there are.

        Raises:
            RestoredError: entries may have been forgotten, and it is not known yet how many.
        """
        tag = self._store.tag(subject)
        self._check_complete()
        self._bridge(tag)
        key = self.subject_key(tag)
        value = self._anchored_value(tag)
        return LogTold(
            where=self.member,
            entries=tuple(self.entries(subject, after)),
            subject_key=key,
            anchored=value,
            proof=encode(prove(self._pages, key)),
            root=tree.root(self._pages),
        )

    def subject_key(self, tag: bytes) -> Digest:
        """A subject's key in the map: says nothing to whoever lacks the KEK."""
        return tagged("log.subject", tag)

    def broken_chains(self) -> list[int]:
        """Numbers of entries that do not follow from the one before: none, unless somebody altered the log."""
        broken: list[int] = []
        heads: dict[bytes, tuple[int, Digest]] = {}
        query = sa.select(LOG.c.number, LOG.c.tag, LOG.c.subject_number, LOG.c.head, LOG.c.wrapped)
        for row in self._store.connection.execute(query.order_by(LOG.c.number)):
            tag = bytes(row.tag)
            data = self._store.unwrapped(tag, row.wrapped, log_context(row.number))
            entry = reopen(LogEntry, data)
            number, head = heads.get(tag, (0, NO_DIGEST))
            is_next = entry.subject_number == number + 1 or (
                entry.kind == RESTORED_KIND and entry.subject_number > number
            )
            follows = entry.previous == head and is_next and entry.subject_number == row.subject_number
            if not follows or log_entry_digest(data) != row.head:
                broken.append(row.number)
            heads[tag] = (row.subject_number, bytes(row.head))
        return broken

    def _check_complete(self) -> None:
        if not self.is_complete:
            raise RestoredError(member=self.member)

    def _bridge(self, tag: bytes) -> None:
        """Say that entries may be missing, where that was not said yet."""
        if self._last(tag)[0] >= self._base:
            return
        with self._store.commit("log.bridge"):
            self._bridged(tag, self._find_newest())
        self._number = None
        self._oldest_unanchored = self._find_unanchored()

    def _bridged(self, tag: bytes, number: int) -> tuple[int, int, Digest]:
        """The log's last number, the subject's, and its head; after an entry for what was forgotten, if due."""
        subject_number, previous = self._last(tag)
        if subject_number >= self._base:
            return number, subject_number, previous
        entry = LogEntry(
            number=number + 1,
            subject_number=self._base + 1,
            time=self._clock(),
            height=0,
            where=self.member,
            request_id=bytes(16),
            member=self.member,
            credential_id=None,
            handle=None,
            kind=RESTORED_KIND,
            purpose=Purpose("HSYSADMIN"),
            reason="",
            released=(),
            withheld=(),
            previous=previous,
        )
        self._insert(tag, b"", entry)
        return entry.number, entry.subject_number, log_entry_digest(encode(entry))

    def _insert(self, tag: bytes, person: bytes, entry: LogEntry) -> None:
        self._store.connection.execute(_INSERT, row_of(self._store, tag, person, entry))

    def _roots(self) -> list[Digest]:
        kept = self._store.meta("roots") or b""
        size = len(NO_DIGEST)
        return [kept[at : at + size] for at in range(0, len(kept), size)]

    def _last(self, tag: bytes) -> tuple[int, Digest]:
        row = self._store.connection.execute(_LAST, {"tag": tag}).first()
        return (0, NO_DIGEST) if row is None else (int(row.subject_number), bytes(row.head))

    def _map_value(self, tag: bytes) -> bytes:
        return encode(self._last(tag))

    def _anchored_value(self, tag: bytes) -> bytes:
        """The map's value for a subject at the last root on the ledger: newer entries are not in it yet."""
        asked = {"tag": tag, "anchored": self._anchored_number()}
        row = self._store.connection.execute(_LAST_ANCHORED, asked).first()
        return b"" if row is None else encode((row.subject_number, bytes(row.head)))

    def _anchored_number(self) -> int:
        return int.from_bytes(self._store.meta("anchored") or b"", "big")

    def _find_newest(self) -> int:
        with reported():
            newest = self._store.connection.execute(sa.select(sa.func.max(LOG.c.number))).scalar() or 0
        return max(int(newest), self._base)

    def _find_unanchored(self) -> TimeMs | None:
        query = sa.select(sa.func.min(LOG.c.time)).where(LOG.c.number > self._anchored_number())
        found = self._store.connection.execute(query).scalar()
        return None if found is None else int(found)


async def anchor(log: AccessLog, kind: LogKind, view: View, sponsor: Sponsor) -> bool:
    """Put a log's root on the ledger if there is something new; whether there was."""
    if not log.has_news or not log.is_complete:
        return False
    rooting = log.next_root()
    latest = log_root_of(view.state, log.member, kind)
    if latest is None or latest.root != rooting.root:
        log.leaving(rooting)
        await sponsor(LogRoot(log=kind, version=0 if latest is None else latest.version, root=rooting.root))
    log.anchored(rooting)
    return True


async def go_on(log: AccessLog, kind: LogKind, view: View, sponsor: Sponsor) -> None:
    """Let a log that forgot entries go on above them, once the ledger has a root that says so."""
    latest = log_root_of(view.state, log.member, kind)
    version = 0 if latest is None else latest.version
    rooting = log.jump(version + 1)
    log.leaving(rooting)
    await sponsor(LogRoot(log=kind, version=version, root=rooting.root))
    log.anchored(rooting)


def row_of(store: SubjectStore, tag: bytes, person: bytes, entry: LogEntry) -> dict[str, object]:
    """An entry as it is kept."""
    data = encode(entry)
    return {
        "number": entry.number,
        "tag": tag,
        "subject_number": entry.subject_number,
        "head": log_entry_digest(data),
        "person": store.keyed("person", person),
        "member": store.keyed("member", entry.member.encode()),
        "request": store.keyed("request", entry.request_id),
        "break_glass": entry.purpose == "BTG",
        "time": entry.time,
        "wrapped": store.wrapped(tag, data, log_context(entry.number)),
    }


def log_context(number: int) -> bytes:
    """What an entry is wrapped with."""
    return b"log" + number.to_bytes(8, "big")
