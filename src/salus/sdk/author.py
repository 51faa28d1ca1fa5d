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

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from salus.contracts.consent import padded as padded_explicit
from salus.contracts.members.messages import Committee
from salus.contracts.records.batch import (
    DIGEST_BYTES,
    document_context,
    key_commitment,
    leaf_levels,
    row_levels,
    share_context,
    share_contexts_prefix,
    share_row,
)
from salus.contracts.records.header import LEAVES_PER_BATCH, Header, RecordId, leaf
from salus.contracts.records.messages import Anchor, SeatReceipt, Supersede, Withdraw
from salus.contracts.records.reads import batch_of
from salus.core.errors import SalusError
from salus.core.ids import (
    NO_DIGEST,
    CommitteeId,
    Digest,
    FhirType,
    Height,
    MemberId,
    Seat,
    SubjectId,
    Token,
)
from salus.core.transport import ask
from salus.core.wire import encode, reopen, replace
from salus.crypto.digests import blind
from salus.crypto.documents import seal_chunks
from salus.crypto.hpke import seal
from salus.crypto.shares import deal_batch, quorum, threshold
from salus.keeper.keeper import HeldFound, HeldWanted
from salus.keeper.messages import (
    BatchShares,
    Deposit,
    Deposited,
    DepositRefused,
    Entry,
    PolicyDeposit,
    Signed,
    batch_statement,
    info,
)
from salus.sdk.author_store import AuthorStore, OwnEntry, Plan, Stage, Supersedes
from salus.sdk.consent import deposit_with
from salus.sdk.errors import NoSuchSubjectError, NothingToSealError, OwnStoreError, TooFewSeatsError
from salus.sdk.gateway import Gateway, new_id, new_secret, seats_of
from salus.vault.messages import BlobsKept, PutBlobs
from salus.vault.places import keepers_of
from salus.vault.vault import BlobStore

TERM_BUCKET = 8


@dataclass(frozen=True, slots=True)
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
    own: dict[SubjectId, list[OwnEntry]]
    blobs: dict[Digest, bytes]
    places: dict[int, int]  # Document's place in the call → index.
    sources: list[tuple[bytes, bytes, int]]


class Author:
    """The sealing half of a member's gateway."""

    def __init__(self, gateway: Gateway, store: AuthorStore, blobs: BlobStore) -> None:
        self._gateway = gateway
        self._store = store
        self._blobs = blobs  # The member's own vault, on its own disk.
        self._tokens: dict[tuple[SubjectId, bytes], dict[str, Token]] = {}

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
        draft = self._draft(documents, committee_id)
        self._blobs.keep(self._gateway.member, draft.plan.batch_id, draft.blobs)
        self._store.keep_plan(draft.plan, draft.own, draft.sources)
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
        """Go on with every plan that a crash or absent keepers left unfinished; how many were finished."""
        finished = 0
        for plan in self._store.plans(Stage.PLANNED):
            if batch_of(self._gateway.view.state, self._gateway.member, plan.batch_id) is not None:
                self._store.set_stage(plan, Stage.FINAL)
                finished += 1
                continue
            own = self._own_by_subject(plan)
            self._check_own_blobs(plan, own)
            await self._carry_out(plan, own)
            finished += 1
        return finished

    async def work_outbox(self) -> int:
        """Deal to seats that miss a final batch; how many batches became durable."""
        done = 0
        for plan in self._store.plans(Stage.FINAL):
            own = self._own_by_subject(plan)
            committee = self._gateway.committee(plan.committee)
            await self._put_blobs(plan, own, committee)
            receipts = await self._deposit(plan, own, committee)
            if not isinstance(receipts, DepositRefused) and len(receipts) == len(committee.seats):
                self._store.set_stage(plan, Stage.DURABLE)
                done += 1
        return done

    async def audit(self) -> int:
        """Ask every seat which durable batches it has lost, and put those back into the outbox; how many."""
        plans = self._store.plans(Stage.DURABLE)
        wanted = HeldWanted(batches=tuple((plan.batch_id, plan.root) for plan in plans))
        lost: set[bytes] = set()
        for member in {h.member for p in plans for _, h in seats_of(self._gateway.committee(p.committee))}:
            try:
                found = await ask(self._gateway.transport, member, wanted, HeldFound)
            except SalusError:
                continue
            lost |= set(found.missing)
        for plan in plans:
            if plan.batch_id in lost:
                self._store.set_stage(plan, Stage.FINAL)
        return len(lost)

    def was_sealed(self, subject: SubjectId, source: str, data: bytes) -> RecordId | None:
        """The record that this source and content became, if it was sealed before."""
        found = self._store.source(self._source_key(subject, source))
        if found is None or found[0] != self._store.keyed("content", sha256(data).digest()):
            return None
        return RecordId(self._gateway.member, found[1], found[2])

    def version_of(self, subject: SubjectId, source: str) -> RecordId | None:
        """The newest record of this source, whatever its content: what a changed document replaces."""
        found = self._store.source(self._source_key(subject, source))
        return None if found is None else RecordId(self._gateway.member, found[1], found[2])

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
        committee = self._gateway.committee(committee_id)
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
        draft = _Draft(plan=plan, own={}, blobs={}, places={}, sources=[])
        indices = secrets.SystemRandom().sample(range(LEAVES_PER_BATCH), len(documents))
        randomness = os.urandom(64 * len(documents))
        for place, (document, index) in enumerate(zip(documents, indices, strict=True)):
            chance = randomness[64 * place : 64 * place + 64]
            self._add(draft, document, index, key=chance[:32], salt=chance[32:])
            draft.places[place] = index
        for entries in draft.own.values():
            entries.sort(key=lambda entry: entry.index)
        supersedes = tuple(
            Supersedes(batch_id=d.replaces.batch_id, index=d.replaces.index, successor_index=draft.places[place])
            for place, d in enumerate(documents)
            if d.replaces is not None
        )
        root, share_root = self._roots(plan, draft.own, committee)
        draft.plan = replace(plan, root=root, share_root=share_root, supersedes=supersedes)
        return draft

    def _add(self, draft: _Draft, document: NewDocument, index: int, *, key: bytes, salt: bytes) -> None:
        record = RecordId(self._gateway.member, draft.plan.batch_id, index)
        chain = self._gateway.chain
        sealed = seal_chunks(key, document_context(chain, record), document.data)
        blobs = tuple(sha256(blob).digest() for blob in sealed)
        draft.blobs.update(zip(blobs, sealed, strict=True))
        terms, explicit = self._blinded(document)
        header = Header(
            subject=document.subject,
            record=record,
            replaces=document.replaces,
            blobs=blobs,
            size_bytes=len(document.data),
            key_com=key_commitment(chain=chain, record=record, key=key),
            fhir_type=document.fhir_type,
            terms=terms,
            explicit=explicit,
            bits=document.bits,
        )
        entry = OwnEntry(index=index, key=key, salt=salt, header=encode(header))
        draft.own.setdefault(document.subject, []).append(entry)
        content = self._store.keyed("content", sha256(document.data).digest())
        draft.sources.append((self._source_key(document.subject, document.source), content, index))

    def _blinded(self, document: NewDocument) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        link = self._store.link_of(document.subject)
        assert link is not None, "Links were checked before."
        tokens = self._tokens.get((document.subject, link.term_key))
        if tokens is None:
            if len(self._tokens) >= 4096:
                self._tokens.clear()
            tokens = self._tokens[document.subject, link.term_key] = {}

        def token(term: str) -> Token:
            known = tokens.get(term)
            if known is None:
                known = tokens[term] = blind(link.term_key, term)
            return known

        missing = -len(document.terms) % TERM_BUCKET if document.terms else TERM_BUCKET
        filling = [token(f"padding:{number}") for number in range(missing)]
        terms = tuple(sorted([*map(token, document.terms), *filling]))
        return terms, padded_explicit(tuple(token(term) for term in document.explicit))

    def _roots(
        self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee
    ) -> tuple[Digest, Digest]:
        entries = _by_index(own)
        _, hashes = self._dealt(plan, entries, committee)
        leaves = {entry.index: leaf(entry.salt, entry.header) for entry in entries}
        rows = {entry.index: share_row(one) for entry, one in zip(entries, hashes, strict=True)}
        return leaf_levels(leaves, plan.dummy_seed)[-1], row_levels(rows, plan.dummy_seed)[-1]

    def _dealt(self, plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> tuple[list[bytes], list[bytes]]:
        """Shares per seat (32 bytes per entry, joined), and per entry the joined hashes of all seats' shares."""
        seats = len(committee.seats)
        prefix = share_contexts_prefix(
            chain=self._gateway.chain,
            author=self._gateway.member,
            batch_id=plan.batch_id,
            committee=plan.committee,
            epoch=plan.epoch,
            seats=seats,
            threshold=threshold(seats),
        )
        contexts = [share_context(prefix, entry.index) for entry in entries]
        shares = deal_batch([entry.key for entry in entries], contexts, seats=seats, threshold=threshold(seats))
        ends = range(0, DIGEST_BYTES * len(entries), DIGEST_BYTES)
        hashes = [b"".join([sha256(blob[at : at + DIGEST_BYTES]).digest() for blob in shares]) for at in ends]
        return shares, hashes

    # Steps 2, 5 and 6.

    async def _carry_out(self, plan: Plan, own: dict[SubjectId, list[OwnEntry]]) -> tuple[Plan, bool]:
        """Blobs, envelopes, anchor, as often as keepers name indices that must become dummies."""
        committee = self._gateway.committee(plan.committee)
        if committee.epoch != plan.epoch:
            plan = replace(plan, epoch=committee.epoch)
            plan = self._replanned(plan, own, committee)
        await self._put_blobs(plan, own, committee)
        receipts = await self._deposit(plan, own, committee)
        while isinstance(receipts, DepositRefused):
            self._leave_out(plan, own, receipts.indices)
            plan = self._replanned(plan, own, committee)
            receipts = await self._deposit(plan, own, committee)
        if len(receipts) < quorum(len(committee.seats)):
            raise TooFewSeatsError(answered=len(receipts), needed=quorum(len(committee.seats)))
        tx_id, height = await self._gateway.sponsor(self._anchor(plan, receipts))
        plan = replace(plan, height=height, tx_id=tx_id)
        is_durable = len(receipts) == len(committee.seats)
        self._store.set_stage(plan, Stage.DURABLE if is_durable else Stage.FINAL)
        return plan, is_durable

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

    async def _put_blobs(self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee) -> None:
        members = [holder.member for holder in committee.seats]
        digests = [blob for entry in _by_index(own) for blob in reopen(Header, entry.header).blobs]
        by_vault: dict[MemberId, list[Digest]] = {}
        for digest in digests:
            for member in keepers_of(digest, members):
                by_vault.setdefault(member, []).append(digest)
        by_vault.pop(self._gateway.member, None)  # The own vault has them all.
        await asyncio.gather(*(self._put(plan, member, wanted) for member, wanted in by_vault.items()))

    async def _put(self, plan: Plan, member: MemberId, digests: list[Digest]) -> bool:
        read = self._blobs.read(self._gateway.member, plan.batch_id, digests)
        put = PutBlobs(batch_id=plan.batch_id, blobs=tuple(blob for blob in read if blob is not None))
        try:
            await ask(self._gateway.transport, member, put, BlobsKept)
        except SalusError:
            return False  # Away: that vault repairs itself from the others later.
        return True

    async def _deposit(
        self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee
    ) -> list[SeatReceipt] | DepositRefused:
        """Envelopes to all seats: receipts by rising seat, or the indices that a quorum will not take."""
        entries = _by_index(own)
        shares, hashes = self._dealt(plan, entries, committee)
        replies = await asyncio.gather(
            *(
                self._deposit_one(plan, own, entries, shares[seat - 1], hashes, seat, committee)
                for seat, _ in seats_of(committee)
            ),
            return_exceptions=True,
        )
        receipts = [
            SeatReceipt(seat=reply.seat, good_until=reply.good_until, signature=reply.signature)
            for reply in replies
            if isinstance(reply, Deposited)
        ]
        refused = [reply for reply in replies if isinstance(reply, DepositRefused)]
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, SalusError):
                raise reply
        if len(receipts) < quorum(len(committee.seats)) and refused:
            return DepositRefused(indices=tuple(sorted({index for reply in refused for index in reply.indices})))
        return receipts

    async def _deposit_one(
        self,
        plan: Plan,
        own: Mapping[SubjectId, list[OwnEntry]],
        entries: Sequence[OwnEntry],
        shares: bytes,
        hashes: Sequence[bytes],
        seat: Seat,
        committee: Committee,
    ) -> Deposited | DepositRefused:
        body = encode(
            BatchShares(
                chain=self._gateway.chain,
                author=self._gateway.member,
                batch_id=plan.batch_id,
                committee=plan.committee,
                epoch=plan.epoch,
                seat=seat,
                root=plan.root,
                share_root=plan.share_root,
                dummy_seed=plan.dummy_seed,
                entries=tuple(
                    Entry(
                        index=entry.index,
                        salt=entry.salt,
                        header=entry.header,
                        share=shares[DIGEST_BYTES * place : DIGEST_BYTES * (place + 1)],
                        share_hashes=hashes[place],
                    )
                    for place, entry in enumerate(entries)
                ),
            )
        )
        signed = Signed(body=body, signature=self._gateway.key.sign(batch_statement(body)))
        holder = committee.seats[seat - 1]
        deposit = Deposit(seat=seat, sealed=seal(holder.sealing, encode(signed), info(self._gateway.chain, "deposit")))
        reply = await self._ask_seat(holder.member, deposit)
        if isinstance(reply, DepositRefused) and await self._remind_of_policies(reply, own, seat, committee):
            reply = await self._ask_seat(holder.member, deposit)
        return reply

    async def _ask_seat(self, member: MemberId, deposit: Deposit) -> Deposited | DepositRefused:
        reply = await ask(self._gateway.transport, member, deposit, Deposited, DepositRefused)
        assert isinstance(reply, Deposited | DepositRefused)
        return reply

    async def _remind_of_policies(
        self, refused: DepositRefused, own: Mapping[SubjectId, list[OwnEntry]], seat: Seat, committee: Committee
    ) -> bool:
        """A keeper that lost its store knows no policy: send the versions held here; whether there were any."""
        gone = set(refused.indices)
        sent = False
        for subject, entries in own.items():
            copy = self._store.copy(subject) if any(entry.index in gone for entry in entries) else None
            if copy is None:
                continue
            deposit = PolicyDeposit(policy=copy[0], evidence=None, cosignature=None)
            try:
                await deposit_with(self._gateway, seat, committee.seats[seat - 1], deposit)
            except SalusError:
                continue  # Not the version in force: the keeper was right to refuse.
            sent = True
        return sent

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
        own: dict[SubjectId, list[OwnEntry]] = {}
        for entries in self._store.own_of_batch(plan.batch_id).values():
            for entry in entries:
                own.setdefault(reopen(Header, entry.header).subject, []).append(entry)
        return own

    def _check_own_blobs(self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]]) -> None:
        digests = [blob for entry in _by_index(own) for blob in reopen(Header, entry.header).blobs]
        if None in self._blobs.read(self._gateway.member, plan.batch_id, digests):
            raise OwnStoreError(reason="ciphertext of a plan is missing", batch_id=plan.batch_id)

    def _source_key(self, subject: SubjectId, source: str) -> bytes:
        return self._store.keyed("source", subject + source.encode())


def _by_index(own: Mapping[SubjectId, list[OwnEntry]]) -> list[OwnEntry]:
    return sorted((entry for entries in own.values() for entry in entries), key=lambda entry: entry.index)
