"""An author opens its own records with its own keys, also when offline: through the same `decide()`, logged first.

Online, the policy in force decides; where it cannot be had, nothing is opened but in an emergency. Offline the last one
held decides, and what was shown is marked stale. Each use leaves an entry in the author's own log, whose root goes onto
the ledger too.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Status
from salus.contracts.consent import Pack, ReadKind, ReadRequest
from salus.contracts.credentials.claims import Claims
from salus.contracts.reads.opening import Opening
from salus.contracts.records.batch import document_context
from salus.contracts.records.header import Header, RecordId
from salus.contracts.records.reads import batch_of
from salus.contracts.records.tables import OVERRIDES, Fate
from salus.core.ids import MINUTE_MS, BatchId, Digest, Signature, SubjectId, TimeMs
from salus.core.wire import reopen
from salus.crypto.documents import open_chunks
from salus.keeper.access_log import AccessLog
from salus.keeper.break_glass import BREAK_GLASS, BREAK_GLASS_MS_MAX, EMERGENCY_ROLE, check_quota, check_time
from salus.keeper.errors import BreakGlassError
from salus.keeper.messages import LogEntry, Person
from salus.keeper.persons import Deciders, Persons
from salus.sdk.author_store import AuthorStore, OwnEntry
from salus.sdk.errors import NoSuchSubjectError, OldPolicyError
from salus.sdk.gateway import Gateway
from salus.sdk.views import Gap, Opened
from salus.vault.vault import BlobStore

FRESH_MS = MINUTE_MS


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
    fate: Fate | None


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
        candidates = self._candidates(opening)
        decider = self._deciders.of(policy, named)
        now = max(self._gateway.view.time, self._gateway.clock())
        decisions = decider.decide_all(facts, [one.header for one in candidates], now)
        is_shut = cell is not None and (
            cell.status is Status.CLOSED
            or (cell.status is Status.FROZEN and facts.kind is not ReadKind.PATIENT and facts.purpose != BREAK_GLASS)
        )
        allowed: list[tuple[_Candidate, tuple[str, ...]]] = []
        withheld: Counter[str] = Counter()
        for candidate, decision in zip(candidates, decisions, strict=True):
            if is_shut:
                withheld["cell_frozen"] += 1
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

    def _candidates(self, opening: Opening) -> list[_Candidate]:
        state, author = self._gateway.view.state, self._gateway.member
        selection = opening.selection
        found: list[_Candidate] = []
        for batch_id, entries in self._store.own_of_subject(opening.subject):
            if batch_of(state, author, batch_id) is None:
                continue
            fates = {key[2]: override.fate for key, override in OVERRIDES.items(state, author, batch_id)}
            for entry in entries:
                header = reopen(Header, entry.header)
                fate = fates.get(entry.index)
                if fate is not None and not selection.history:
                    continue
                if selection.fhir_types and header.fhir_type not in selection.fhir_types:
                    continue
                if selection.records and header.record not in selection.records:
                    continue
                found.append(_Candidate(header, entry, fate))
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
            records.append(Opened(header, data, obligations, candidate.fate, is_own=True, is_stale=is_stale))
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
        return abs(self._gateway.clock() - self._gateway.view.time) <= FRESH_MS
