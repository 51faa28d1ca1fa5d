"""Reading: one request, all seats asked, nothing believed.

What a reader checks of the answers, in this order:

    1. the seat's signature, the request, height and policy commitment (a seat that differs is asked once more);
    2. headers: the subject that was asked for, at the leaf they claim;
    3. leaf paths to a batch in the reader's own final state, whose sponsor is the author, with no override;
    4. share hashes to the share root, then any `t` shares together;
    5. `key_com`, then the key dealt again and compared: a lying dealer or keeper is named;
    6. the blob's digest, then the plaintext.

One header that opens a leaf on the ledger suffices for a record to be known: known and not readable is shown as a gap,
never dropped in silence.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from salus.contracts.credentials.claims import Claims
from salus.contracts.members.messages import Committee
from salus.contracts.reads.messages import Request
from salus.contracts.reads.opening import Opening, Selection, commitment, reply_key_digest, to_sign
from salus.contracts.records.batch import (
    DIGEST_BYTES,
    document_context,
    key_commitment,
    share_context,
    share_contexts_prefix,
    share_row,
)
from salus.contracts.records.header import Header, RecordId, leaf
from salus.contracts.records.reads import batch_of
from salus.contracts.records.tables import OVERRIDES, Batch, Fate
from salus.core.errors import MalformedError, RefusalError, SalusError
from salus.core.ids import (
    HOUR_MS,
    MINUTE_MS,
    BatchId,
    CommitteeId,
    CredentialId,
    Digest,
    Height,
    MemberId,
    Purpose,
    Seat,
    SubjectId,
    TimeMs,
)
from salus.core.transport import PeerRefusalError, ask
from salus.core.wire import decode, encode
from salus.crypto.documents import open_chunks
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.merkle import root, root_of_many
from salus.crypto.shares import combine, deal_batch, faulty, threshold
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.answers import BREAK_GLASS, unpadded
from salus.keeper.messages import (
    Answer,
    Ask,
    Asking,
    BatchProof,
    Item,
    Person,
    SealedAnswer,
    head_statement,
    info,
)
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.gateway import Gateway, new_id, new_secret, seats_of
from salus.sdk.views import Accusation, Gap, Opened, View
from salus.vault.messages import Blobs, BlobWanted, GetBlobs
from salus.vault.places import preference

REQUEST_MS = 8 * HOUR_MS  # One encounter.
BREAK_GLASS_MS = 60 * MINUTE_MS
FRESH_MS = MINUTE_MS


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: their own key, and the credential that binds it; none for a patient's own device."""

    key: SigningKey
    credential_id: CredentialId | None = None
    claims: Claims | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, and why."""

    subject: SubjectId
    committee: CommitteeId
    purpose: Purpose
    reason: str = ""
    selection: Selection = field(default_factory=Selection)


@dataclass(slots=True)
class _Known:
    """A record that some seat's header opened on the ledger."""

    header: Header
    batch: Batch
    obligations: frozenset[str]
    share_hashes: bytes | None = None
    shares: dict[Seat, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Heard:
    """One seat's answer that passed check 1."""

    seat: Seat
    member: MemberId
    answer: Answer


class OpenRead:
    """A request to read that stands on the ledger until it expires. Plaintext in memory dies with it."""

    def __init__(
        self,
        gateway: Gateway,
        reader: Reader,
        wanted: Wanted,
        opening: Opening,
        reply_key: OpeningKey,
        expires: TimeMs,
        height: Height,
        second: Person | None,
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self.wanted = wanted
        self.opening = opening
        self._reply_key = reply_key
        self.expires = expires
        self.height = height
        self._second = second

    async def ask(self, *, watch: bool = False) -> View:
        """Ask every seat and check everything.

        Raises:
            PeerRefusalError: keepers refused the request itself, with their code.
            TooFewSeatsError: fewer than `t` seats gave an answer that holds.
        """
        committee = self._gateway.committee(self.wanted.committee)
        heard, accusations, failures = await self._hear(committee, watch)
        need = threshold(len(committee.seats))
        if len(heard) < need:
            refusals = [error for error in failures.values() if isinstance(error, RefusalError)]
            if len(refusals) > len(committee.seats) - need:
                raise refusals[0]
            raise TooFewSeatsError(answered=len(heard), needed=need)
        known = self._known(heard, committee, accusations)
        self._accuse_omissions(heard, known, accusations)
        keys, gaps = self._keys(known, committee, accusations)
        records, missing = await self._documents(known, keys, committee, accusations)
        absent = tuple(holder.member for seat, holder in seats_of(committee) if seat in failures)
        return View(
            records=records,
            gaps=sorted([*gaps, *missing], key=lambda gap: encode(gap.record)),
            accusations=accusations,
            height=max(one.answer.head.height for one in heard),
            answered=len(heard),
            absent=absent,
        )

    # Check 1: the answers.

    async def _hear(
        self, committee: Committee, watch: bool
    ) -> tuple[list[_Heard], list[Accusation], dict[Seat, BaseException]]:
        heard: list[_Heard] = []
        accusations: list[Accusation] = []
        failures: dict[Seat, BaseException] = {}
        await self._ask_seats(seats_of(committee), self.height, watch, heard, accusations, failures)
        behind = self._behind(heard, committee)
        if behind:
            highest = max(one.answer.head.height for one in heard)
            heard = [one for one in heard if one.seat not in behind]
            again = [(seat, holder) for seat, holder in seats_of(committee) if seat in behind]
            await self._ask_seats(again, highest, watch, heard, accusations, failures)
            still = self._behind(heard, committee)
            for seat in sorted(still):
                accusations.append(Accusation(committee.seats[seat - 1].member, "stale_policy"))
            heard = [one for one in heard if one.seat not in still]
        return sorted(heard, key=lambda one: one.seat), accusations, failures

    async def _ask_seats(
        self,
        seats: Iterable[tuple[Seat, object]],
        at_height: Height,
        watch: bool,
        heard: list[_Heard],
        accusations: list[Accusation],
        failures: dict[Seat, BaseException],
    ) -> None:
        committee = self._gateway.committee(self.wanted.committee)
        asked = [seat for seat, _ in seats]
        replies = await asyncio.gather(
            *(self._ask_seat(committee, seat, at_height, watch) for seat in asked), return_exceptions=True
        )
        for seat, reply in zip(asked, replies, strict=True):
            member = committee.seats[seat - 1].member
            if isinstance(reply, BaseException):
                if not isinstance(reply, SalusError):
                    raise reply
                failures[seat] = reply
                if isinstance(reply, MalformedError):
                    accusations.append(Accusation(member, "unreadable_answer"))
            elif self._is_sound(reply, committee, seat, at_height):
                heard.append(_Heard(seat=seat, member=member, answer=reply))
                failures.pop(seat, None)
            else:
                failures[seat] = PeerRefusalError("bad_signature", peer=member)
                accusations.append(Accusation(member, "bad_signature"))

    async def _ask_seat(self, committee: Committee, seat: Seat, at_height: Height, watch: bool) -> Answer:
        asking = Asking(
            opening=encode(self.opening),
            signature=self._reader.key.sign(to_sign(self.opening)),
            claims=self._reader.claims,
            second=self._second,
            at_height=at_height,
            watch=watch,
        )
        holder = committee.seats[seat - 1]
        sealed = seal(holder.sealing, encode(asking), info(self._gateway.chain, "ask"))
        request = Ask(committee=self.wanted.committee, seat=seat, sealed=sealed)
        reply = await ask(self._gateway.transport, holder.member, request, SealedAnswer)
        return decode(Answer, unpadded(self._reply_key.open(reply.sealed, info(self._gateway.chain, "answer"))))

    def _is_sound(self, answer: Answer, committee: Committee, seat: Seat, at_height: Height) -> bool:
        head = answer.head
        return (
            (head.chain, head.request_id, head.committee, head.epoch, head.seat)
            == (self._gateway.chain, self.opening.request_id, self.wanted.committee, committee.epoch, seat)
            and head.height >= at_height
            and head.items == len(answer.items)
            and head.root == root(answer.items)
            and verify(committee.seats[seat - 1].key, head_statement(head), answer.signature)
        )

    def _behind(self, heard: Sequence[_Heard], committee: Committee) -> set[Seat]:
        """Seats that decided under another policy than f+1 seats at the greatest height did."""
        by_policy: dict[Digest, list[_Heard]] = {}
        for one in heard:
            by_policy.setdefault(one.answer.head.policy, []).append(one)
        if len(by_policy) < 2:
            return set()
        backed = [group for group in by_policy.values() if len(group) > faulty(len(committee.seats))]
        newest = max(backed or by_policy.values(), key=lambda group: max(one.answer.head.height for one in group))
        policy = newest[0].answer.head.policy
        return {one.seat for one in heard if one.answer.head.policy != policy}

    # Checks 2 to 4: headers, leaves, shares.

    def _known(
        self, heard: Sequence[_Heard], committee: Committee, accusations: list[Accusation]
    ) -> dict[RecordId, _Known]:
        known: dict[RecordId, _Known] = {}
        cache = _Checked(self._gateway, self.wanted)
        for one in heard:
            proofs = {(proof.author, proof.batch_id): proof for proof in one.answer.proofs}
            for place, items in self._by_batch(one, accusations).items():
                batch = cache.opened(place, items, proofs.get(place))
                if batch is None:
                    accusations.append(Accusation(one.member, "wrong_header", items[0][1].record))
                    continue
                for item, header in items:
                    record = known.get(header.record)
                    if record is None:
                        record = known[header.record] = _Known(header, batch, frozenset(item.obligations))
                    self._take_share(record, item, one, len(committee.seats), accusations)
        return known

    def _by_batch(
        self, one: _Heard, accusations: list[Accusation]
    ) -> dict[tuple[MemberId, BatchId], list[tuple[Item, Header]]]:
        grouped: dict[tuple[MemberId, BatchId], list[tuple[Item, Header]]] = {}
        for data in one.answer.items:
            try:
                item = decode(Item, data)
                header = decode(Header, item.header)
            except MalformedError:
                accusations.append(Accusation(one.member, "wrong_header"))
                continue
            if header.subject != self.wanted.subject:
                accusations.append(Accusation(one.member, "wrong_header", header.record))
                continue
            grouped.setdefault((header.record.author, header.record.batch_id), []).append((item, header))
        return grouped

    def _take_share(self, record: _Known, item: Item, one: _Heard, seats: int, accusations: list[Accusation]) -> None:
        start = DIGEST_BYTES * (one.seat - 1)
        hashes = item.share_hashes
        is_whole = len(hashes) == DIGEST_BYTES * seats
        if not is_whole or sha256(item.share).digest() != hashes[start : start + DIGEST_BYTES]:
            accusations.append(Accusation(one.member, "bad_share", record.header.record))
            return
        record.share_hashes = hashes
        record.obligations |= frozenset(item.obligations)
        record.shares[one.seat] = item.share

    def _accuse_omissions(
        self, heard: Sequence[_Heard], known: Mapping[RecordId, _Known], accusations: list[Accusation]
    ) -> None:
        """A seat that decided under the same policy at the same height or above, and left out what f+1 others gave."""
        for one in heard:
            for record_id, record in known.items():
                given = one.seat in record.shares or any(
                    a.member == one.member and a.record == record_id for a in accusations
                )
                others = [seat for seat in record.shares if seat != one.seat]
                if not given and len(others) > faulty(len(heard)) and record.batch.height <= one.answer.head.height:
                    accusations.append(Accusation(one.member, "omitted_record", record_id))

    # Check 5: keys.

    def _keys(
        self, known: Mapping[RecordId, _Known], committee: Committee, accusations: list[Accusation]
    ) -> tuple[dict[RecordId, bytes], list[Gap]]:
        """Combine any `t` shares of each record, in one go for all records that the same seats serve."""
        seats = len(committee.seats)
        need = threshold(seats)
        gaps: list[Gap] = []
        groups: dict[tuple[Seat, ...], list[_Known]] = {}
        for record in known.values():
            have = tuple(sorted(record.shares)[:need])
            if len(have) < need:
                gaps.append(Gap(record.header.record, "too_few_shares"))
            else:
                groups.setdefault(have, []).append(record)
        keys: dict[RecordId, bytes] = {}
        for have, records in groups.items():
            blobs = {seat: b"".join([record.shares[seat] for record in records]) for seat in have}
            combined = combine(blobs)
            ends = range(0, DIGEST_BYTES * len(records), DIGEST_BYTES)
            found = [combined[at : at + DIGEST_BYTES] for at in ends]
            for record, key, is_right in zip(records, found, self._dealt_again(records, found, seats), strict=True):
                if is_right:
                    keys[record.header.record] = key
                else:
                    gaps.append(Gap(record.header.record, "inconsistent_dealer"))
                    author = record.header.record.author
                    accusations.append(Accusation(author, "inconsistent_dealer", record.header.record))
        return keys, gaps

    def _dealt_again(self, records: Sequence[_Known], keys: Sequence[bytes], seats: int) -> list[bool]:
        chain = self._gateway.chain
        contexts = [share_context(self._prefix(record, seats), record.header.record.index) for record in records]
        dealt = deal_batch(keys, contexts, seats=seats, threshold=threshold(seats))
        verdicts: list[bool] = []
        for place, (record, key) in enumerate(zip(records, keys, strict=True)):
            at = DIGEST_BYTES * place
            hashes = b"".join([sha256(blob[at : at + DIGEST_BYTES]).digest() for blob in dealt])
            header = record.header
            is_committed = key_commitment(chain=chain, record=header.record, key=key) == header.key_com
            verdicts.append(is_committed and hashes == record.share_hashes)
        return verdicts

    def _prefix(self, record: _Known, seats: int) -> bytes:
        return share_contexts_prefix(
            chain=self._gateway.chain,
            author=record.header.record.author,
            batch_id=record.header.record.batch_id,
            committee=record.batch.committee,
            epoch=record.batch.epoch,
            seats=seats,
            threshold=threshold(seats),
        )

    # Check 6: blobs.

    async def _documents(
        self,
        known: Mapping[RecordId, _Known],
        keys: Mapping[RecordId, bytes],
        committee: Committee,
        accusations: list[Accusation],
    ) -> tuple[list[Opened], list[Gap]]:
        blobs = await self._blobs([known[record].header for record in keys], committee, accusations)
        opened: list[Opened] = []
        gaps: list[Gap] = []
        fates = _fates(self._gateway, known)
        chain = self._gateway.chain
        for record_id, key in keys.items():
            record = known[record_id]
            header = record.header
            parts = [blobs[digest] for digest in header.blobs if digest in blobs]
            if len(parts) < len(header.blobs):
                gaps.append(Gap(record_id, "blob_missing"))
                continue
            try:
                data = open_chunks(key, document_context(chain, record_id), parts, header.size_bytes)
            except MalformedError:
                gaps.append(Gap(record_id, "inconsistent_dealer"))
                accusations.append(Accusation(record_id.author, "inconsistent_dealer", record_id))
                continue
            obligations = tuple(sorted(record.obligations))
            opened.append(Opened(header=header, data=data, obligations=obligations, fate=fates.get(record_id)))
        return opened, gaps

    async def _blobs(
        self, headers: Sequence[Header], committee: Committee, accusations: list[Accusation]
    ) -> dict[Digest, bytes]:
        """Fetch blobs from the vaults that keep them; from the next ones where a vault fails."""
        members = [holder.member for holder in committee.seats]
        spare = faulty(len(members)) + 1
        places: dict[BlobWanted, list[MemberId]] = {}
        for header in headers:
            author = header.record.author
            for digest in header.blobs:
                order = preference(digest, members)
                rest = [author] if author in order[spare:] else []
                places[BlobWanted(author, header.record.batch_id, digest)] = [*order[:spare], *rest]
        found: dict[Digest, bytes] = {}
        for attempt in range(spare + 1):
            by_vault: dict[MemberId, list[BlobWanted]] = {}
            for want, order in places.items():
                if want.digest not in found and attempt < len(order):
                    by_vault.setdefault(order[attempt], []).append(want)
            if not by_vault:
                break
            await asyncio.gather(*(self._fetch(vault, wants, found, accusations) for vault, wants in by_vault.items()))
        return found

    async def _fetch(
        self,
        vault: MemberId,
        wants: Sequence[BlobWanted],
        found: dict[Digest, bytes],
        accusations: list[Accusation],
    ) -> None:
        get = GetBlobs(request_id=self.opening.request_id, wanted=tuple(wants))
        try:
            reply = await ask(self._gateway.transport, vault, get, Blobs)
        except SalusError:
            return
        for want, blob in zip(wants, reply.blobs, strict=False):
            if blob is not None and sha256(blob).digest() == want.digest:
                found[want.digest] = blob
            elif blob is not None:
                accusations.append(Accusation(vault, "bad_blob"))
            else:
                accusations.append(Accusation(vault, "missing_blob"))


class _Checked:
    """Checks 2 and 3, once for what several seats say alike."""

    def __init__(self, gateway: Gateway, wanted: Wanted) -> None:
        self._state = gateway.view.state
        self._committee = wanted.committee
        self._history = wanted.selection.history
        self._seen: dict[tuple[MemberId, BatchId, bytes, bytes], Batch | None] = {}
        self._leaves: dict[tuple[bytes, bytes], Digest] = {}
        self._rows: dict[bytes, Digest] = {}

    def opened(
        self, place: tuple[MemberId, BatchId], items: Sequence[tuple[Item, Header]], proof: BatchProof | None
    ) -> Batch | None:
        """The batch on the ledger that these headers and share hashes open; none if they do not."""
        if proof is None:
            return None
        leaves = {header.record.index: self._leaf(item) for item, header in items}
        rows = {header.record.index: self._row(item.share_hashes) for item, header in items}
        fingerprint = sha256(b"".join(leaves.values()) + b"".join(rows.values())).digest()
        key = (*place, fingerprint, sha256(proof.leaf_proof + proof.row_proof).digest())
        if key not in self._seen:
            self._seen[key] = self._check(place, leaves, rows, proof)
        return self._seen[key]

    def _check(
        self,
        place: tuple[MemberId, BatchId],
        leaves: dict[int, Digest],
        rows: dict[int, Digest],
        proof: BatchProof,
    ) -> Batch | None:
        batch = batch_of(self._state, *place)
        if batch is None or batch.committee != self._committee:
            return None
        overridden = {key[2] for key, _ in OVERRIDES.items(self._state, *place)}
        if not self._history and overridden & leaves.keys():
            return None
        try:
            is_open = root_of_many(leaves, proof.leaf_proof) == batch.root
            is_shared = root_of_many(rows, proof.row_proof) == batch.share_root
        except MalformedError:
            return None
        return batch if is_open and is_shared else None

    def _leaf(self, item: Item) -> Digest:
        key = (item.salt, item.header)
        found = self._leaves.get(key)
        if found is None:
            found = self._leaves[key] = leaf(item.salt, item.header)
        return found

    def _row(self, hashes: bytes) -> Digest:
        found = self._rows.get(hashes)
        if found is None:
            found = self._rows[hashes] = share_row(hashes)
        return found


async def open_read(gateway: Gateway, reader: Reader, wanted: Wanted, second: Reader | None = None) -> OpenRead:
    """Leave the trace, then let the keepers be asked: the request is final on return.

    Raises:
        LedgerRefusedError: the ledger refused the request.
        UnavailableError: the ledger is away; nothing can be read from others.
    """
    reply_key = OpeningKey(os.urandom(32))
    opening = Opening(
        chain=gateway.chain,
        request_id=new_id(),
        salt=new_secret(),
        subject=wanted.subject,
        member=gateway.member,
        key=reader.key.public,
        credential_id=reader.credential_id,
        purpose=wanted.purpose,
        reason=wanted.reason,
        selection=wanted.selection,
        reply_key=reply_key.public,
    )
    lasting = BREAK_GLASS_MS if wanted.purpose == BREAK_GLASS else REQUEST_MS
    expires = max(gateway.view.time, gateway.clock()) + lasting
    request = Request(
        request_id=opening.request_id,
        commitment=commitment(opening),
        reply_key_digest=reply_key_digest(reply_key.public),
        expires=expires,
    )
    _, height = await gateway.sponsor(request)
    person = None if second is None else _second(opening, second)
    return OpenRead(gateway, reader, wanted, opening, reply_key, expires, height, person)


def _second(opening: Opening, second: Reader) -> Person | None:
    if second.credential_id is None or second.claims is None:
        return None
    signature = second.key.sign(to_sign(opening))
    return Person(credential_id=second.credential_id, claims=second.claims, signature=signature)


def _fates(gateway: Gateway, known: Mapping[RecordId, _Known]) -> dict[RecordId, Fate]:
    state = gateway.view.state
    fates: dict[RecordId, Fate] = {}
    for author, batch_id in {(record.author, record.batch_id) for record in known}:
        for key, override in OVERRIDES.items(state, author, batch_id):
            fates[RecordId(author, batch_id, key[2])] = override.fate
    return fates
