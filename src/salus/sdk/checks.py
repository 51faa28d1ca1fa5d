"""Checks 2 to 5 of reading: headers, leaves, shares and keys, each named party by what it signed itself.

Shares are those of the epoch in which their batch was dealt: how many there are, how many are needed and whose is which
follow from the committee as it was then, whoever sits there now. Whatever several seats say alike is checked once. A
record counts as known when one seat's header opens a leaf of a batch on the ledger; who then left it out is judged in
`omissions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from itertools import pairwise

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_at
from salus.contracts.records.batch import (
    DIGEST_BYTES,
    key_commitment,
    share_context,
    share_contexts_prefix,
    share_row,
)
from salus.contracts.records.header import Header, RecordId, leaf
from salus.contracts.records.reads import batch_of
from salus.contracts.records.tables import OVERRIDES, Batch
from salus.core.errors import MalformedError
from salus.core.ids import BatchId, ChainId, Epoch, MemberId, Seat
from salus.core.wire import decode, reopen
from salus.crypto.merkle import root_of_many
from salus.crypto.shares import KEY_BYTES, combine, deal_batch, faulty, threshold
from salus.keeper.messages import BatchProof, Item
from salus.machine.view import View
from salus.sdk.alike import Pattern, pattern_of
from salus.sdk.hearing import Heard
from salus.sdk.views import Findings, Gap
from salus.sdk.wanted import Wanted

Place = tuple[MemberId, BatchId]
Row = tuple[Item, Header]


@dataclass(slots=True)
class Known:
    """A record that some seat's header opened on the ledger."""

    header: Header
    batch: Batch
    dealing: "Dealing"
    obligations: frozenset[str]
    share_hashes: bytes = b""
    shares: dict[Seat, bytes] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Its batch."""
        return self.header.record.author, self.header.record.batch_id


@dataclass(frozen=True, slots=True)
class Dealing:
    """To whom a batch was dealt: the committee as it was at the batch's epoch."""

    seat_of: Mapping[MemberId, Seat]
    seats: int
    needed: int  # Shares that combine to a key.


class Checks:
    """The checks of one view. `known` grows with each answer."""

    def __init__(self, view: View, committee: Committee, wanted: Wanted, findings: Findings) -> None:
        self._view = view
        self._committee = committee
        self._wanted = wanted
        self._findings = findings
        self._batches = _Batches(view, wanted)
        self._dealings: dict[Epoch, Dealing] = {}
        self._spoilt: set[tuple[MemberId, Place]] = set()  # Whose answer on a batch was thrown out, and named.
        self._pattern: Pattern | None = None  # Of the first answer in which nothing was amiss,
        self._patterned: list[Known | None] = []  # and its records; none where another version stands by now.
        self.known: dict[RecordId, Known] = {}

    # Checks 2 to 4: headers, leaves, shares.

    def take(self, one: Heard) -> None:
        """Take one seat's answer in, as far as it leads to the ledger."""
        shares = None if self._pattern is None else self._pattern.shares_of(one.answer)
        if shares is not None:
            self._take_shares(shares, one)
            return
        found = len(self._findings.accusations)
        rows = self._rows(one)
        self._take_rows(rows, one)
        if self._pattern is None and len(self._findings.accusations) == found:
            self._pattern = pattern_of(one.answer, [item for item, _ in rows])
            self._patterned = [self.known.get(header.record) for _, header in rows]

    def _take_rows(self, rows: Sequence[Row], one: Heard) -> None:
        grouped: dict[Place, list[Row]] = {}
        for row in rows:
            record = row[1].record
            grouped.setdefault((record.author, record.batch_id), []).append(row)
        proofs = {(proof.author, proof.batch_id): proof for proof in one.answer.proofs}
        for place, of_batch in grouped.items():
            batch = self._batches.opened(place, of_batch, proofs.get(place))
            if batch is None:
                self._spoilt.add((one.member, place))
                self._findings.accuse(one.member, "wrong_header", of_batch[0][1].record)
                continue
            # Overridden by now, though not yet when that seat decided: no lie, and not current either.
            gone = set() if self._wanted.selection.history else self._batches.overridden(place)
            for item, header in of_batch:
                if header.record.index not in gone:
                    known = self.known.get(header.record)
                    if known is None:
                        dealing = self._dealing(batch.epoch)
                        known = self.known[header.record] = Known(header, batch, dealing, frozenset(item.obligations))
                    self._take_share(known, item, one)

    def _rows(self, one: Heard) -> list[Row]:
        """Items with their headers, in order, but for those that are none, or of another subject."""
        rows: list[Row] = []
        for data in one.answer.items:
            try:
                item = reopen(Item, data)  # All of it is checked against the ledger: its form proves nothing more.
                header = self._batches.header(item.header)
            except MalformedError:
                self._findings.accuse(one.member, "wrong_header")
                continue
            if header.subject != self._wanted.subject:
                self._findings.accuse(one.member, "wrong_header", header.record)
                continue
            rows.append((item, header))
        return rows

    def _take_shares(self, shares: Sequence[bytes], one: Heard) -> None:
        """Shares of an answer that is otherwise the pattern: each against its hash, as in `_take_share`."""
        digests = [sha256(share).digest() for share in shares]
        for known, share, digest in zip(self._patterned, shares, digests, strict=True):
            seat = None if known is None else known.dealing.seat_of.get(one.member)
            if known is None or seat is None:
                continue
            if digest != known.share_hashes[DIGEST_BYTES * (seat - 1) : DIGEST_BYTES * seat]:
                self._findings.accuse(one.member, "bad_share", known.header.record)
            else:
                known.shares[seat] = share

    def _dealing(self, epoch: Epoch) -> Dealing:
        found = self._dealings.get(epoch)
        if found is None:
            committee = committee_at(self._view.state, self._wanted.committee, epoch) or self._committee
            seat_of = {holder.member: seat for seat, holder in enumerate(committee.seats, 1)}
            seats = len(committee.seats)
            found = self._dealings[epoch] = Dealing(seat_of, seats, threshold(seats))
        return found

    def _take_share(self, known: Known, item: Item, one: Heard) -> None:
        seat = known.dealing.seat_of.get(one.member)
        if seat is None:
            return  # It took its seat later, and shows what another may have left to it: of no use, and no lie.
        start = DIGEST_BYTES * (seat - 1)
        hashes = item.share_hashes
        # A share of another length would move those beside it, though a dealer in league has hashed it so.
        is_whole = len(hashes) == DIGEST_BYTES * known.dealing.seats and len(item.share) == KEY_BYTES
        if not is_whole or sha256(item.share).digest() != hashes[start : start + DIGEST_BYTES]:
            self._findings.accuse(one.member, "bad_share", known.header.record)
            return
        known.share_hashes = hashes
        if item.obligations:
            known.obligations = known.obligations.union(item.obligations)
        known.shares[seat] = item.share

    def omissions(self, heard: Sequence[Heard]) -> None:
        """Who left out what f+1 others gave *at the same height*: there all decide alike, from the same state.

        A seat whose receipt is not in the batch's anchor may lack it until its author's outbox has dealt to it. One
        whose receipt is there has signed that it holds the record: it holds it back, or has lost what it promised to
        keep and answers all the same.
        """
        accused = {(accusation.member, accusation.record) for accusation in self._findings.accusations}
        for one in heard:
            peers = [other.member for other in heard if other.height == one.height]
            for record_id, known in self.known.items():
                seat = known.dealing.seat_of.get(one.member)
                if seat is None or seat in known.shares or (one.member, record_id) in accused:
                    continue
                if (one.member, (record_id.author, record_id.batch_id)) in self._spoilt:
                    continue
                gave = sum(known.dealing.seat_of.get(peer) in known.shares for peer in peers)
                if gave <= faulty(known.dealing.seats):
                    continue
                if not known.batch.is_signed_by(seat):
                    self._findings.notice(one.member, "lacks_record", record_id)
                elif one.height >= known.batch.height:
                    self._findings.accuse(one.member, "omitted_record", record_id)

    # Check 5: keys.

    @property
    def lacks_shares(self) -> bool:
        """Whether a known record has too few shares: another answer might have them."""
        return any(len(known.shares) < known.dealing.needed for known in self.known.values())

    def keys(self, findings: Findings) -> tuple[dict[RecordId, bytes], list[Gap]]:
        """Combine any `t` shares of each record, in one go for all records that the same seats serve."""
        gaps: list[Gap] = []
        groups: dict[tuple[int, tuple[Seat, ...]], list[Known]] = {}
        for known in self.known.values():
            have = tuple(sorted(known.shares)[: known.dealing.needed])
            if len(have) < known.dealing.needed:
                gaps.append(Gap(known.header.record, "too_few_shares"))
            else:
                groups.setdefault((known.dealing.seats, have), []).append(known)
        keys: dict[RecordId, bytes] = {}
        for (seats, have), group in groups.items():
            combined = combine({seat: b"".join([known.shares[seat] for known in group]) for seat in have})
            found = [combined[at : at + DIGEST_BYTES] for at in range(0, len(combined), DIGEST_BYTES)]
            for known, key, is_right in zip(group, found, self._dealt_again(group, found, seats), strict=True):
                record = known.header.record
                if is_right:
                    keys[record] = key
                else:
                    gaps.append(Gap(record, "inconsistent_dealer"))
                    findings.accuse(record.author, "inconsistent_dealer", record)
        return keys, gaps

    def _dealt_again(self, group: Sequence[Known], keys: Sequence[bytes], seats: int) -> list[bool]:
        prefix = cache(partial(_prefix, self._view.chain, seats))
        contexts = [share_context(prefix(known.place, known.batch), known.header.record.index) for known in group]
        dealt = deal_batch(keys, contexts, seats=seats, threshold=threshold(seats))
        # A share that was served matches its hash: where it is also the one dealt again, that one need not be hashed.
        unserved = [seat for seat, blob in enumerate(dealt, 1) if blob != _served(group, seat)]
        verdicts: list[bool] = []
        for place, (known, key) in enumerate(zip(group, keys, strict=True)):
            record, key_com = known.header.record, known.header.key_com
            is_dealt = all(_is_dealt(known, seat, dealt[seat - 1], DIGEST_BYTES * place) for seat in unserved)
            verdicts.append(is_dealt and key_commitment(chain=self._view.chain, record=record, key=key) == key_com)
        return verdicts


class _Batches:
    """What the reader's own final state says of batches, and whether answers lead there."""

    def __init__(self, view: View, wanted: Wanted) -> None:
        self._view = view
        self._committee = wanted.committee
        self._seen: dict[tuple[object, ...], Batch | None] = {}
        self._headers: dict[bytes, Header] = {}
        self._overridden: dict[Place, set[int]] = {}

    def header(self, data: bytes) -> Header:
        """A header from its bytes.

        Raises:
            MalformedError: they are none.
        """
        found = self._headers.get(data)
        if found is None:
            found = self._headers[data] = decode(Header, data)
        return found

    def opened(self, place: Place, items: Sequence[Row], proof: BatchProof | None) -> Batch | None:
        """The batch on the ledger that these headers and share hashes open; none if they do not.

        What several seats say alike is worked out once.
        """
        if proof is None:
            return None
        said = tuple([part for item, _ in items for part in (item.header, item.salt, item.share_hashes)])
        key = (place, proof.leaf_proof, proof.row_proof, said)
        if key not in self._seen:
            self._seen[key] = self._check(place, items, proof)
        return self._seen[key]

    def overridden(self, place: Place) -> set[int]:
        """Those of a batch in whose place another version, or nothing, stands."""
        found = self._overridden.get(place)
        if found is None:
            found = self._overridden[place] = {key[2] for key, _ in OVERRIDES.items(self._view.state, *place)}
        return found

    def _check(self, place: Place, items: Sequence[Row], proof: BatchProof) -> Batch | None:
        """Indices must rise: of two items for one leaf only one would be proved, and the other believed."""
        batch = batch_of(self._view.state, *place)
        if batch is None or batch.committee != self._committee:
            return None
        indices = [header.record.index for _, header in items]
        if any(one >= other for one, other in pairwise(indices)):
            return None
        leaves = {index: leaf(item.salt, item.header) for index, (item, _) in zip(indices, items, strict=True)}
        rows = {index: share_row(item.share_hashes) for index, (item, _) in zip(indices, items, strict=True)}
        try:
            is_open = root_of_many(leaves, proof.leaf_proof) == batch.root
            is_shared = root_of_many(rows, proof.row_proof) == batch.share_root
        except MalformedError:
            return None
        return batch if is_open and is_shared else None


def _served(group: Sequence[Known], seat: Seat) -> bytes:
    return b"".join([known.shares.get(seat, b"") for known in group])


def _is_dealt(known: Known, seat: Seat, dealt: bytes, at: int) -> bool:
    start = DIGEST_BYTES * (seat - 1)
    return sha256(dealt[at : at + DIGEST_BYTES]).digest() == known.share_hashes[start : start + DIGEST_BYTES]


def _prefix(chain: ChainId, seats: int, place: Place, batch: Batch) -> bytes:
    author, batch_id = place
    return share_contexts_prefix(
        chain=chain,
        author=author,
        batch_id=batch_id,
        committee=batch.committee,
        epoch=batch.epoch,
        seats=seats,
        threshold=threshold(seats),
    )
