"""Dealing a departed author's batches to a committee's new epoch: the part of the member that succeeded it.

The author took its keys along. For each of its batches that lies with the keepers of before:

    1. A request on the ledger, then its opening to those keepers: each logs it for every patient, and answers with its
       shares and with its word on which records there are.
    2. Everything is checked as a reader checks it: paths to the roots, shares to their hashes, `t` shares to a key, the
       key dealt again and against `key_com`. Headers are seen, documents are not: no vault gives ciphertext for it.
    3. What was learned is durable here, then dealt to those who sit there now: their vaults fetch the ciphertext.
    4. `records.attest` in the author's name, with receipts of a quorum and of whoever is to keep some ciphertext of it.
       Old shares are destroyed, as ever.
    5. Once every seat has its shares, all that was learned is forgotten.

Dealing follows from the keys alone, so a crash anywhere is mended by beginning again. Who may do all this, each keeper
judges for itself (`keeper/repairs.py`).
"""

import os
from collections.abc import Collection, Mapping, Sequence

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_at, committee_of, departures, member_of
from salus.contracts.members.tables import COMMITTEES
from salus.contracts.reads.messages import Request
from salus.contracts.reads.opening import RepairOpening, repair_commitment, repair_to_sign, reply_key_digest
from salus.contracts.records.batch import DIGEST_BYTES, key_commitment, repair_seed, row_levels, share_row
from salus.contracts.records.header import Header, RecordId
from salus.contracts.records.messages import Attest, SeatReceipt
from salus.contracts.records.reads import batch_of, dealer_of, dealing_of
from salus.contracts.records.tables import BATCHES, Batch, Dealing
from salus.core.errors import SalusError
from salus.core.ids import (
    DAY_MS,
    MINUTE_MS,
    NO_DIGEST,
    BatchId,
    Epoch,
    MemberId,
    SealingKey,
    Seat,
    SubjectId,
    TimeMs,
)
from salus.core.transport import ask
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.shares import combine, threshold
from salus.keeper.messages import (
    Deposited,
    DepositRefused,
    RepairAsk,
    RepairAsking,
    RepairDeposit,
    RepairPart,
    RepairShares,
    SealedAnswer,
    Signed,
    info,
    repair_shares_statement,
)
from salus.sdk.author_store import AuthorStore, Plan, Repair, RepairOf
from salus.sdk.dealing import Dealer, entries_of_seat
from salus.sdk.drafting import OwnEntry, Setting, by_index, deal_entries
from salus.sdk.enough import Asked
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.gateway import Gateway, new_id, new_secret
from salus.sdk.telling import Telling, Told, subject_of
from salus.sdk.views import Findings
from salus.vault.places import keepers_of
from salus.vault.vault import BlobStore

AT_ONCE_MAX = 16  # Batches in one round: what else is due comes in between.
REQUEST_MS = 10 * MINUTE_MS
AGAIN_MS = 15 * MINUTE_MS  # Before keepers are asked once more, then twice as long: each time patients' logs grow.

Place = tuple[MemberId, BatchId]
Attempt = tuple[Place, Epoch]


class Repairer:
    """The half of a gateway that stands in for authors whose successor its member is."""

    def __init__(self, gateway: Gateway, store: AuthorStore, blobs: BlobStore) -> None:
        self._gateway = gateway
        self._store = store
        self._blobs = blobs
        self._settled: object = None  # The committees' epochs, and who had left, when nothing was left to do.
        self._tries: dict[Attempt, tuple[int, TimeMs]] = {}  # How often, and when again.
        self._round = 0
        self._worked_at: dict[Place, int] = {}  # In which round a batch had its turn last.
        self.findings = Findings()  # Who lied: keepers of before, keepers of now, dealers.

    async def work(self) -> int:
        """One round; how many batches were dealt again. What cannot be done yet waits for a later one."""
        turn = self._turn()
        if turn == self._settled:
            return 0
        for place in self._store.repairs():
            await self._finish(place)
        behind = self.behind()
        done = 0
        self._round += 1
        for place in behind[:AT_ONCE_MAX]:
            self._worked_at[place] = self._round
            try:
                done += await self._repair(*place)
            except SalusError:
                continue  # Keepers or the ledger are away, or something has moved on again.
        if not behind and not self._store.repairs():
            self._settled = turn
        return done

    def behind(self) -> list[Place]:
        """Batches of authors that this member has succeeded, dealt to an earlier epoch than their committee is at.

        Those that can be tried now come first, and of these whose turn was longest ago: none keeps others waiting.
        """
        state, now, known = self._gateway.view.state, self._gateway.clock(), set(self._store.repairs())
        found: list[tuple[bool, int, Place]] = []
        for author, gone in departures(state):
            if gone.successor != self._gateway.member:
                continue
            for (_, batch_id), batch in BATCHES.items(state, author):
                dealing, committee = dealing_of(state, author, batch_id), committee_of(state, batch.committee)
                if dealing is not None and committee is not None and dealing.epoch < committee.epoch:
                    place = (author, batch_id)
                    _, again_at = self._tries.get((place, committee.epoch), (0, 0))
                    waits = now < again_at and place not in known  # What is known can be dealt meanwhile.
                    found.append((waits, self._worked_at.get(place, 0), place))
        return [place for _, _, place in sorted(found)]

    def _turn(self) -> object:
        state = self._gateway.view.state
        epochs = tuple((id, committee.epoch) for id, committee in COMMITTEES.items(state))
        return epochs, tuple((author, gone.successor) for author, gone in departures(state))

    async def _repair(self, author: MemberId, batch_id: BatchId) -> bool:
        """Learn one batch's keys unless they are here, deal it, say so; whether it is dealt again.

        Raises:
            TooFewSeatsError: too few keepers of before answered.
            RefusalError, UnavailableError: the ledger does not take it now.
        """
        state = self._gateway.view.state
        batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
        if batch is None or dealing is None:
            return False
        committee = self._gateway.committee(batch.committee)
        repair = self._store.repair(author, batch_id)
        if repair is not None and repair.plan.epoch != committee.epoch:
            repair = None
        attempt = ((author, batch_id), committee.epoch)
        if self._is_due(attempt, repair):
            repair = await self._learned(author, batch_id, batch, dealing, committee)
            if repair is not None:
                self._store.keep_repair(repair)
        if repair is None:
            return False
        receipts = await self._deal(repair, committee)
        if isinstance(receipts, DepositRefused):
            return False
        if not self._stand_in(repair).is_sealed(committee, [receipt.seat for receipt in receipts]):
            return False
        plan = repair.plan
        word = Attest(
            batch_id=batch_id,
            epoch=plan.epoch,
            share_root=plan.share_root,
            receipts=tuple(receipts),
            author=author,
        )
        await self._gateway.sponsor(word)
        if len(receipts) == len(committee.seats):
            self._store.drop_repair(author, batch_id)
        return True

    def _is_due(self, attempt: Attempt, known: Repair | None) -> bool:
        """Whether keepers are asked now: at first, and seldom after; what is known may be of no use to them by then."""
        now = self._gateway.clock()
        tries, again_at = self._tries.get(attempt, (0, 0))
        if now < again_at:
            return False
        self._tries[attempt] = tries + 1, now + min(AGAIN_MS << tries, DAY_MS)
        return known is None or tries > 0

    async def _finish(self, place: Place) -> None:
        """Deal to seats that were away when a batch was dealt again; forget what is not needed any more."""
        repair = self._store.repair(*place)
        assert repair is not None, "It is listed."
        state, plan = self._gateway.view.state, repair.plan
        dealing, committee = dealing_of(state, *place), self._gateway.committee(plan.committee)
        if plan.epoch != committee.epoch:
            self._store.drop_repair(*place)
        elif dealing is not None and dealing.epoch == plan.epoch:
            is_ours = dealing.share_root == plan.share_root
            receipts = await self._deal(repair, committee) if is_ours else []
            if not is_ours or (not isinstance(receipts, DepositRefused) and len(receipts) == len(committee.seats)):
                self._store.drop_repair(*place)

    def _stand_in(self, repair: Repair) -> "StandIn":
        return StandIn(self._gateway, self._store, self._blobs, repair)

    async def _deal(self, repair: Repair, committee: Committee) -> list[SeatReceipt] | DepositRefused:
        stand_in = self._stand_in(repair)
        receipts = await stand_in.deal(committee)
        for one in stand_in.findings.accusations:
            self.findings.accuse_once(one.member, one.what)
        return receipts

    # What keepers of before tell.

    async def _learned(
        self, author: MemberId, batch_id: BatchId, batch: Batch, dealing: Dealing, committee: Committee
    ) -> Repair | None:
        """Keys and headers of a batch, checked; none where they are not what the author committed to.

        Raises:
            TooFewSeatsError: fewer than `t` keepers of before gave one answer that holds.
            LedgerRefusedError, UnavailableError: the request did not get onto the ledger.
        """
        before = committee_at(self._gateway.view.state, batch.committee, dealing.epoch)
        assert before is not None, "A batch was dealt to it."
        told = await self._told(author, batch_id, batch, dealing, before)
        parts = self._combined(author, batch_id, batch, dealing, before, told)
        if parts is None:
            return None
        plan = Plan(
            batch_id=batch_id,
            committee=batch.committee,
            epoch=committee.epoch,
            dummy_seed=NO_DIGEST,
            root=batch.root,
            share_root=NO_DIGEST,
            supersedes=(),
            height=batch.height,
            tx_id=NO_DIGEST,
        )
        repair = Repair(author=author, plan=plan, parts=parts, witnesses=tuple([one.witness for one in told]))
        return replace(repair, plan=self._stand_in(repair).planned(committee))

    async def _told(
        self, author: MemberId, batch_id: BatchId, batch: Batch, dealing: Dealing, before: Committee
    ) -> list[Told]:
        """What `t` keepers of before, or more, say alike of a batch."""
        reply_key = OpeningKey(os.urandom(32))
        opening = RepairOpening(
            chain=self._gateway.chain,
            request_id=new_id(),
            salt=new_secret(),
            member=self._gateway.member,
            author=author,
            batch_id=batch_id,
            reply_key=reply_key.public,
        )
        request = Request(
            request_id=opening.request_id,
            commitment=repair_commitment(opening),
            reply_key_digest=reply_key_digest(reply_key.public),
            expires=max(self._gateway.view.time, self._gateway.clock()) + REQUEST_MS,
        )
        _, height = await self._gateway.sponsor(request)
        asking = encode(
            RepairAsking(
                opening=encode(opening),
                signature=self._gateway.key.sign(repair_to_sign(opening)),
                at_height=height,
            )
        )
        checks = Telling(self._gateway, opening, reply_key, batch, dealing, before, self.findings)
        asked = Asked({seat: self._ask(seat, before, batch, dealing, asking) for seat in checks.seats})
        await asked.until(lambda replies: len(checks.alike(replies)) >= threshold(len(before.seats)))
        told = checks.alike(asked.replies)
        asked.let_go()
        if len(told) < threshold(len(before.seats)):
            raise TooFewSeatsError(answered=len(told), needed=threshold(len(before.seats)))
        return told

    async def _ask(self, seat: Seat, before: Committee, batch: Batch, dealing: Dealing, asking: bytes) -> SealedAnswer:
        member = before.seats[seat - 1].member
        entry = member_of(self._gateway.view.state, member)
        assert entry is not None, "It is asked because it is there."
        sealed = seal(entry.keys.sealing, asking, info(self._gateway.chain, "repair ask"))
        request = RepairAsk(committee=batch.committee, epoch=dealing.epoch, seat=seat, sealed=sealed)
        return await ask(self._gateway.transport, member, request, SealedAnswer)

    def _combined(
        self,
        author: MemberId,
        batch_id: BatchId,
        batch: Batch,
        dealing: Dealing,
        before: Committee,
        told: Sequence[Told],
    ) -> tuple[RepairOf, ...] | None:
        """Keys from shares; none where one is not what was dealt, or not what its header commits to: whoever dealt is
        named, and nobody can open that record, so that its batch stays where it is."""
        some = told[: threshold(len(before.seats))]
        holdings = some[0].holdings
        entries = sorted([entry for one in holdings for entry in one.entries], key=lambda entry: entry.index)
        blobs = {one.seat: b"".join([one.shares[entry.index] for entry in entries]) for one in some}
        joined = combine(blobs) if entries else b""
        keys = [joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)]
        own = {
            entry.index: OwnEntry(entry.index, key, entry.salt, entry.header)
            for entry, key in zip(entries, keys, strict=True)
        }
        seats = len(before.seats)
        setting = Setting(
            chain=self._gateway.chain,
            author=author,
            batch_id=batch_id,
            committee=batch.committee,
            epoch=dealing.epoch,
            seats=seats,
            threshold=threshold(seats),
            dummy_seed=NO_DIGEST,
        )
        _, hashes = deal_entries(setting, list(own.values()))
        for entry, key, dealt in zip(entries, keys, hashes, strict=True):
            record = RecordId(author, batch_id, entry.index)
            key_com = decode(Header, entry.header).key_com
            if dealt != entry.share_hashes or key_commitment(chain=setting.chain, record=record, key=key) != key_com:
                dealer = dealer_of(self._gateway.view.state, author, dealing)
                if dealer is not None:
                    self.findings.accuse_once(dealer, "inconsistent_dealer")
                return None
        return tuple(
            [
                RepairOf(
                    subject=subject_of(holding),
                    entries=tuple([own[entry.index] for entry in holding.entries]),
                    leaf_proof=holding.leaf_proof,
                )
                for holding in holdings
            ]
        )


class StandIn(Dealer):
    """Deals one departed author's batch in its stead."""

    def __init__(self, gateway: Gateway, store: AuthorStore, blobs: BlobStore, repair: Repair) -> None:
        super().__init__(gateway, store, blobs)
        self._author = repair.author
        self._repair = repair
        self._own = {part.subject: list(part.entries) for part in repair.parts}

    def planned(self, committee: Committee) -> Plan:
        """The plan, with the seed of its dummies, and the root of what is dealt to a committee: both follow from the
        keys, so that whoever begins again deals the same."""
        plan = self._repair.plan
        entries = by_index(self._own)
        seed = repair_seed(plan.batch_id, plan.epoch, [entry.key for entry in entries])
        _, hashes = self._dealt(plan, entries, committee)
        rows = {entry.index: share_row(one) for entry, one in zip(entries, hashes, strict=True)}
        return replace(plan, dummy_seed=seed, share_root=row_levels(rows, seed)[-1])

    async def deal(self, committee: Committee) -> list[SeatReceipt] | DepositRefused:
        """As an author deals: receipts by rising seat, or the indices that a quorum will not take."""
        return await self._deposit(self._repair.plan, self._own, committee)

    def is_sealed(self, committee: Committee, signed: Collection[Seat]) -> bool:
        """Whether a quorum signed, and of each blob every vault that is to keep it: at least one of them is honest.

        The vaults of before drop their copies afterwards, and the author's own has left with it.
        """
        members = [holder.member for holder in committee.seats]
        headers = [decode(Header, entry.header) for entry in by_index(self._own)]
        places = {member for header in headers for blob in header.blobs for member in keepers_of(blob, members)}
        return super().is_sealed(committee, signed) and places <= {members[seat - 1] for seat in signed}

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
        sent = self.shares_for(plan, entries, shares, hashes, seat)
        holder = committee.seats[seat - 1]
        return await self._ask_seat(holder.member, self.sealed(sent, holder.sealing))

    def shares_for(
        self, plan: Plan, entries: Sequence[OwnEntry], shares: bytes, hashes: Sequence[bytes], seat: Seat
    ) -> RepairShares:
        """What one seat gets."""
        sent = {entry.index: entry for entry in entries_of_seat(entries, shares, hashes)}
        parts = [
            RepairPart(tuple([sent[entry.index] for entry in part.entries]), part.leaf_proof)
            for part in self._repair.parts
        ]
        return RepairShares(
            chain=self._gateway.chain,
            dealer=self._gateway.member,
            author=self._author,
            batch_id=plan.batch_id,
            committee=plan.committee,
            epoch=plan.epoch,
            seat=seat,
            root=plan.root,
            share_root=plan.share_root,
            dummy_seed=plan.dummy_seed,
            parts=tuple(parts),
            witnesses=self._repair.witnesses,
        )

    def sealed(self, sent: RepairShares, key: SealingKey) -> RepairDeposit:
        """The shares, signed and sealed to their seat."""
        body = encode(sent)
        signed = encode(Signed(body=body, signature=self._gateway.key.sign(repair_shares_statement(body))))
        return RepairDeposit(seat=sent.seat, sealed=seal(key, signed, info(self._gateway.chain, "repair deposit")))
