"""Dealing a batch to its committee: blobs into vaults, one envelope of shares to each seat, as often as it takes.

This is the half of an author that speaks with keepers and vaults; which batch there is to deal, and what becomes of it,
is in `author.py`. Dealing is deterministic: repeated, it sends the same shares.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import member_of
from salus.contracts.records.batch import DIGEST_BYTES
from salus.contracts.records.header import Header
from salus.contracts.records.messages import SeatReceipt
from salus.contracts.records.statements import deposited
from salus.core.errors import SalusError
from salus.core.ids import MINUTE_MS, BatchId, Digest, Epoch, MemberId, Seat, SubjectId
from salus.core.transport import ask
from salus.core.wire import encode, reopen
from salus.crypto.hpke import seal
from salus.crypto.shares import faulty, quorum, threshold
from salus.crypto.signatures import verify
from salus.keeper.messages import (
    BatchShares,
    Deposit,
    Deposited,
    DepositRefused,
    Entry,
    PolicyDeposit,
    RepairDeposit,
    Signed,
    batch_statement,
    info,
)
from salus.machine.sponsor import VALID_MS
from salus.sdk.author_store import AuthorStore, Plan
from salus.sdk.consent import deposit_with
from salus.sdk.drafting import OwnEntry, Setting, by_index, deal_entries, roots_of
from salus.sdk.enough import Asked
from salus.sdk.gateway import Gateway, seats_of
from salus.sdk.views import Findings
from salus.vault.messages import BlobsKept, PutBlobs, kept_statement
from salus.vault.places import keepers_of
from salus.vault.vault import BlobStore


@dataclass(slots=True)
class Fresh:
    """What a batch that was just drafted still has in memory, so that it is neither read nor dealt a second time."""

    blobs: dict[Digest, bytes]
    vaults: dict[Digest, list[MemberId]] = field(default_factory=dict)  # Which keep each blob, if it was worked out.
    dealt: tuple[Epoch, list[OwnEntry], list[bytes], list[bytes]] | None = None  # Entries, shares, hashes.


class Dealer:
    """What an author does with the keepers and vaults of a committee. Keeps nothing of its own."""

    def __init__(self, gateway: Gateway, store: AuthorStore, blobs: BlobStore) -> None:
        self._gateway = gateway
        self._store = store
        self._blobs = blobs  # The member's own vault, on its own disk.
        self._author = gateway.member  # Whose batches these are.
        self._fresh: dict[BatchId, Fresh] = {}
        self.findings = Findings()  # Seats that signed something else than that they hold what they were sent.

    def _roots(
        self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee, fresh: Fresh | None = None
    ) -> tuple[Digest, Digest]:
        entries = by_index(own)
        shares, hashes = self._dealt(plan, entries, committee)
        if fresh is not None:
            fresh.dealt = plan.epoch, entries, shares, hashes
        return roots_of(entries, hashes, plan.dummy_seed)

    def _dealt(self, plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> tuple[list[bytes], list[bytes]]:
        """Shares per seat (32 bytes per entry, joined), and per entry the joined hashes of all seats' shares."""
        return deal_entries(self._setting(plan, committee), entries)

    def _setting(self, plan: Plan, committee: Committee) -> Setting:
        seats = len(committee.seats)
        return Setting(
            chain=self._gateway.chain,
            author=self._author,
            batch_id=plan.batch_id,
            committee=plan.committee,
            epoch=plan.epoch,
            seats=seats,
            threshold=threshold(seats),
            dummy_seed=plan.dummy_seed,
        )

    async def _put_blobs(self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee) -> bool:
        """Blobs into the vaults that are to keep them; whether all have signed that they do."""
        members = [holder.member for holder in committee.seats]
        fresh = self._fresh.get(plan.batch_id)
        digests = list(fresh.blobs) if fresh is not None else blobs_of(by_index(own))
        places = (fresh.vaults if fresh is not None else {}) or {blob: keepers_of(blob, members) for blob in digests}
        by_vault: dict[MemberId, list[Digest]] = {}
        for digest, vaults in places.items():
            for vault in vaults:
                by_vault.setdefault(vault, []).append(digest)
        by_vault.pop(self._gateway.member, None)  # The own vault has them all.
        receipts = self._store.vault_receipts(plan.batch_id)
        # Until the batch is final a vault keeps blobs for as long as it signed; a plan may have waited longer.
        signed = {v for v, kept in receipts.items() if plan.height or self._gateway.clock() < kept.good_until}
        missing = {vault: wanted for vault, wanted in by_vault.items() if vault not in signed}
        asked = Asked({vault: self._put(plan, vault, wanted) for vault, wanted in missing.items()})

        def is_enough(replies: Mapping[MemberId, object]) -> bool:
            """Each blob has a second place; the outbox sees to the rest."""
            have = {self._gateway.member, *signed, *(vault for vault, reply in replies.items() if reply is not None)}
            return all(not have.isdisjoint(vaults) for vaults in places.values())

        await asked.until(is_enough)
        asked.go_on(self._gateway.late)
        kept = {vault: reply for vault, reply in asked.replies.items() if isinstance(reply, BlobsKept)}
        if kept:
            self._store.keep_vault_receipts(plan.batch_id, kept)
        return len(kept) == len(missing)

    async def _put(self, plan: Plan, vault: MemberId, digests: list[Digest]) -> BlobsKept | None:
        """One vault's part; its receipt, or none where it is away or signed something else."""
        put = PutBlobs(batch_id=plan.batch_id, blobs=self._own_blobs(plan.batch_id, digests))
        try:
            kept = await ask(self._gateway.transport, vault, put, BlobsKept)
        except SalusError:
            return None  # The outbox asks again.
        statement = kept_statement(
            chain=self._gateway.chain,
            vault=vault,
            author=self._gateway.member,
            batch_id=plan.batch_id,
            digests=tuple(sorted(digests)),
            good_until=kept.good_until,
        )
        member = member_of(self._gateway.view.state, vault)
        return kept if member is not None and verify(member.keys.keeper, statement, kept.signature) else None

    def _own_blobs(self, batch_id: BatchId, digests: list[Digest]) -> tuple[bytes, ...]:
        fresh = self._fresh.get(batch_id)
        if fresh is not None:
            return tuple(fresh.blobs[digest] for digest in digests)
        return tuple(blob for blob in self._blobs.read(self._gateway.member, batch_id, digests) if blob is not None)

    def _dealt_once(self, plan: Plan, entries: list[OwnEntry], committee: Committee) -> tuple[list[bytes], list[bytes]]:
        """As `_dealt`; from memory, if it was these entries that were just dealt."""
        fresh = self._fresh.get(plan.batch_id)
        if fresh is not None and fresh.dealt is not None:
            epoch, dealt_entries, shares, hashes = fresh.dealt
            if epoch == plan.epoch and dealt_entries == entries:
                return shares, hashes
        return self._dealt(plan, entries, committee)

    async def _deposit(
        self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee
    ) -> list[SeatReceipt] | DepositRefused:
        """Envelopes to all seats: receipts by rising seat, or the indices that a quorum will not take."""
        entries = by_index(own)
        shares, hashes = self._dealt_once(plan, entries, committee)
        asked = Asked(
            {
                seat: self._deposit_one(plan, own, entries, shares[seat - 1], hashes, seat, committee)
                for seat, _ in seats_of(committee)
            }
        )
        need = quorum(len(committee.seats))
        indices = {entry.index for entry in entries}
        sound: dict[Seat, SeatReceipt | None] = {}

        def is_enough(replies: Mapping[Seat, Deposited | DepositRefused | SalusError]) -> bool:
            for seat, reply in replies.items():
                if isinstance(reply, Deposited) and seat not in sound:
                    sound[seat] = self._receipt(plan, committee, seat, reply)
            signed = [seat for seat, receipt in sound.items() if receipt is not None]
            can_come = len(signed) + len(asked.waiting_for)
            return self.is_sealed(committee, signed) or (
                can_come < need and bool(_barred(replies.values(), committee) & indices)
            )

        await asked.until(is_enough)
        is_enough(asked.replies)  # Those of the grace count too; who is later still is dealt to by the outbox.
        asked.go_on(self._gateway.late)
        receipts = [receipt for _, receipt in sorted(sound.items()) if receipt is not None]
        barred = _barred(asked.replies.values(), committee) & indices
        if len(receipts) < need and barred:
            return DepositRefused(indices=tuple(sorted(barred)))
        return receipts

    def is_sealed(self, committee: Committee, signed: Collection[Seat]) -> bool:
        """Whether receipts of these seats are enough to give one's word."""
        return len(signed) >= quorum(len(committee.seats))

    def _receipt(self, plan: Plan, committee: Committee, seat: Seat, reply: Deposited) -> SeatReceipt | None:
        """A seat's receipt, if the ledger will take it: one that it refuses would stop the whole batch."""
        statement = deposited(
            chain=self._gateway.chain,
            author=self._author,
            batch_id=plan.batch_id,
            root=plan.root,
            share_root=plan.share_root,
            committee=plan.committee,
            epoch=plan.epoch,
            good_until=reply.good_until,
        )
        holder = committee.seats[seat - 1]
        lasts_until = max(self._gateway.clock(), self._gateway.view.time) + VALID_MS + MINUTE_MS
        if reply.seat != seat or not verify(holder.key, statement, reply.signature):
            self.findings.accuse_once(holder.member, "bad_receipt")
            return None
        if reply.good_until < lasts_until:
            self.findings.notice_once(holder.member, "short_receipt")  # Its clock may be slow.
            return None
        return SeatReceipt(seat=seat, good_until=reply.good_until, signature=reply.signature)

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
                entries=entries_of_seat(entries, shares, hashes),
            )
        )
        signed = Signed(body=body, signature=self._gateway.key.sign(batch_statement(body)))
        holder = committee.seats[seat - 1]
        deposit = Deposit(seat=seat, sealed=seal(holder.sealing, encode(signed), info(self._gateway.chain, "deposit")))
        reply = await self._ask_seat(holder.member, deposit)
        if isinstance(reply, DepositRefused) and await self._remind_of_policies(reply, own, seat, committee):
            reply = await self._ask_seat(holder.member, deposit)
        return reply

    async def _ask_seat(self, member: MemberId, deposit: Deposit | RepairDeposit) -> Deposited | DepositRefused:
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
            sent = True
            with suppress(SalusError):  # Not the version in force: it still tells whose cell to ask peers for.
                await deposit_with(self._gateway, seat, committee.seats[seat - 1], deposit)
        return sent


def _barred(replies: Iterable[object], committee: Committee) -> set[int]:
    """Indices that f+1 seats refuse, so at least one honest seat does: one liar alone makes no dummy of a record."""
    refused = [reply for reply in replies if isinstance(reply, DepositRefused)]
    counts = Counter(index for reply in refused for index in set(reply.indices))
    return {index for index, count in counts.items() if count > faulty(len(committee.seats))}


def blobs_of(entries: Iterable[OwnEntry]) -> list[Digest]:
    """Digests of all ciphertext that these entries' headers name."""
    return [blob for entry in entries for blob in reopen(Header, entry.header).blobs]


def entries_of_seat(entries: Sequence[OwnEntry], shares: bytes, hashes: Sequence[bytes]) -> tuple[Entry, ...]:
    """What one seat gets of each record: header, salt, its own share, and the row of all share hashes."""
    starts = range(0, DIGEST_BYTES * len(entries), DIGEST_BYTES)
    return tuple(
        [
            Entry(entry.index, entry.salt, entry.header, shares[start : start + DIGEST_BYTES], row)
            for entry, row, start in zip(entries, hashes, starts, strict=True)
        ]
    )
