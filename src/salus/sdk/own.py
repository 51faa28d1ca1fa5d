"""An author opens its own records with its own keys, also when offline: through the same `decide()`, logged first.

Online, the policy in force decides; where it cannot be had, nothing is opened but in an emergency. Offline the last one
held decides, and what was shown is marked stale. Each use leaves an entry in the author's own log, whose root goes onto
the ledger too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Status
from salus.contracts.consent import Decider, Pack, ReadKind, ReadRequest
from salus.contracts.credentials.claims import Claims
from salus.contracts.reads.messages import LogKind
from salus.contracts.reads.opening import Opening, Selection
from salus.contracts.reads.reads import log_root_of
from salus.contracts.records.batch import document_context
from salus.contracts.records.header import Header, RecordId
from salus.contracts.records.reads import batch_of
from salus.contracts.records.tables import BATCHES, OVERRIDES, Fate, Override, Successor
from salus.core.ids import MINUTE_MS, BatchId, Digest, Signature, SubjectId, TimeMs
from salus.core.wire import reopen
from salus.crypto.documents import open_chunks
from salus.keeper.access_log import AccessLog, go_on
from salus.keeper.break_glass import BREAK_GLASS, BREAK_GLASS_MS_MAX, EMERGENCY_ROLE, check_quota, check_time
from salus.keeper.errors import BreakGlassError
from salus.keeper.messages import LogEntry, Person
from salus.keeper.persons import Deciders, Persons
from salus.machine.view import is_fresh
from salus.sdk.author_store import AuthorStore
from salus.sdk.drafting import OwnEntry
from salus.sdk.errors import NoSuchSubjectError, OldPolicyError
from salus.sdk.gateway import Gateway
from salus.sdk.views import Gap, Opened
from salus.vault.vault import BlobStore


@dataclass(frozen=True, slots=True)
class OwnView:
    """What an author may show of its own records."""

    records: list[Opened]
    gaps: list[Gap]
    is_stale: bool
    withheld: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    header: Header
    entry: OwnEntry
    override: Override | None


class OwnRecords:
    """The reading half of an author's gateway, for its own records."""

    def __init__(
        self,
        gateway: Gateway,
        store: AuthorStore,
        blobs: BlobStore,
        log: AccessLog,
        packs: Sequence[Pack],
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._blobs = blobs
        self._log = log
        self._persons = Persons(gateway.view, gateway.clock)
        self._deciders = Deciders(gateway.view, packs)
        self._forgotten: bool | None = None  # Not known before there is a fresh view to learn it from.
        log.may_go_on = self.is_reconciled

    def is_reconciled(self) -> bool:
        """Whether own records may be used: the log has forgotten nothing that the ledger knows of."""
        latest = log_root_of(self._gateway.view.state, self._gateway.member, LogKind.AUTHOR)
        if self._store.is_reconciled and latest is not None and self._log.is_behind(latest.root):
            self._store.set_reconciled(False)
        elif not self._store.is_reconciled and latest is None and self._log.is_empty and self._is_fresh():
            self._store.set_reconciled(True)  # It is new.
        return self._store.is_reconciled

    async def reconcile(self) -> bool:
        """After the store was put back or lost, let its log go on above what it forgot; whether records may be used.

        Raises:
            UnavailableError: the log's root did not get onto the ledger; the next call tries again.
        """
        if self.is_reconciled():
            return True
        if not self._is_fresh():
            return False
        await go_on(self._log, LogKind.AUTHOR, self._gateway.view, self._gateway.sponsor)
        self._store.set_reconciled(True)
        return True

    def take_packs(self, packs: Sequence[Pack]) -> None:
        """Know these packs too, for when the ledger names them."""
        self._deciders.take(packs)

    def has_forgotten(self) -> bool:
        """Whether own batches stand on the ledger that are not known here: written after the backup that was put back.

        Their keys are with the keepers alone: they are read like those of others.
        """
        if self._forgotten is None and self._is_fresh():
            known, own = self._store.batches(), BATCHES.items(self._gateway.view.state, self._gateway.member)
            self._forgotten = any(batch_id not in known for (_, batch_id), _ in own)
        return bool(self._forgotten)

    def has_old_policy(self, subject: SubjectId) -> bool:
        """Whether the copy held of a policy is not the one in force."""
        copy = self._store.copy(subject)
        cell = None if copy is None else cell_of(self._gateway.view.state, copy[0].cell)
        return copy is not None and cell is not None and cell.commitment != copy[1]

    def read(
        self, opening: Opening, signature: Signature, claims: Claims | None, second: Person | None = None
    ) -> OwnView:
        """Decide, log, open.

        Raises:
            NoSuchSubjectError: this member holds no policy of the subject, so it decides nothing.
            OldPolicyError: on line, the policy held is not the one in force, and it is not break-glass.
            PersonError: the person's signature, key or credential does not hold.
            BreakGlassError: break-glass without emergency role or reason, or an hour after it began here.
            QuotaError: break-glass too often in a day by this log, and no second person signed.
        """
        copy = self._store.copy(opening.subject)
        if copy is None:
            raise NoSuchSubjectError(member=self._gateway.member)
        policy, named = copy
        cell = cell_of(self._gateway.view.state, policy.cell)
        is_old = cell is not None and cell.commitment != named
        if is_old and self._is_fresh() and opening.purpose != BREAK_GLASS:
            raise OldPolicyError(version=policy.version)
        facts = self._persons.reader(opening, signature, claims, policy)
        if facts.purpose == BREAK_GLASS and (EMERGENCY_ROLE not in facts.roles or not opening.reason.strip()):
            raise BreakGlassError(minutes_max=BREAK_GLASS_MS_MAX // MINUTE_MS)
        if facts.purpose == BREAK_GLASS:
            self._check_quota(opening, facts, second)
        is_stale = not self._is_fresh() or cell is None or is_old
        held = self._held(opening.subject)
        candidates = [one for one in held.values() if _is_asked_for(one, opening.selection)]
        decider = self._deciders.of(policy, named)
        now = max(self._gateway.view.time, self._gateway.clock())
        decisions = decider.decide_all(facts, [one.header for one in candidates], now)
        closed = set() if facts.kind is ReadKind.PATIENT else _closed_by_current(candidates, held, decider, facts, now)
        is_shut = cell is not None and (
            cell.status is Status.CLOSED
            or (cell.status is Status.FROZEN and facts.kind is not ReadKind.PATIENT and facts.purpose != BREAK_GLASS)
        )
        allowed: list[tuple[_Candidate, tuple[str, ...]]] = []
        withheld: Counter[str] = Counter()
        for candidate, decision in zip(candidates, decisions, strict=True):
            if is_shut:
                withheld["cell_frozen"] += 1
            elif candidate.header.record in closed:
                continue  # As at a keeper: who may not see what counts now learns nothing of what came before.
            elif decision.permitted:
                allowed.append((candidate, decision.obligations))
            else:
                withheld.update({reason.code.value for reason in decision.reasons})
        self._write_log(opening, facts, [candidate.header.record for candidate, _ in allowed], withheld)
        records, gaps = self._opened(allowed, is_stale)
        return OwnView(records=records, gaps=gaps, is_stale=is_stale, withheld=tuple(sorted(withheld.items())))

    def holds_until(self, subject: SubjectId, at: TimeMs) -> TimeMs | None:
        """When time alone may next change a decision made at `at` or later; none if never.

        At once, where the policy in force is not held here: nobody can tell.
        """
        copy = self._store.copy(subject)
        cell = None if copy is None else cell_of(self._gateway.view.state, copy[0].cell)
        if copy is None or cell is None or cell.commitment != copy[1]:
            return at
        return self._deciders.of(*copy).next_turn(at)

    def _check_quota(self, opening: Opening, facts: ReadRequest, second: Person | None) -> None:
        person = facts.credential or facts.handle or b""
        check_time(self._log, person, opening, self._gateway.clock())
        check_quota(self._log, self._persons, facts, opening, second, person)

    def used_again(self, opening: Opening, facts_person: bytes, records: Sequence[RecordId]) -> None:
        """Log one more use of what an open request has in memory; durable on return."""
        self._append(opening, facts_person, "again", None, records, Counter())

    def _held(self, subject: SubjectId) -> dict[RecordId, _Candidate]:
        """Every version of the subject that this member sealed and the ledger knows."""
        state, author = self._gateway.view.state, self._gateway.member
        found: dict[RecordId, _Candidate] = {}
        for batch_id, entries in self._store.own_of_subject(subject):
            if batch_of(state, author, batch_id) is None:
                continue
            overrides = {key[2]: override for key, override in OVERRIDES.items(state, author, batch_id)}
            for entry in entries:
                header = reopen(Header, entry.header)
                found[header.record] = _Candidate(header, entry, overrides.get(entry.index))
        return found

    def _opened(
        self, allowed: Sequence[tuple[_Candidate, tuple[str, ...]]], is_stale: bool
    ) -> tuple[list[Opened], list[Gap]]:
        blobs = self._read_blobs(allowed)
        records: list[Opened] = []
        gaps: list[Gap] = []
        for candidate, obligations in allowed:
            header = candidate.header
            parts = [blobs[digest] for digest in header.blobs if digest in blobs]
            if len(parts) < len(header.blobs):
                gaps.append(Gap(header.record, "blob_missing"))
                continue
            context = document_context(self._gateway.chain, header.record)
            data = open_chunks(candidate.entry.key, context, parts, header.size_bytes)
            fate = None if candidate.override is None else candidate.override.fate
            records.append(Opened(header, data, obligations, fate, is_own=True, is_stale=is_stale))
        return records, gaps

    def _read_blobs(self, allowed: Sequence[tuple[_Candidate, tuple[str, ...]]]) -> dict[Digest, bytes]:
        by_batch: dict[BatchId, list[Digest]] = {}
        for candidate, _ in allowed:
            by_batch.setdefault(candidate.header.record.batch_id, []).extend(candidate.header.blobs)
        found: dict[Digest, bytes] = {}
        for batch_id, digests in by_batch.items():
            read = self._blobs.read(self._gateway.member, batch_id, digests)
            found.update({digest: blob for digest, blob in zip(digests, read, strict=True) if blob is not None})
        return found

    def _write_log(
        self, opening: Opening, facts: ReadRequest, records: Sequence[RecordId], withheld: Counter[str]
    ) -> None:
        person = facts.credential or facts.handle or b""
        self._append(opening, person, facts.kind.value, facts.handle, records, withheld)

    def _append(
        self,
        opening: Opening,
        person: bytes,
        kind: str,
        handle: bytes | None,
        records: Sequence[RecordId],
        withheld: Counter[str],
    ) -> None:
        by_batch: dict[tuple[str, BatchId], list[bytes]] = {}
        for record in records:
            by_batch.setdefault((record.author, record.batch_id), []).append(record.index.to_bytes(2, "big"))
        released = tuple((author, batch, b"".join(indices)) for (author, batch), indices in by_batch.items())

        def fill(number: int, subject_number: int, previous: Digest) -> LogEntry:
            return LogEntry(
                number=number,
                subject_number=subject_number,
                time=self._gateway.clock(),
                height=self._gateway.view.height,
                where=self._gateway.member,
                request_id=opening.request_id,
                member=opening.member,
                credential_id=opening.credential_id,
                handle=handle,
                kind=kind,
                purpose=opening.purpose,
                reason=opening.reason,
                released=released,
                withheld=tuple(sorted(withheld.items())),
                previous=previous,
            )

        self._log.append(opening.subject, person, fill)

    def _is_fresh(self) -> bool:
        return is_fresh(self._gateway.view, self._gateway.clock())


def _is_asked_for(one: _Candidate, selection: Selection) -> bool:
    return (
        (one.override is None or selection.history)
        and (not selection.fhir_types or one.header.fhir_type in selection.fhir_types)
        and (not selection.records or one.header.record in selection.records)
    )


def _closed_by_current(
    asked: Sequence[_Candidate], held: Mapping[RecordId, _Candidate], decider: Decider, facts: ReadRequest, at: TimeMs
) -> set[RecordId]:
    """Superseded versions whose current one this reader may not see, or that have none."""
    superseded = [one for one in asked if one.override is not None and one.override.fate is Fate.SUPERSEDED]
    current = [_current(one, held) for one in superseded]
    decisions = decider.decide_all(facts, [one.header for one in current], at)
    return {
        old.header.record
        for old, new, decision in zip(superseded, current, decisions, strict=True)
        if new.override is not None or not decision.permitted
    }


def _current(one: _Candidate, held: Mapping[RecordId, _Candidate]) -> _Candidate:
    """The version that took this one's place in the end; one that was withdrawn has no successor that counts."""
    for _ in range(len(held)):
        successor = None if one.override is None else one.override.successor
        after = None if successor is None else held.get(_next(one, successor))
        if after is None:
            break
        one = after
    return one


def _next(one: _Candidate, successor: Successor) -> RecordId:
    return RecordId(one.header.record.author, successor.batch_id, successor.index)
