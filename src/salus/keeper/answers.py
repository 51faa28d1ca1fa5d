"""Answering a request to read: a keeper trusts nothing from the caller, and leaves its trace first.

1. In its own final state, at the height asked for or above and fresher than 60 seconds: the request stands open, and
   its commitment and reply key are those of the opening.
2. The person's own key signed the opening; their credential is active and binds that key, or the key is one of the
   patient's devices or proxies by the policy in force. Quotas hold.
3. The cell is live (or frozen: then the patient and break-glass alone), and the policy held is the one it commits to.
4. Each record: its batch is final under this root, no override, and `decide()` permits it.
5. The log entry is durable.
6. The answer is signed, padded and sealed to the request's single-use key. What is forbidden looks like what is absent.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from salus.contracts.cells.tables import Status
from salus.contracts.consent import Decision, Pack, ReadKind, ReadRequest
from salus.contracts.reads.opening import Opening, Selection, reply_key_digest, to_sign
from salus.contracts.reads.opening import commitment as opening_commitment
from salus.contracts.reads.reads import request_of
from salus.contracts.reads.tables import OpenRequest
from salus.contracts.records.batch import share_row
from salus.contracts.records.header import Header, RecordId, leaf
from salus.contracts.records.reads import batch_of
from salus.contracts.records.tables import OVERRIDES, Fate, Override
from salus.core.clock import Clock
from salus.core.errors import MalformedError
from salus.core.ids import (
    MINUTE_MS,
    NO_DIGEST,
    BatchId,
    Digest,
    MemberId,
    RequestId,
    SubjectId,
    TimeMs,
)
from salus.core.wire import decode, encode, reopen
from salus.crypto.documents import padme
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.merkle import narrow, root
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.access_log import AccessLog
from salus.keeper.deposits import Deposits, Holding
from salus.keeper.errors import (
    BreakGlassError,
    EnvelopeError,
    LogOverdueError,
    NoRequestError,
    QuotaError,
    RequestExpiredError,
    StaleError,
)
from salus.keeper.messages import (
    Answer,
    AnswerHead,
    Ask,
    Asking,
    BatchProof,
    Item,
    LogEntry,
    Person,
    SealedAnswer,
    head_statement,
    info,
)
from salus.keeper.persons import Deciders, Persons
from salus.keeper.policies import Held, Policies
from salus.keeper.seats import own_seat
from salus.machine.view import View
from salus.state.state import State

FRESH_MS = MINUTE_MS  # The oldest view of the ledger from which anything is released.
BREAK_GLASS_MS_MAX = 60 * MINUTE_MS
READS_PER_DAY = 2_000  # Of one person.
BREAK_GLASS_PER_DAY = 3  # Of one person; beyond it a second person signs.
ASKS_PER_MINUTE = 6_000  # Of one member.
WAIT_FOR_HEIGHT_S = 2.0
PADDING_BYTES_MIN = 4096
EMERGENCY_ROLE = "emergency"
BREAK_GLASS = "BTG"


class Candidate(NamedTuple):
    """A record of the subject that this keeper holds and the ledger knows."""

    position: int  # In its holding's entries.
    header: Header
    override: Override | None


@dataclass(slots=True)
class Found:
    """One holding with what may leave of it."""

    author: MemberId
    batch_id: BatchId
    holding: Holding
    candidates: list[Candidate]
    released: list[tuple[Candidate, Decision]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Permitted:
    """What the member's vault may serve for an open request: which member asked, which blobs, until when."""

    member: MemberId
    blobs: frozenset[Digest]
    expires: TimeMs


class Answers:
    """The keeper's side of reading."""

    def __init__(
        self,
        member: MemberId,
        view: View,
        policies: Policies,
        deposits: Deposits,
        log: AccessLog,
        packs: Sequence[Pack],
        opening_key: OpeningKey,
        signing_key: SigningKey,
        clock: Clock,
    ) -> None:
        self._member = member
        self._view = view
        self._policies = policies
        self._deposits = deposits
        self._log = log
        self._opening_key = opening_key
        self._signing_key = signing_key
        self._clock = clock
        self._since = log.store_since(view.height)
        self._persons = Persons(view, clock)
        self._deciders = Deciders(view, packs)
        self._asked: defaultdict[MemberId, deque[TimeMs]] = defaultdict(deque)
        self.permitted: dict[RequestId, Permitted] = {}
        self.watched: dict[RequestId, tuple[SubjectId, MemberId, TimeMs]] = {}

    async def answer(self, sender: MemberId, ask: Ask) -> SealedAnswer:
        """Check everything, log, answer.

        Raises, in this order:
            EnvelopeError: it does not open for this seat.
            NotSeatedError: this member does not hold the seat.
            StaleError: this keeper's view is behind the height asked for, or older than 60 seconds.
            NoRequestError: the ledger has no request with this opening, reply key and sponsor.
            RequestExpiredError: it has run out.
            PersonError: the signature, key or credential does not hold.
            BreakGlassError: break-glass without emergency role, reason, or beyond sixty minutes.
            QuotaError: too many asks of this person or member.
            LogOverdueError: this keeper's log root is overdue, and it is not break-glass.
        """
        asking = self._opened(ask)
        committee = own_seat(self._view.state, ask.committee, ask.seat, self._member)
        await self._fresh_view(asking)
        opening = decode(Opening, asking.opening)
        request = self._standing(sender, opening)
        policy = await self._policies.current(opening.subject)
        facts = self._persons.reader(
            opening, asking.signature, asking.claims, None if policy is None else policy.policy
        )
        self._check_break_glass(facts, opening, asking, request)
        self._check_quotas(facts, opening, asking)
        if self._log.is_overdue and facts.purpose != BREAK_GLASS:
            raise LogOverdueError(member=self._member)
        found, withheld = self._judged(opening, facts, policy)
        entry = self._logged(opening, facts, found, withheld)
        self._allow_blobs(opening, request, found)
        if asking.watch:
            self.watched[opening.request_id] = (opening.subject, opening.member, request.expires)
        items, proofs = _content(found)
        head = AnswerHead(
            chain=opening.chain,
            request_id=opening.request_id,
            committee=ask.committee,
            epoch=committee.epoch,
            seat=ask.seat,
            height=self._view.height,
            policy=NO_DIGEST if policy is None else policy.commitment,
            items=len(items),
            root=root(items),
            since=self._since,
        )
        signature = self._signing_key.sign(head_statement(head))
        answer = Answer(head=head, signature=signature, items=items, proofs=proofs, log_number=entry.number)
        return SealedAnswer(sealed=seal(opening.reply_key, padded(encode(answer)), info(opening.chain, "answer")))

    def forget_expired(self) -> None:
        """Let go of requests that have run out."""
        now = self._clock()
        self.permitted = {key: value for key, value in self.permitted.items() if now < value.expires}
        self.watched = {key: value for key, value in self.watched.items() if now < value[2]}

    def _opened(self, ask: Ask) -> Asking:
        try:
            return decode(Asking, self._opening_key.open(ask.sealed, info(self._view.chain, "ask")))
        except MalformedError:
            raise EnvelopeError(seat=ask.seat) from None

    async def _fresh_view(self, asking: Asking) -> None:
        if not await self._view.reached(asking.at_height, WAIT_FOR_HEIGHT_S):
            raise StaleError(height=self._view.height, asked=asking.at_height)
        if self._clock() - self._view.time > FRESH_MS:
            raise StaleError(height=self._view.height)

    def _standing(self, sender: MemberId, opening: Opening) -> OpenRequest:
        request = request_of(self._view.state, opening.request_id)
        if (
            request is None
            or opening.chain != self._view.chain
            or opening.member != sender
            or request.sponsor != sender
            or request.commitment != opening_commitment(opening)
            or request.reply_key_digest != reply_key_digest(opening.reply_key)
        ):
            raise NoRequestError(request_id=opening.request_id)
        if max(self._view.time, self._clock()) >= request.expires:
            raise RequestExpiredError(request_id=opening.request_id)
        return request

    def _check_break_glass(self, facts: ReadRequest, opening: Opening, asking: Asking, request: OpenRequest) -> None:
        if facts.purpose != BREAK_GLASS:
            return
        remaining = request.expires - max(self._view.time, self._clock())
        if EMERGENCY_ROLE not in facts.roles or not opening.reason.strip() or remaining > BREAK_GLASS_MS_MAX:
            raise BreakGlassError(minutes_max=BREAK_GLASS_MS_MAX // MINUTE_MS)
        used = self._log.uses(_person(facts)).break_glass
        if used >= BREAK_GLASS_PER_DAY and not self._is_second(asking.second, opening):
            raise QuotaError(break_glass_per_day=BREAK_GLASS_PER_DAY)

    def _is_second(self, second: Person | None, opening: Opening) -> bool:
        """Whether another emergency person of the same member signed the same opening."""
        if second is None or second.credential_id == opening.credential_id or second.claims.key == opening.key:
            return False
        roles = self._persons.roles(second.credential_id, second.claims, opening.member, second.claims.key)
        return EMERGENCY_ROLE in roles and verify(second.claims.key, to_sign(opening), second.signature)

    def _check_quotas(self, facts: ReadRequest, opening: Opening, asking: Asking) -> None:
        now = self._clock()
        asked = self._asked[opening.member]
        while asked and now - asked[0] > MINUTE_MS:
            asked.popleft()
        if len(asked) >= ASKS_PER_MINUTE:
            raise QuotaError(asks_per_minute=ASKS_PER_MINUTE)
        asked.append(now)
        if facts.purpose != BREAK_GLASS and self._log.uses(_person(facts)).reads >= READS_PER_DAY:
            raise QuotaError(reads_per_day=READS_PER_DAY)

    def _judged(self, opening: Opening, facts: ReadRequest, policy: Held | None) -> tuple[list[Found], Counter[str]]:
        """All that this keeper holds of the subject, what may leave of it, and why the rest may not."""
        withheld: Counter[str] = Counter()
        if policy is None or policy.cell.status is Status.CLOSED:
            return [], withheld
        found = self._held_and_final(opening)
        if policy.cell.status is Status.FROZEN and facts.kind is not ReadKind.PATIENT and facts.purpose != BREAK_GLASS:
            withheld["cell_frozen"] += sum(len(one.candidates) for one in found)
            return [], withheld
        decider = self._deciders.of(policy.policy, policy.commitment)
        at = self._view.time  # Block time, so that at one height all keepers decide alike, and a difference is a lie.
        for one in found:
            asked_for = _asked_for(one, opening, facts)
            decisions = decider.decide_all(facts, [candidate.header for candidate in asked_for], at)
            for candidate, decision in zip(asked_for, decisions, strict=True):
                if decision.permitted:
                    one.released.append((candidate, decision))
                else:
                    withheld.update({reason.code.value for reason in decision.reasons})
        if opening.selection.history and facts.kind is not ReadKind.PATIENT:
            current = [each.header for one in found for each in one.candidates if each.override is None]
            decisions = decider.decide_all(facts, current, at)
            permitted = {header.record for header, said in zip(current, decisions, strict=True) if said.permitted}
            _keep_only_with_current(found, permitted)
        return found, withheld

    def _held_and_final(self, opening: Opening) -> list[Found]:
        """All of the subject that the ledger knows, but for the author whom the selection leaves out."""
        state = self._view.state
        found: list[Found] = []
        held = self._deposits.holdings_of(opening.subject, except_author=opening.selection.except_author)
        for author, batch_id, batch_root, holding in held:
            batch = batch_of(state, author, batch_id)
            if batch is None or batch.root != batch_root:
                continue
            overrides = _overrides(state, author, batch_id)
            candidates = [
                Candidate(position, reopen(Header, entry.header), overrides.get(entry.index))
                for position, entry in enumerate(holding.entries)
            ]
            found.append(Found(author=author, batch_id=batch_id, holding=holding, candidates=candidates))
        return found

    def _logged(self, opening: Opening, facts: ReadRequest, found: list[Found], withheld: Counter[str]) -> LogEntry:
        released = tuple((one.author, one.batch_id, _indices(one)) for one in found if one.released)

        def fill(number: int, subject_number: int, previous: Digest) -> LogEntry:
            return LogEntry(
                number=number,
                subject_number=subject_number,
                time=self._clock(),
                height=self._view.height,
                where=self._member,
                request_id=opening.request_id,
                member=opening.member,
                credential_id=opening.credential_id,
                handle=facts.handle,
                kind=facts.kind.value,
                purpose=opening.purpose,
                reason=opening.reason,
                released=released,
                withheld=tuple(sorted(withheld.items())),
                previous=previous,
            )

        return self._log.append(opening.subject, _person(facts), fill)

    def _allow_blobs(self, opening: Opening, request: OpenRequest, found: list[Found]) -> None:
        blobs = frozenset(blob for one in found for candidate, _ in one.released for blob in candidate.header.blobs)
        self.permitted[opening.request_id] = Permitted(member=opening.member, blobs=blobs, expires=request.expires)


def padded(data: bytes) -> bytes:
    """Eight bytes of length, the data, zeros up to a Padmé length of at least 4 KiB."""
    size = max(PADDING_BYTES_MIN, padme(len(data) + 8))
    return len(data).to_bytes(8, "big") + data + bytes(size - 8 - len(data))


def unpadded(data: bytes) -> bytes:
    """What was padded.

    Raises:
        MalformedError: the length does not fit.
    """
    size = int.from_bytes(data[:8], "big")
    if size > len(data) - 8 or data[8 + size :].strip(b"\0"):
        raise MalformedError(reason="padding")
    return data[8 : 8 + size]


def _person(facts: ReadRequest) -> bytes:
    return facts.credential or facts.handle or b""


def _overrides(state: State, author: MemberId, batch_id: BatchId) -> dict[int, Override]:
    return {key[2]: override for key, override in OVERRIDES.items(state, author, batch_id)}


def _asked_for(one: Found, opening: Opening, facts: ReadRequest) -> list[Candidate]:
    """Those of a holding that the opening selects, in versions that this reader may see at all."""
    selection = opening.selection
    chosen = one.candidates
    if selection.fhir_types or selection.records:
        chosen = [candidate for candidate in chosen if _selected(candidate.header, selection)]
    return [each for each in chosen if each.override is None or _may_see_version(each, opening, facts)]


def _selected(header: Header, selection: Selection) -> bool:
    wanted_type = not selection.fhir_types or header.fhir_type in selection.fhir_types
    return wanted_type and (not selection.records or header.record in selection.records)


def _may_see_version(candidate: Candidate, opening: Opening, facts: ReadRequest) -> bool:
    """Overridden versions go to requests for history; withdrawn ones to their author and the patient alone."""
    if candidate.override is None:
        return True
    if not opening.selection.history:
        return False
    is_own = facts.kind is ReadKind.PATIENT or opening.member == candidate.header.record.author
    return candidate.override.fate is Fate.SUPERSEDED or is_own


def _keep_only_with_current(found: list[Found], permitted: set[RecordId]) -> None:
    """Of a superseded version, release only what has a permitted current one."""
    overrides = {c.header.record: c.override for one in found for c in one.candidates if c.override is not None}

    def current(record: RecordId) -> RecordId:
        for _ in range(len(overrides) + 1):
            override = overrides.get(record)
            if override is None or override.successor is None:
                return record
            record = RecordId(record.author, override.successor.batch_id, override.successor.index)
        return record

    for one in found:
        one.released = [
            (candidate, decision)
            for candidate, decision in one.released
            if candidate.override is None
            or candidate.override.fate is Fate.WITHDRAWN
            or current(candidate.header.record) in permitted
        ]


def _indices(found: Found) -> bytes:
    return b"".join(candidate.header.record.index.to_bytes(2, "big") for candidate, _ in found.released)


def _content(found: list[Found]) -> tuple[tuple[bytes, ...], tuple[BatchProof, ...]]:
    """Items to release and, per batch, the paths of exactly these records: a path for more would tell of more."""
    items: list[bytes] = []
    proofs: list[BatchProof] = []
    for one in found:
        if not one.released:
            continue
        entries = one.holding.entries
        for candidate, decision in one.released:
            entry = entries[candidate.position]
            item = Item(entry.header, entry.salt, entry.share, entry.share_hashes, decision.obligations)
            items.append(encode(item))
        proofs.append(_proof(one))
    return tuple(items), tuple(proofs)


def _proof(one: Found) -> BatchProof:
    holding = one.holding
    leaf_proof, row_proof = holding.leaf_proof, holding.row_proof
    if len(one.released) < len(holding.entries):
        kept = [candidate.header.record.index for candidate, _ in one.released]
        leaf_proof = narrow({e.index: leaf(e.salt, e.header) for e in holding.entries}, leaf_proof, kept)
        row_proof = narrow({e.index: share_row(e.share_hashes) for e in holding.entries}, row_proof, kept)
    return BatchProof(author=one.author, batch_id=one.batch_id, leaf_proof=leaf_proof, row_proof=row_proof)
