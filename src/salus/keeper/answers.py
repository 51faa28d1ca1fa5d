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
from dataclasses import dataclass

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Status
from salus.contracts.consent import Pack, ReadKind, ReadRequest
from salus.contracts.credentials.reads import is_active
from salus.contracts.reads.opening import Opening, RepairOpening, reply_key_digest
from salus.contracts.reads.opening import commitment as opening_commitment
from salus.contracts.reads.reads import request_of
from salus.contracts.reads.tables import OpenRequest
from salus.contracts.records.header import Header
from salus.contracts.records.reads import is_in_force
from salus.contracts.records.tables import OVERRIDES, Override
from salus.core.clock import Clock
from salus.core.errors import MalformedError, RefusalError, UnavailableError
from salus.core.ids import (
    DAY_MS,
    MINUTE_MS,
    NO_DIGEST,
    BatchId,
    CellId,
    CredentialId,
    Digest,
    MemberId,
    RequestId,
    TimeMs,
)
from salus.core.wire import decode, encode, reopen_all
from salus.crypto.documents import padme
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.merkle import root
from salus.crypto.signatures import SigningKey
from salus.keeper import break_glass
from salus.keeper.access_log import AccessLog
from salus.keeper.break_glass import BREAK_GLASS, BREAK_GLASS_MS_MAX, EMERGENCY_ROLE
from salus.keeper.deposits import Deposits
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
    LogEntry,
    SealedAnswer,
    head_statement,
    info,
    log_entry_digest,
)
from salus.keeper.persons import Deciders, Persons
from salus.keeper.policies import Held, Policies
from salus.keeper.releasing import Candidate, Found, asked_for, content, indices, keep_only_with_current
from salus.keeper.seats import own_seat
from salus.machine.view import View, is_fresh
from salus.state.state import State

READS_PER_DAY = 2_000  # Of one person.
ASKS_PER_MINUTE = 6_000  # Of one member.
WAIT_FOR_HEIGHT_S = 2.0
PADDING_BYTES_MIN = 4096
_UNKNOWN_KEPT = 65_536


@dataclass(frozen=True, slots=True)
class Permitted:
    """What the member's vault may serve for an open request: which member asked, which blobs, until when."""

    member: MemberId
    credential_id: CredentialId | None
    cell_id: CellId
    cell: tuple[Digest, Status]  # Commitment and status under which it was permitted.
    blobs: frozenset[Digest]
    expires: TimeMs


@dataclass(frozen=True, slots=True)
class Watch:
    """An open request that is told when something new that it permits lies here."""

    opening: Opening
    asking: Asking
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
        self._persons = Persons(view, clock)
        self._deciders = Deciders(view, packs)
        self._asked: defaultdict[MemberId, deque[TimeMs]] = defaultdict(deque)
        self.permitted: dict[RequestId, Permitted] = {}
        self.watched: dict[RequestId, Watch] = {}
        self._unknown_asked: Counter[bytes] = Counter()  # By person: asks for subjects that this keeper does not know.
        self._unknown_since: TimeMs = 0

    def take_packs(self, packs: Sequence[Pack]) -> None:
        """Know these packs too, for when the ledger names them."""
        self._deciders.take(packs)

    async def answer(self, sender: MemberId, ask: Ask) -> SealedAnswer:
        """Check everything, log, answer.

        Raises, in this order:
            EnvelopeError: it does not open for this seat.
            StaleError: this keeper's view is behind the height asked for, or older than 60 seconds.
            NotSeatedError: this member does not hold the seat, or no batch is dealt any more to the epoch named.
            NoRequestError: the ledger has no request with this opening, reply key and sponsor.
            RequestExpiredError: it has run out.
            PersonError: the signature, key or credential does not hold.
            BreakGlassError: break-glass without emergency role, reason, or beyond sixty minutes.
            QuotaError: too many asks of this person or member.
            LogOverdueError: this keeper's log root is overdue, and it is not break-glass.
        """
        asking = self._opened(ask)
        await self._fresh_view(asking)
        own_seat(self._view.state, ask.committee, ask.seat, self._member, ask.epoch)
        opening = decode(Opening, asking.opening)
        self.standing(sender, opening, opening_commitment(opening))
        policy = await self._policies.current(opening.subject)
        # Blocks may have come while a peer was asked for the policy: from here to the entry nothing is awaited.
        own_seat(self._view.state, ask.committee, ask.seat, self._member, ask.epoch)
        self._check_fresh()
        request = self.standing(sender, opening, opening_commitment(opening))
        facts = self._persons.reader(
            opening, asking.signature, asking.claims, None if policy is None else policy.policy
        )
        self._check_break_glass(facts, opening, asking, request)
        self._check_quotas(facts, opening)
        if self._log.is_overdue and facts.purpose != BREAK_GLASS:
            raise LogOverdueError(member=self._member)
        found, withheld = self._judged(opening, facts, policy)
        entry = None if policy is None else self._logged(opening, facts, found, withheld)
        if policy is None:
            self._count_unknown(facts)
        else:
            self._allow_blobs(opening, request, policy, found)
        if asking.watch and any(one.released for one in found):  # News of what is not permitted would tell of it.
            self.watched[opening.request_id] = Watch(opening, asking, request.expires)
        items, proofs = content(found)
        head = AnswerHead(
            chain=opening.chain,
            request_id=opening.request_id,
            committee=ask.committee,
            epoch=ask.epoch,
            seat=ask.seat,
            height=self._view.height,
            policy=NO_DIGEST if policy is None else policy.commitment,
            items=len(items),
            root=root(items),
            log_number=0 if entry is None else entry.number,
            log_entry=NO_DIGEST if entry is None else log_entry_digest(encode(entry)),
        )
        signature = self._signing_key.sign(head_statement(head))
        answer = Answer(head=head, signature=signature, items=items, proofs=proofs)
        return SealedAnswer(sealed=seal(opening.reply_key, padded(encode(answer)), info(opening.chain, "answer")))

    async def has_news(self, watch: Watch, batches: set[tuple[MemberId, BatchId]]) -> bool:
        """Whether something of these new batches would be released to a watching request, if it asked now."""
        opening, asking = watch.opening, watch.asking
        try:
            policy = await self._policies.current(opening.subject)
            if policy is None:
                return False
            facts = self._persons.reader(opening, asking.signature, asking.claims, policy.policy)
            found, _ = self._judged(opening, facts, policy, batches)
        except (RefusalError, UnavailableError):
            return False
        return any(one.released for one in found)

    def permitted_now(self, request_id: RequestId) -> Permitted | None:
        """What may be served for a request, while consent, credential and time are those under which it was permitted.

        Whoever is refused for a change asks the keepers again, who decide anew.
        """
        permitted = self.permitted.get(request_id)
        if permitted is None:
            return None
        state, now = self._view.state, max(self._view.time, self._clock())
        cell, credential_id = cell_of(state, permitted.cell_id), permitted.credential_id
        holds = (
            now < permitted.expires
            and cell is not None
            and (cell.commitment, cell.status) == permitted.cell
            and (credential_id is None or is_active(state, credential_id, now))
        )
        return permitted if holds else None

    def forget_expired(self) -> None:
        """Let go of requests that have run out."""
        now = self._clock()
        self.permitted = {key: value for key, value in self.permitted.items() if now < value.expires}
        self.watched = {key: value for key, value in self.watched.items() if now < value.expires}

    def _opened(self, ask: Ask) -> Asking:
        try:
            return decode(Asking, self._opening_key.open(ask.sealed, info(self._view.chain, "ask")))
        except MalformedError:
            raise EnvelopeError(seat=ask.seat) from None

    async def _fresh_view(self, asking: Asking) -> None:
        if not await self._view.reached(asking.at_height, WAIT_FOR_HEIGHT_S):
            raise StaleError(height=self._view.height, asked=asking.at_height)
        self._check_fresh()

    def _check_fresh(self) -> None:
        """Too old, or so far ahead that one of the two clocks is wrong: neither decides who may read."""
        if not is_fresh(self._view, self._clock()):
            raise StaleError(height=self._view.height)

    def standing(self, sender: MemberId, opening: Opening | RepairOpening, named: Digest) -> OpenRequest:
        """The request on the ledger to which this opening, of this commitment, belongs.

        Raises:
            NoRequestError: the ledger has no request with this opening, reply key and sponsor.
            RequestExpiredError: it has run out.
        """
        request = request_of(self._view.state, opening.request_id)
        if (
            request is None
            or opening.chain != self._view.chain
            or opening.member != sender
            or request.sponsor != sender
            or request.commitment != named
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
        break_glass.check_quota(self._log, self._persons, facts, opening, asking.second, _person(facts))

    def _check_quotas(self, facts: ReadRequest, opening: Opening) -> None:
        now = self._clock()
        asked = self._asked[opening.member]
        while asked and now - asked[0] > MINUTE_MS:
            asked.popleft()
        if len(asked) >= ASKS_PER_MINUTE:
            raise QuotaError(asks_per_minute=ASKS_PER_MINUTE)
        asked.append(now)
        if now - self._unknown_since > DAY_MS or len(self._unknown_asked) >= _UNKNOWN_KEPT:
            self._unknown_asked.clear()
            self._unknown_since = now
        reads = self._log.reads(_person(facts)) + self._unknown_asked[_person(facts)]
        if facts.purpose != BREAK_GLASS and reads >= READS_PER_DAY:
            raise QuotaError(reads_per_day=READS_PER_DAY)

    def _count_unknown(self, facts: ReadRequest) -> None:
        """An ask for a handle that means nothing here fills no disk; it counts for a day, in memory."""
        self._unknown_asked[_person(facts)] += 1

    def _judged(
        self,
        opening: Opening,
        facts: ReadRequest,
        policy: Held | None,
        only: set[tuple[MemberId, BatchId]] | None = None,
    ) -> tuple[list[Found], Counter[str]]:
        """All that this keeper holds of the subject, or in some batches alone: what may leave, and why the rest not."""
        withheld: Counter[str] = Counter()
        if policy is None or policy.cell.status is Status.CLOSED:
            return [], withheld
        found = self._held_and_final(opening, only)
        if policy.cell.status is Status.FROZEN and facts.kind is not ReadKind.PATIENT and facts.purpose != BREAK_GLASS:
            withheld["cell_frozen"] += sum(len(one.candidates) for one in found)
            return [], withheld
        decider = self._deciders.of(policy.policy, policy.commitment)
        at = self._view.time  # Block time, so that at one height all keepers decide alike, and a difference is a lie.
        for one in found:
            chosen = asked_for(one, opening, facts)
            decisions = decider.decide_all(facts, [candidate.header for candidate in chosen], at)
            for candidate, decision in zip(chosen, decisions, strict=True):
                if decision.permitted:
                    one.released.append((candidate, decision))
                else:
                    withheld.update({reason.code.value for reason in decision.reasons})
        if opening.selection.history and facts.kind is not ReadKind.PATIENT:
            current = [each.header for one in found for each in one.candidates if each.override is None]
            decisions = decider.decide_all(facts, current, at)
            permitted = {header.record for header, said in zip(current, decisions, strict=True) if said.permitted}
            keep_only_with_current(found, permitted)
        return found, withheld

    def _held_and_final(self, opening: Opening, only: set[tuple[MemberId, BatchId]] | None = None) -> list[Found]:
        """All of the subject that the ledger knows, but for the author whom the selection leaves out."""
        state = self._view.state
        found: list[Found] = []
        left_out = opening.selection.except_author
        held = self._deposits.holdings_of(opening.subject, except_author=left_out, only=only)
        for author, batch_id, batch_roots, holding in held:
            if not is_in_force(state, author, batch_id, *batch_roots):
                continue
            overrides = _overrides(state, author, batch_id)
            headers = reopen_all(Header, [entry.header for entry in holding.entries])
            fates = [overrides.get(entry.index) for entry in holding.entries]
            candidates = list(map(Candidate, range(len(headers)), headers, fates))
            found.append(Found(author=author, batch_id=batch_id, holding=holding, candidates=candidates))
        return found

    def _logged(self, opening: Opening, facts: ReadRequest, found: list[Found], withheld: Counter[str]) -> LogEntry:
        released = tuple((one.author, one.batch_id, indices(one)) for one in found if one.released)

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

    def _allow_blobs(self, opening: Opening, request: OpenRequest, policy: Held, found: list[Found]) -> None:
        blobs = frozenset(blob for one in found for candidate, _ in one.released for blob in candidate.header.blobs)
        self.permitted[opening.request_id] = Permitted(
            member=opening.member,
            credential_id=opening.credential_id,
            cell_id=policy.policy.cell,
            cell=(policy.commitment, policy.cell.status),
            blobs=blobs,
            expires=request.expires,
        )


def padded(data: bytes) -> bytes:
    """Eight bytes of length, the data, zeros up to a Padmé length of at least 4 KiB."""
    size = max(PADDING_BYTES_MIN, padme(len(data) + 8))
    return b"".join((len(data).to_bytes(8, "big"), data, bytes(size - 8 - len(data))))


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
