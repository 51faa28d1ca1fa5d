"""Sealing a batch, the author's side: from documents to records that are final and that no single party can read.

    0. A plan, durable with all keys, salts, headers and ciphertext here before anything leaves.
    1. Each document padded and encrypted under its own key; ciphertext in the author's own vault.
    2. Blobs into the vaults of f+1 seats; their signed receipts.
    3. Keys dealt to the seats, deterministically, so that dealing can be repeated.
    4. Headers with blinded terms.
    5. One envelope per seat; keepers check, store, sign. Indices they refuse become dummies, under the same batch id.
    6. `records.anchor` with a quorum's receipts: *sealed*. The outbox deals to the rest: *durable*.

Every step can be repeated; a crash anywhere leaves nothing or a whole batch (`resume`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from salus.contracts.members.messages import Committee
from salus.contracts.records.errors import (
    AlreadyOverriddenError,
    BatchNotFoundError,
    TargetInOwnBatchError,
    TargetTwiceError,
)
from salus.contracts.records.header import LEAVES_PER_BATCH, RecordId
from salus.contracts.records.messages import Anchor, SeatReceipt, Supersede, Withdraw
from salus.contracts.records.reads import batch_of
from salus.core.errors import SalusError, UnavailableError
from salus.core.ids import NO_DIGEST, BatchId, CommitteeId, Digest, FhirType, Height, MemberId, SubjectId
from salus.core.transport import Door, ask
from salus.core.wire import encode, reopen, replace
from salus.crypto.shares import quorum
from salus.keeper.keeper import HeldFound, HeldWanted
from salus.keeper.messages import DepositRefused
from salus.keeper.reconciling import BatchesLost, DealingAgain
from salus.sdk.author_store import AuthorStore, Plan, Stage, Supersedes
from salus.sdk.dealing import Dealer, Fresh, blobs_of
from salus.sdk.drafting import (
    CHANCE_BYTES,
    Drafted,
    OwnEntry,
    Setting,
    ToDraft,
    Tokens,
    ToSeal,
    by_index,
    draft_batches,
    seal_one,
)
from salus.sdk.errors import (
    LedgerRefusedError,
    NoSuchSubjectError,
    NothingToSealError,
    OwnStoreError,
    TooFewSeatsError,
)
from salus.sdk.gateway import Gateway, new_id, new_secret, seats_of
from salus.sdk.hands import Hands
from salus.sdk.links import Link
from salus.vault.vault import BlobStore

REFUSED_FOR_GOOD = {  # However often it is tried: what the batch would supersede is not there to be superseded.
    error.code for error in (AlreadyOverriddenError, BatchNotFoundError, TargetTwiceError, TargetInOwnBatchError)
}

_LOT_BYTES = 16  # By which indices are shuffled: two never draw the same.
_TOKENS_KEPT = 4_096  # Patients whose blinded terms are remembered.


@dataclass(frozen=True, slots=True, repr=False)
class NewDocument:
    """One document to be sealed. Terms are in clear here and nowhere after."""

    subject: SubjectId
    data: bytes  # As submitted; comes back byte for byte.
    fhir_type: FhirType
    terms: tuple[str, ...]
    explicit: tuple[str, ...]
    bits: int
    source: str  # The author's own id of the document: what makes an import repeatable.
    replaces: RecordId | None = None


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """What became of a batch."""

    records: Mapping[int, RecordId]  # By the document's place in the call; a refused one is missing.
    height: Height
    tx_id: Digest
    is_durable: bool  # Every seat holds its shares; else the outbox goes on.


@dataclass(slots=True)
class _Draft:
    """A batch in the making: own entries by subject, blobs, and which document stands where."""

    plan: Plan
    setting: Setting
    own: dict[SubjectId, list[OwnEntry]]
    fresh: Fresh
    places: dict[int, int]  # Document's place in the call → index.
    sources: list[tuple[bytes, bytes, int]]


class Author(Dealer):
    """The sealing half of a member's gateway."""

    def __init__(self, gateway: Gateway, store: AuthorStore, blobs: BlobStore, hands: Hands | None = None) -> None:
        super().__init__(gateway, store, blobs)
        self._hands = hands or Hands()
        self._under_way: set[BatchId] = set()  # Batches that a call works on: no other may begin with them.
        self._tokens: dict[tuple[SubjectId, bytes], Tokens] = {}

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        door.answer(BatchesLost, self.deal_again)

    async def deal_again(self, sender: MemberId, lost: BatchesLost) -> DealingAgain:
        """A keeper should hold batches and does not: the outbox deals them again, but for those it cannot deal."""
        known = [plan for plan in map(self._store.plan_of, lost.batches) if plan is not None]
        dealt = {plan.batch_id for plan in known if self._can_deal(plan, sender)}
        self._store.put_back(dealt)
        return DealingAgain(unknown=tuple(batch_id for batch_id in lost.batches if batch_id not in dealt))

    def _can_deal(self, plan: Plan, to: MemberId) -> bool:
        """Whether a member has a seat, and the plan is of the epoch of now: keepers take no shares of another."""
        committee = self._gateway.committee(plan.committee)
        return committee.epoch == plan.epoch and any(holder.member == to for holder in committee.seats)

    async def seal(self, documents: Sequence[NewDocument]) -> SealedBatch:
        """Seal up to 1,024 documents of patients of one committee; final on return.

        Raises, in this order:
            NoSuchSubjectError: this member is not linked to one of the patients.
            TooFewSeatsError: fewer than a quorum of keepers took the batch; `resume` goes on later.
            NothingToSealError: keepers refused every record.
            LedgerRefusedError: the ledger refused the batch.
        """
        assert 0 < len(documents) <= LEAVES_PER_BATCH, "A batch has 1 to 1,024 documents."
        committee_id = self._committee_of(documents)
        if self._hands.are_many:
            draft = await self._drafted(documents, committee_id)
        else:
            draft = self._draft(documents, committee_id)
        self._blobs.keep(self._gateway.member, draft.plan.batch_id, draft.fresh.blobs)
        self._store.keep_plan(draft.plan, draft.own, draft.sources)
        with self._working_on(draft.plan.batch_id, draft.fresh):
            plan, is_durable = await self._carry_out(draft.plan, draft.own)
        own = {entry.index for entries in draft.own.values() for entry in entries}
        author = self._gateway.member
        records = {
            place: RecordId(author, plan.batch_id, index) for place, index in draft.places.items() if index in own
        }
        return SealedBatch(records=records, height=plan.height, tx_id=plan.tx_id, is_durable=is_durable)

    async def withdraw(self, record: RecordId) -> Digest:
        """Take an own record out of use; the transaction's id."""
        tx_id, _ = await self._gateway.sponsor(Withdraw(batch_id=record.batch_id, index=record.index))
        return tx_id

    async def resume(self) -> int:
        """Go on with every plan that a crash or absent keepers left unfinished; how many were finished.

        Plans that cannot go on yet wait for the next call; what the ledger or the keepers refuse for good is forgotten.

        Raises:
            OwnStoreError: what was kept of a plan is not whole, or not what the ledger holds.
        """
        finished = 0
        for plan in self._store.plans(Stage.PLANNED):
            if plan.batch_id in self._under_way:
                continue
            try:
                with self._working_on(plan.batch_id):
                    finished += await self._resumed(plan)
            except UnavailableError:
                continue
            except (NothingToSealError, LedgerRefusedError):
                continue
        return finished

    async def _resumed(self, plan: Plan) -> bool:
        own = self._own_by_subject(plan)
        final = batch_of(self._gateway.view.state, self._gateway.member, plan.batch_id)
        if final is None:
            self._check_own_blobs(plan, own)
            await self._carry_out(plan, own)
        elif (final.root, final.share_root) != (plan.root, plan.share_root):
            raise OwnStoreError(reason="the ledger holds this batch under other roots", batch_id=plan.batch_id)
        else:
            self._store.set_stage(replace(plan, height=final.height), Stage.FINAL)
        return True

    async def work_outbox(self) -> int:
        """Deal to seats that miss a final batch; how many batches became durable."""
        done = 0
        for plan in self._store.plans(Stage.FINAL):
            if plan.batch_id in self._under_way:
                continue
            own = self._own_by_subject(plan)
            committee = self._gateway.committee(plan.committee)
            if committee.epoch != plan.epoch:
                continue  # To be dealt again first: `redealing.py`.
            are_blobs_kept = await self._put_blobs(plan, own, committee)
            receipts = await self._deposit(plan, own, committee)
            are_shares_held = not isinstance(receipts, DepositRefused) and len(receipts) == len(committee.seats)
            if are_blobs_kept and are_shares_held:
                self._store.set_stage(plan, Stage.DURABLE)
                done += 1
        return done

    async def audit(self) -> int:
        """Ask every seat which durable batches it has lost, and put those back into the outbox; how many."""
        plans = self._store.plans(Stage.DURABLE)
        wanted = HeldWanted(batches=tuple((plan.batch_id, plan.root, plan.share_root) for plan in plans))
        lost: set[bytes] = set()
        for member in {h.member for p in plans for _, h in seats_of(self._gateway.committee(p.committee))}:
            try:
                found = await ask(self._gateway.transport, member, wanted, HeldFound)
            except SalusError:
                continue
            lost |= set(found.missing)
        self._store.put_back(lost)
        return len(lost)

    def was_sealed(self, subject: SubjectId, source: str, data: bytes) -> RecordId | None:
        """The record that this source and content became, if it was sealed before."""
        found = self._store.source(self._store.source_key(subject, source))
        if found is None or found[0] != self._store.keyed("content", sha256(data).digest()):
            return None
        return RecordId(self._gateway.member, found[1], found[2])

    def unfinished(self) -> set[BatchId]:
        """Batches that are planned and not final yet: `resume` goes on with them."""
        return {plan.batch_id for plan in self._store.plans(Stage.PLANNED)}

    def version_of(self, subject: SubjectId, source: str) -> RecordId | None:
        """The newest record of this source, whatever its content: what a changed document replaces."""
        found = self._store.source(self._store.source_key(subject, source))
        return None if found is None else RecordId(self._gateway.member, found[1], found[2])

    def sealed_before(self, documents: Sequence[NewDocument]) -> list[tuple[RecordId | None, bool]]:
        """For each document the newest record of its source, if there is one, and whether it has the same content."""
        keys = [self._store.source_key(document.subject, document.source) for document in documents]
        known = self._store.sources(keys)
        return [self._before(document, known.get(key)) for document, key in zip(documents, keys, strict=True)]

    def _before(self, document: NewDocument, found: tuple[bytes, BatchId, int] | None) -> tuple[RecordId | None, bool]:
        if found is None:
            return None, False
        content, batch_id, index = found
        is_same = content == self._store.keyed("content", sha256(document.data).digest())
        return RecordId(self._gateway.member, batch_id, index), is_same

    # Steps 0 to 4.

    def _committee_of(self, documents: Sequence[NewDocument]) -> CommitteeId:
        committees: set[CommitteeId] = set()
        for subject in {document.subject for document in documents}:
            link = self._store.link_of(subject)
            if link is None:
                raise NoSuchSubjectError(member=self._gateway.member)
            committees.add(link.committee)
        assert len(committees) == 1, "Documents of several committees go in batches of their own."
        return committees.pop()

    def _draft(self, documents: Sequence[NewDocument], committee_id: CommitteeId) -> _Draft:
        """A batch, drafted here and now."""
        committee = self._gateway.committee(committee_id)
        draft = self._begun(committee_id, committee)
        for document, (index, chance) in zip(documents, _drawn(len(documents)), strict=True):
            self._add(draft, document, index, chance)
        for entries in draft.own.values():
            entries.sort(key=lambda entry: entry.index)
        root, share_root = self._roots(draft.plan, draft.own, committee, draft.fresh)
        return self._completed(draft, documents, root, share_root)

    async def _drafted(self, documents: Sequence[NewDocument], committee_id: CommitteeId) -> _Draft:
        """As `_draft`, with all arithmetic done by other hands."""
        committee = self._gateway.committee(committee_id)
        draft = self._begun(committee_id, committee)
        drawn = _drawn(len(documents))
        order = ToDraft(
            setting=draft.setting,
            term_keys={subject: self._link(subject).term_key for subject in {one.subject for one in documents}},
            members=tuple(holder.member for holder in committee.seats),
            documents=tuple([_to_seal(one, *chosen) for one, chosen in zip(documents, drawn, strict=True)]),
        )
        done = reopen(Drafted, await self._hands.carry(draft_batches, encode(order)))
        draft.own.update((subject, list(entries)) for subject, entries in done.own.items())
        draft.fresh.blobs.update(done.blobs)
        draft.fresh.vaults = done.vaults
        draft.fresh.dealt = draft.plan.epoch, by_index(draft.own), list(done.shares), list(done.hashes)
        for document, (index, _), content in zip(documents, drawn, done.contents, strict=True):
            self._note(draft, document, index, content)
        return self._completed(draft, documents, done.root, done.share_root)

    def _begun(self, committee_id: CommitteeId, committee: Committee) -> _Draft:
        plan = Plan(
            batch_id=new_id(),
            committee=committee_id,
            epoch=committee.epoch,
            dummy_seed=new_secret(),
            root=NO_DIGEST,
            share_root=NO_DIGEST,
            supersedes=(),
            height=0,
            tx_id=NO_DIGEST,
        )
        return _Draft(
            plan=plan, setting=self._setting(plan, committee), own={}, fresh=Fresh(blobs={}), places={}, sources=[]
        )

    def _completed(self, draft: _Draft, documents: Sequence[NewDocument], root: Digest, share_root: Digest) -> _Draft:
        draft.places = {place: index for place, (_, _, index) in enumerate(draft.sources)}
        supersedes = tuple(
            Supersedes(batch_id=d.replaces.batch_id, index=d.replaces.index, successor_index=draft.places[place])
            for place, d in enumerate(documents)
            if d.replaces is not None
        )
        draft.plan = replace(draft.plan, root=root, share_root=share_root, supersedes=supersedes)
        return draft

    def _add(self, draft: _Draft, document: NewDocument, index: int, chance: bytes) -> None:
        """Seal one document into a draft."""
        tokens = self._tokens_of(document.subject)
        entry, blobs = seal_one(draft.setting, _to_seal(document, index, chance), tokens)
        draft.fresh.blobs.update(blobs)
        draft.own.setdefault(document.subject, []).append(entry)
        self._note(draft, document, index, sha256(document.data).digest())

    def _note(self, draft: _Draft, document: NewDocument, index: int, content: Digest) -> None:
        """From which source and content a record comes."""
        source = self._store.source_key(document.subject, document.source)
        draft.sources.append((source, self._store.keyed("content", content), index))

    def _link(self, subject: SubjectId) -> Link:
        link = self._store.link_of(subject)
        assert link is not None, "Links were checked before."
        return link

    def _tokens_of(self, subject: SubjectId) -> Tokens:
        term_key = self._link(subject).term_key
        tokens = self._tokens.get((subject, term_key))
        if tokens is None:
            if len(self._tokens) >= _TOKENS_KEPT:
                self._tokens.clear()
            tokens = self._tokens[subject, term_key] = Tokens(term_key)
        return tokens

    # Steps 2, 5 and 6.

    async def _carry_out(self, plan: Plan, own: dict[SubjectId, list[OwnEntry]]) -> tuple[Plan, bool]:
        """Blobs, envelopes, anchor, as often as keepers name indices that must become dummies."""
        committee = self._gateway.committee(plan.committee)
        if committee.epoch != plan.epoch:
            plan = replace(plan, epoch=committee.epoch)
            plan = self._replanned(plan, own, committee)
        are_blobs_kept = await self._put_blobs(plan, own, committee)
        receipts = await self._deposit(plan, own, committee)
        while isinstance(receipts, DepositRefused):
            self._leave_out(plan, own, receipts.indices)
            plan = self._replanned(plan, own, committee)
            receipts = await self._deposit(plan, own, committee)
        if len(receipts) < quorum(len(committee.seats)):
            raise TooFewSeatsError(answered=len(receipts), needed=quorum(len(committee.seats)))
        tx_id, height = await self._anchored(plan, receipts)
        plan = replace(plan, height=height, tx_id=tx_id)
        is_durable = are_blobs_kept and len(receipts) == len(committee.seats)
        self._store.set_stage(plan, Stage.DURABLE if is_durable else Stage.FINAL)
        return plan, is_durable

    async def _anchored(self, plan: Plan, receipts: Sequence[SeatReceipt]) -> tuple[Digest, Height]:
        """Put the batch on the ledger. What a rule refuses for good is forgotten, so that its sources can be sealed."""
        try:
            return await self._gateway.sponsor(self._anchor(plan, receipts))
        except LedgerRefusedError as error:
            if error.said in REFUSED_FOR_GOOD:
                self._store.abandon(plan.batch_id)
            raise

    @contextmanager
    def _working_on(self, batch_id: BatchId, fresh: Fresh | None = None) -> Iterator[None]:
        self._under_way.add(batch_id)
        if fresh is not None:
            self._fresh[batch_id] = fresh
        try:
            yield
        finally:
            self._under_way.discard(batch_id)
            self._fresh.pop(batch_id, None)

    def _leave_out(self, plan: Plan, own: dict[SubjectId, list[OwnEntry]], indices: Sequence[int]) -> None:
        gone = set(indices)
        for subject in list(own):
            own[subject] = [entry for entry in own[subject] if entry.index not in gone]
            if not own[subject]:
                del own[subject]
        if not own:
            self._store.abandon(plan.batch_id)
            raise NothingToSealError(records=len(gone))

    def _replanned(self, plan: Plan, own: dict[SubjectId, list[OwnEntry]], committee: Committee) -> Plan:
        """The same batch id and indices over what is left, with new roots, durable."""
        root, share_root = self._roots(plan, own, committee)
        left = {entry.index for entries in own.values() for entry in entries}
        supersedes = tuple(one for one in plan.supersedes if one.successor_index in left)
        plan = replace(plan, root=root, share_root=share_root, supersedes=supersedes)
        sources = [row for row in self._store.sources_of(plan.batch_id) if row[2] in left]
        self._store.keep_plan(plan, own, sources)
        return plan

    def _anchor(self, plan: Plan, receipts: Sequence[SeatReceipt]) -> Anchor:
        return Anchor(
            batch_id=plan.batch_id,
            root=plan.root,
            share_root=plan.share_root,
            committee=plan.committee,
            epoch=plan.epoch,
            receipts=tuple(receipts),
            supersedes=tuple(
                Supersede(batch_id=one.batch_id, index=one.index, successor_index=one.successor_index)
                for one in plan.supersedes
            ),
        )

    def _own_by_subject(self, plan: Plan) -> dict[SubjectId, list[OwnEntry]]:
        return self._store.own_by_subject(plan.batch_id)

    def _check_own_blobs(self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]]) -> None:
        if None in self._blobs.read(self._gateway.member, plan.batch_id, blobs_of(by_index(own))):
            raise OwnStoreError(reason="ciphertext of a plan is missing", batch_id=plan.batch_id)


def _drawn(count: int) -> list[tuple[int, bytes]]:
    """An index and the chance for each of some documents."""
    shuffling = os.urandom(_LOT_BYTES * LEAVES_PER_BATCH)
    lots = [shuffling[at : at + _LOT_BYTES] for at in range(0, len(shuffling), _LOT_BYTES)]
    indices = sorted(range(LEAVES_PER_BATCH), key=lots.__getitem__)[:count]
    randomness = os.urandom(CHANCE_BYTES * count)  # In one go: asked for each, it costs a step each.
    return [(index, randomness[CHANCE_BYTES * at : CHANCE_BYTES * (at + 1)]) for at, index in enumerate(indices)]


def _to_seal(document: NewDocument, index: int, chance: bytes) -> ToSeal:
    return ToSeal(
        index=index,
        chance=chance,
        subject=document.subject,
        data=document.data,
        fhir_type=document.fhir_type,
        terms=document.terms,
        explicit=document.explicit,
        bits=document.bits,
        replaces=document.replaces,
    )
