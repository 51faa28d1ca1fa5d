"""A departed author's batches at a committee's new epoch: its successor asks who held them, and deals to who holds now.

Who held a batch before answers a successor's request:

    1. The request stands on the ledger, as for any reader, and the member's own ledger key signed its opening.
    2. By this keeper's own final state the author has left, the asker is who succeeded it, and the batch is dealt to
       an earlier epoch than its committee is at: to this keeper's seat.
    3. No patient of the batch has frozen the record: then nothing of the batch leaves.
    4. An entry in the log of every patient of the batch, durable. Then its shares, and what it says of their number.

Who sits there now takes a deposit from the successor in the author's stead:

    1. The same by its own final state; and more keepers of before than may lie say that no record is left out.
    2. Headers lead to the batch's root by their paths, and all else as from an author.
    3. No patient of the batch has frozen the record.
    4. Its vault fetches the ciphertext that it is to keep from the vaults of before: none goes through the successor.
    5. An entry in the log of every patient; the shares; the receipt.

What the successor deals is in `sdk/repairing.py`. Consent is not asked: nothing is read, and refusing to move shares
would lose records. A patient who will not have it freezes the record, and sees who asked.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha256

import msgspec

from salus.contracts.cells.tables import Status
from salus.contracts.members.reads import committee_at, committee_of, holder_of, member_of, successor_of
from salus.contracts.reads.opening import RepairOpening, repair_commitment, repair_to_sign
from salus.contracts.reads.tables import OpenRequest
from salus.contracts.records.batch import DIGEST_BYTES, row_levels, share_row
from salus.contracts.records.header import Header, RecordId, leaf
from salus.contracts.records.reads import batch_of, dealing_of, dealings_of
from salus.contracts.records.tables import Dealing
from salus.core.clock import Clock
from salus.core.errors import MalformedError
from salus.core.ids import DAY_MS, BatchId, Digest, Height, MemberId, Purpose, RequestId, Seat, SubjectId, TimeMs
from salus.core.wire import decode, encode, reopen
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.merkle import prove_many, root, root_of_many
from salus.crypto.shares import faulty
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.access_log import AccessLog, Fill
from salus.keeper.answers import WAIT_FOR_HEIGHT_S, padded
from salus.keeper.checking import SHARE_BYTES, BatchHead, HeldOf, Holding
from salus.keeper.deposits import Deposits
from salus.keeper.errors import (
    DepositConflictError,
    EnvelopeError,
    InconsistentDealerError,
    LogOverdueError,
    NotBehindError,
    NotHeldError,
    NotSuccessorError,
    QuotaError,
    RepairWaitsError,
    StaleError,
    WitnessError,
)
from salus.keeper.messages import (
    Deposited,
    DepositRefused,
    LogEntry,
    RepairAnswer,
    RepairAsk,
    RepairAsking,
    RepairDeposit,
    RepairHead,
    RepairPart,
    RepairShares,
    SealedAnswer,
    Signed,
    info,
    repair_shares_statement,
    repair_statement,
)
from salus.keeper.policies import Policies
from salus.keeper.seats import own_seat
from salus.machine.view import View, is_fresh

KIND = "repair"  # Of an entry in a patient's log.
PURPOSE = Purpose("REPAIR")
ASKS_PER_DAY = 16  # Of one batch: each leaves an entry in up to 1,024 logs.
_INDEX_BYTES = 2

FetchBlobs = Callable[[MemberId, BatchId, list[Digest]], Awaitable[bool]]
Standing = Callable[[MemberId, RepairOpening, Digest], OpenRequest]  # As `Answers.standing`.
Part = tuple[SubjectId, Sequence[int]]  # Whose records, and where they stand in the batch.


async def _nothing_to_fetch(_author: MemberId, _batch_id: BatchId, _digests: list[Digest]) -> bool:
    return True


class Repairs:
    """The keeper's side of a departed author's batches."""

    def __init__(
        self,
        member: MemberId,
        view: View,
        policies: Policies,
        deposits: Deposits,
        log: AccessLog,
        standing: Standing,
        opening_key: OpeningKey,
        signing_key: SigningKey,
        clock: Clock,
    ) -> None:
        self._member = member
        self._view = view
        self._policies = policies
        self._deposits = deposits
        self._log = log
        self._standing = standing
        self._opening_key = opening_key
        self._signing_key = signing_key
        self._clock = clock
        self._asked: Counter[tuple[MemberId, BatchId]] = Counter()
        self._asked_since: TimeMs = 0
        self.fetch_blobs: FetchBlobs = _nothing_to_fetch  # Set by who has the member's vault.

    # Who held it before.

    async def answer(self, sender: MemberId, ask: RepairAsk) -> SealedAnswer:
        """Check everything, log, answer.

        Raises, in this order:
            EnvelopeError: it does not open for this seat, or the asker did not sign it.
            StaleError: this keeper's view is behind the height asked for, or older than 60 seconds.
            NotSeatedError: this member did not hold the seat at that epoch, or no batch is dealt any more to it.
            NoRequestError: the ledger has no request with this opening, reply key and sponsor.
            RequestExpiredError: it has run out.
            NotSuccessorError: the author is a member still, or another one succeeded it.
            NotBehindError: no such batch, or it is not dealt to that epoch, or that is the current one.
            QuotaError: the batch was asked for too often in a day.
            NotHeldError: this keeper was not dealt it.
            RepairWaitsError: a patient of the batch has frozen the record, or is not known here.
            LogOverdueError: this keeper's log root is overdue.
        """
        opening, at_height = self._opened(sender, ask)
        if not await self._view.reached(at_height, WAIT_FOR_HEIGHT_S):
            raise StaleError(height=self._view.height, asked=at_height)
        # From here to the entries nothing is awaited: all is judged in one state.
        if not is_fresh(self._view, self._clock()):
            raise StaleError(height=self._view.height)
        own_seat(self._view.state, ask.committee, ask.seat, self._member, ask.epoch)
        self._standing(sender, opening, repair_commitment(opening))
        author = MemberId(opening.author)
        self._check_successor(sender, author)
        roots = self._behind(author, opening.batch_id, ask)
        self._check_quota(author, opening.batch_id)
        held = self._held(author, opening.batch_id, roots)
        parts = [(_subject(holding), [entry.index for entry in holding.entries]) for _, holding in held]
        if self._log.is_overdue:
            raise LogOverdueError(member=self._member)
        self._note(sender, opening.request_id, author, opening.batch_id, parts)
        holdings = tuple([data for data, _ in held])
        head = RepairHead(
            chain=opening.chain,
            request_id=opening.request_id,
            author=author,
            batch_id=opening.batch_id,
            committee=ask.committee,
            epoch=ask.epoch,
            seat=ask.seat,
            height=self._view.height,
            indices=indices_of([indices for _, indices in parts]),
            root=root(holdings),
        )
        answer = RepairAnswer(head=head, signature=self._signing_key.sign(repair_statement(head)), holdings=holdings)
        return SealedAnswer(
            sealed=seal(opening.reply_key, padded(encode(answer)), info(opening.chain, "repair answer"))
        )

    def _opened(self, sender: MemberId, ask: RepairAsk) -> tuple[RepairOpening, Height]:
        try:
            asking = decode(RepairAsking, self._opening_key.open(ask.sealed, info(self._view.chain, "repair ask")))
            opening = decode(RepairOpening, asking.opening)
        except MalformedError:
            raise EnvelopeError(seat=ask.seat) from None
        asker = member_of(self._view.state, sender)
        if asker is None or not verify(asker.keys.ledger, repair_to_sign(opening), asking.signature):
            raise EnvelopeError(seat=ask.seat)
        return opening, asking.at_height

    def _check_successor(self, sender: MemberId, author: MemberId) -> None:
        state = self._view.state
        if member_of(state, author) is not None or successor_of(state, author) != sender:
            raise NotSuccessorError(author=author, member=sender)

    def _behind(self, author: MemberId, batch_id: BatchId, ask: RepairAsk) -> tuple[Digest, Digest]:
        """The roots under which a batch is dealt to the epoch asked for, which is not its committee's current one."""
        state = self._view.state
        batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
        committee = committee_of(state, ask.committee)
        if (
            batch is None
            or dealing is None
            or committee is None
            or batch.committee != ask.committee
            or dealing.epoch != ask.epoch
            or dealing.epoch >= committee.epoch
        ):
            raise NotBehindError(batch_id=batch_id, epoch=ask.epoch)
        return batch.root, dealing.share_root

    def _held(self, author: MemberId, batch_id: BatchId, roots: tuple[Digest, Digest]) -> list[tuple[bytes, Holding]]:
        """What is held of the batch, but for patients whose cell is closed."""
        held = self._deposits.holdings_in(author, batch_id, roots)
        if held is None:
            raise NotHeldError(batch_id=batch_id)
        left: list[tuple[bytes, Holding]] = []
        for data, holding in held:
            status = self._policies.status_of(_subject(holding))
            if status is None or status is Status.FROZEN:
                raise RepairWaitsError(batch_id=batch_id)
            if status is not Status.CLOSED:
                left.append((data, holding))
        return left

    def _check_quota(self, author: MemberId, batch_id: BatchId) -> None:
        now = self._clock()
        if now - self._asked_since > DAY_MS:
            self._asked.clear()
            self._asked_since = now
        if self._asked[author, batch_id] >= ASKS_PER_DAY:
            raise QuotaError(asks_per_day=ASKS_PER_DAY)
        self._asked[author, batch_id] += 1

    # Who holds it now.

    async def accept(self, sender: MemberId, deposit: RepairDeposit) -> Deposited | DepositRefused:
        """Check, fetch ciphertext, log, store, sign. Safe to repeat: the same batch gives a receipt again.

        Raises, in this order:
            EnvelopeError: it does not open, is for another chain or seat, or its dealer did not sign it.
            NotSeatedError: this member does not hold the seat, or the epoch has passed.
            NotSuccessorError: the author is a member still, or another one succeeded it.
            DepositConflictError: no such batch is on the ledger, or under other roots.
            NotBehindError: it was never dealt to an earlier epoch.
            WitnessError: too few who held it before say that these are all of its records.
            InconsistentDealerError: headers, hashes or shares do not lead to the roots.
            NotHeldError: the vault has not all ciphertext yet that it is to keep.
            RepairWaitsError: a patient of the batch has frozen the record.
            StaleError, DepositConflictError, QuotaError: as from an author.
        """
        shares = self._opened_shares(sender, deposit)
        head = _head_of(shares)
        committee = self._deposits.seated(head)

        request_id = self._check_dealer(sender, shares)
        held = lay_out_repair(shares, len(committee.seats))
        if not await self.fetch_blobs(head.author, shares.batch_id, _blobs(shares)):
            raise NotHeldError(batch_id=shares.batch_id)

        def judge() -> None:
            self._check_dealer(sender, shares)
            if any(self._policies.status_of(one.subject) is Status.FROZEN for one in held):
                raise RepairWaitsError(batch_id=shares.batch_id)

        def note() -> None:
            parts = [(one.subject, one.indices) for one in held if not self._policies.is_closed(one.subject)]
            self._note(sender, request_id, head.author, shares.batch_id, parts)

        return await self._deposits.take(head, held, judge, note)

    def _opened_shares(self, sender: MemberId, deposit: RepairDeposit) -> RepairShares:
        chain = self._view.chain
        try:
            signed = decode(Signed, self._opening_key.open(deposit.sealed, info(chain, "repair deposit")))
            shares = decode(RepairShares, signed.body)
        except MalformedError:
            raise EnvelopeError(seat=deposit.seat) from None
        dealer = member_of(self._view.state, sender)
        if shares.chain != chain or shares.seat != deposit.seat or shares.dealer != sender or dealer is None:
            raise EnvelopeError(seat=deposit.seat)
        if not verify(dealer.keys.ledger, repair_shares_statement(signed.body), signed.signature):
            raise EnvelopeError(seat=deposit.seat)
        return shares

    def _check_dealer(self, sender: MemberId, shares: RepairShares) -> RequestId:
        """Whether it is this member's to deal this batch, by the state of now, and all of it is here; by which request
        it learned the keys."""
        state, author = self._view.state, MemberId(shares.author)
        self._check_successor(sender, author)
        batch = batch_of(state, author, shares.batch_id)
        if batch is None or batch.committee != shares.committee or batch.root != shares.root:
            raise DepositConflictError(batch_id=shares.batch_id)
        before = [one for one in dealings_of(state, author, shares.batch_id) if one.epoch < shares.epoch]
        if not before:
            raise NotBehindError(batch_id=shares.batch_id, epoch=shares.epoch)
        return self._check_witnesses(shares, before[-1])

    def _check_witnesses(self, shares: RepairShares, before: Dealing) -> RequestId:
        """One honest keeper of before has said which records there are: who leaves one out would destroy it."""
        committee = committee_at(self._view.state, shares.committee, before.epoch)
        assert committee is not None, "A batch was dealt to it."
        indices = indices_of([[entry.index for entry in part.entries] for part in shares.parts])
        place = (shares.chain, shares.author, shares.batch_id, shares.committee, before.epoch, indices)
        heard: dict[Seat, RequestId] = {}
        for witness in shares.witnesses:
            head = witness.head
            if head.seat in heard:
                continue
            holder = holder_of(committee, head.seat)
            entry = None if holder is None else member_of(self._view.state, holder.member)
            said = (head.chain, head.author, head.batch_id, head.committee, head.epoch, head.indices)
            if entry is None or said != place:
                continue
            if verify(entry.keys.keeper, repair_statement(head), witness.signature):
                heard[head.seat] = head.request_id
        if len(heard) <= faulty(len(committee.seats)):
            raise WitnessError(batch_id=shares.batch_id, heard=len(heard))
        return next(iter(heard.values()))

    # The log.

    def _note(
        self, sender: MemberId, request_id: RequestId, author: MemberId, batch_id: BatchId, parts: Sequence[Part]
    ) -> None:
        """An entry for each patient."""
        fills = [(one, self._fill(sender, request_id, author, batch_id, _two_bytes(indices))) for one, indices in parts]
        if fills:
            self._log.append_all(fills, b"")

    def _fill(
        self, sender: MemberId, request_id: RequestId, author: MemberId, batch_id: BatchId, indices: bytes
    ) -> Fill:
        def fill(number: int, subject_number: int, previous: Digest) -> LogEntry:
            return LogEntry(
                number=number,
                subject_number=subject_number,
                time=self._clock(),
                height=self._view.height,
                where=self._member,
                request_id=request_id,
                member=sender,
                credential_id=None,
                handle=None,
                kind=KIND,
                purpose=PURPOSE,
                reason="",
                released=((author, batch_id, indices),),
                withheld=(),
                previous=previous,
            )

        return fill


def lay_out_repair(shares: RepairShares, seats: int) -> tuple[HeldOf, ...]:
    """What is to be held of each patient, if headers lead to the batch's root and share hashes to the share root.

    Raises:
        InconsistentDealerError: as from `checking.lay_out` and `check_shares`; or a part that is not one patient's.
    """
    rows: dict[int, Digest] = {}
    subjects = [_laid_out(shares, part, seats, rows) for part in shares.parts]
    if len(set(subjects)) < len(subjects):
        raise InconsistentDealerError(reason="two parts of one patient")
    tree = row_levels(rows, shares.dummy_seed)
    if tree[-1] != shares.share_root:
        raise InconsistentDealerError(reason="share hashes do not lead to the share root")
    held: list[HeldOf] = []
    for subject, part in zip(subjects, shares.parts, strict=True):
        indices = tuple([entry.index for entry in part.entries])
        holding = Holding(part.entries, part.leaf_proof, prove_many(tree, indices))
        held.append(HeldOf(subject, indices, encode(holding)))
    return tuple(held)


def _laid_out(shares: RepairShares, part: RepairPart, seats: int, rows: dict[int, Digest]) -> SubjectId:
    """Whose a part is, if all of it is sound; its rows join the others."""
    leaves: dict[int, Digest] = {}
    whose: set[SubjectId] = set()
    start = DIGEST_BYTES * (shares.seat - 1)
    for entry in part.entries:
        index, hashes = entry.index, entry.share_hashes
        try:
            header = decode(Header, entry.header)
        except MalformedError:
            raise InconsistentDealerError(reason="no header", index=index) from None
        if header.record != RecordId(shares.author, shares.batch_id, index) or index in rows or index in leaves:
            raise InconsistentDealerError(reason="a header of another place", index=index)
        if len(hashes) != DIGEST_BYTES * seats:
            raise InconsistentDealerError(reason="not one share hash per seat", index=index)
        if len(entry.share) != SHARE_BYTES or sha256(entry.share).digest() != hashes[start : start + DIGEST_BYTES]:
            raise InconsistentDealerError(reason="a share is not its hash", index=index)
        leaves[index] = leaf(entry.salt, entry.header)
        rows[index] = share_row(hashes)
        whose.add(header.subject)
    if len(whose) != 1 or list(leaves) != sorted(leaves):
        raise InconsistentDealerError(reason="a part is not one patient's, by rising index")
    try:
        is_open = root_of_many(leaves, part.leaf_proof) == shares.root
    except MalformedError:
        is_open = False
    if not is_open:
        raise InconsistentDealerError(reason="headers do not lead to the root")
    return whose.pop()


def indices_of(parts: Iterable[Sequence[int]]) -> bytes:
    """Which records of a batch there are, patient by patient: two bytes each, rising."""
    return _two_bytes(sorted(index for part in parts for index in part))


def _two_bytes(indices: Iterable[int]) -> bytes:
    return b"".join([index.to_bytes(_INDEX_BYTES, "big") for index in indices])


def _subject(holding: Holding) -> SubjectId:
    return reopen(Header, holding.entries[0].header).subject


def _blobs(shares: RepairShares) -> list[Digest]:
    return [blob for part in shares.parts for entry in part.entries for blob in reopen(Header, entry.header).blobs]


def _head_of(shares: RepairShares) -> BatchHead:
    """The same as if the author had dealt it."""
    return BatchHead(
        chain=shares.chain,
        author=shares.author,
        batch_id=shares.batch_id,
        committee=shares.committee,
        epoch=shares.epoch,
        seat=shares.seat,
        root=shares.root,
        share_root=shares.share_root,
        dummy_seed=shares.dummy_seed,
        entries=msgspec.Raw(b""),
    )
