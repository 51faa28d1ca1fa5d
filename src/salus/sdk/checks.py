"""Checks 2 to 5 of reading: headers, leaves, shares and keys, each named party by what it signed itself.

Shares are those of one dealing of their batch: how many there are, how many are needed and whose is which follow from
the committee as it was at that epoch, whoever sits there now. A batch may be dealt again between the heights of two
answers: each must show the dealing that was in force at its own height, and shares of two dealings are never combined.
Whatever several seats say alike is checked once. A record counts as known when one seat's header opens a leaf of a
batch on the ledger; who then left it out is judged in `omissions`.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
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
from salus.contracts.records.messages import Attest
from salus.contracts.records.reads import batch_of, dealer_of, dealings_of
from salus.contracts.records.tables import OVERRIDES, Batch, Dealing
from salus.core.errors import MalformedError, UnavailableError
from salus.core.ids import BatchId, ChainId, Epoch, Height, MemberId, Seat
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


@dataclass(frozen=True, slots=True)
class Dealt:
    """To whom a batch was dealt: the committee as it was at that epoch, and what the ledger says of it."""

    dealing: Dealing
    seat_of: Mapping[MemberId, Seat]
    seats: int
    needed: int  # Shares that combine to a key.


@dataclass(slots=True)
class Shares:
    """What seats served of one dealing of a record."""

    dealt: Dealt
    hashes: bytes = b""
    by_seat: dict[Seat, bytes] = field(default_factory=dict)

    @property
    def are_enough(self) -> bool:
        """Whether they combine to a key."""
        return len(self.by_seat) >= self.dealt.needed


@dataclass(slots=True)
class Known:
    """A record that some seat's header opened on the ledger."""

    header: Header
    batch: Batch
    obligations: frozenset[str]
    shares: dict[Epoch, Shares] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Its batch."""
        return self.header.record.author, self.header.record.batch_id

    @property
    def holders(self) -> list[Sequence[MemberId]]:
        """To whom it was dealt, as far as somebody served it, the latest first: their vaults keep its blobs."""
        return [tuple(self.shares[epoch].dealt.seat_of) for epoch in sorted(self.shares, reverse=True)]


class Checks:
    """The checks of one view. `known` grows with each answer."""

    def __init__(self, view: View, committee: Committee, wanted: Wanted, findings: Findings) -> None:
        self._view = view
        self._committee = committee
        self._wanted = wanted
        self._findings = findings
        self._batches = _Batches(view, wanted)
        self._dealt: dict[tuple[Place, Epoch], Dealt] = {}
        self._spoilt: set[tuple[MemberId, Place]] = set()  # Whose answer on a batch was thrown out, and named.
        self._pattern: Pattern | None = None  # Of the first answer in which nothing was amiss,
        self._patterned: list[tuple[Known, Shares] | None] = []  # and its records; none where another version stands,
        self._heights = range(0)  # at whichever of these heights it would be given.
        self._unsound: set[RecordId] = set()  # Some dealing of them is not what their headers commit to.
        self.known: dict[RecordId, Known] = {}

    # Checks 2 to 4: headers, leaves, shares.

    def take(self, one: Heard) -> None:
        """Take one seat's answer in, as far as it leads to the ledger."""
        is_like = self._pattern is not None and one.height in self._heights
        shares = self._pattern.shares_of(one.answer) if is_like and self._pattern is not None else None
        if shares is not None:
            self._take_shares(shares, one)
            return
        found = len(self._findings.accusations)
        rows = self._rows(one)
        self._take_rows(rows, one)
        if self._pattern is None and len(self._findings.accusations) == found:
            self._pattern = pattern_of(one.answer, [item for item, _ in rows])
            records = [self.known.get(header.record) for _, header in rows]
            self._heights = self._batches.alike_at({known.place for known in records if known is not None}, one.height)
            self._patterned = [None if known is None else (known, self._of(known, one.height)) for known in records]

    def _take_rows(self, rows: Sequence[Row], one: Heard) -> None:
        grouped: dict[Place, list[Row]] = {}
        for row in rows:
            record = row[1].record
            grouped.setdefault((record.author, record.batch_id), []).append(row)
        proofs = {(proof.author, proof.batch_id): proof for proof in one.answer.proofs}
        for place, of_batch in grouped.items():
            batch, fault = self._batches.opened(place, of_batch, proofs.get(place), one.height)
            if batch is None:
                self._spoilt.add((one.member, place))
                self._findings.accuse(one.member, fault, of_batch[0][1].record)
                continue
            # Overridden by now, though not yet when that seat decided: no lie, and not current either.
            gone = set() if self._wanted.selection.history else self._batches.overridden(place)
            for item, header in of_batch:
                if header.record.index not in gone:
                    known = self.known.get(header.record)
                    if known is None:
                        known = self.known[header.record] = Known(header, batch, frozenset(item.obligations))
                    self._take_share(known, self._of(known, one.height), item, one)

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
        for found, share, digest in zip(self._patterned, shares, digests, strict=True):
            if found is None:
                continue
            known, gathered = found
            seat = gathered.dealt.seat_of.get(one.member)
            if seat is None:
                continue
            if digest != gathered.hashes[DIGEST_BYTES * (seat - 1) : DIGEST_BYTES * seat]:
                self._findings.accuse(one.member, "bad_share", known.header.record)
            else:
                gathered.by_seat[seat] = share

    def _of(self, known: Known, height: Height) -> Shares:
        """What was gathered of a record's dealing in force at a height."""
        dealing = self._batches.dealing(known.place, height)
        gathered = known.shares.get(dealing.epoch)
        if gathered is None:
            gathered = known.shares[dealing.epoch] = Shares(self._dealt_at(known.place, dealing))
        return gathered

    def _dealt_at(self, place: Place, dealing: Dealing) -> Dealt:
        found = self._dealt.get((place, dealing.epoch))
        if found is None:
            committee = committee_at(self._view.state, self._wanted.committee, dealing.epoch) or self._committee
            seat_of = {holder.member: seat for seat, holder in enumerate(committee.seats, 1)}
            seats = len(committee.seats)
            found = self._dealt[place, dealing.epoch] = Dealt(dealing, seat_of, seats, threshold(seats))
        return found

    def _take_share(self, known: Known, gathered: Shares, item: Item, one: Heard) -> None:
        seat = gathered.dealt.seat_of.get(one.member)
        if seat is None:
            return  # It took its seat later, and shows what another may have left to it: of no use, and no lie.
        start = DIGEST_BYTES * (seat - 1)
        hashes = item.share_hashes
        # A share of another length would move those beside it, though a dealer in league has hashed it so.
        is_whole = len(hashes) == DIGEST_BYTES * gathered.dealt.seats and len(item.share) == KEY_BYTES
        if not is_whole or sha256(item.share).digest() != hashes[start : start + DIGEST_BYTES]:
            self._findings.accuse(one.member, "bad_share", known.header.record)
            return
        gathered.hashes = hashes
        if item.obligations:
            known.obligations = known.obligations.union(item.obligations)
        gathered.by_seat[seat] = item.share

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
                gathered = self._of(known, one.height)
                dealt, seat = gathered.dealt, gathered.dealt.seat_of.get(one.member)
                if seat is None or seat in gathered.by_seat or (one.member, record_id) in accused:
                    continue
                if (one.member, (record_id.author, record_id.batch_id)) in self._spoilt:
                    continue
                gave = sum(dealt.seat_of.get(peer) in gathered.by_seat for peer in peers)
                if gave <= faulty(dealt.seats):
                    continue
                if not dealt.dealing.is_signed_by(seat):
                    self._findings.notice(one.member, "lacks_record", record_id)
                elif one.height >= dealt.dealing.height:
                    self._findings.accuse(one.member, "omitted_record", record_id)

    # Check 5: keys.

    @property
    def lacks_shares(self) -> bool:
        """Whether a known record has too few shares of each dealing: another answer might have them."""
        return any(not any(one.are_enough for one in known.shares.values()) for known in self.known.values())

    def keys(self, findings: Findings) -> tuple[dict[RecordId, bytes], list[Gap]]:
        """Combine any `t` shares of one dealing of each record, in one go for all records that the same seats serve.

        Where the latest dealing does not lead to the key that the header commits to, its dealer is named, and an
        earlier one that was served too may still open the record.
        """
        keys: dict[RecordId, bytes] = {}
        gaps: list[Gap] = []
        rest = [(known, sorted(known.shares, reverse=True)) for known in self.known.values()]
        while rest:
            groups: dict[tuple[int, tuple[Seat, ...]], list[tuple[Known, Shares]]] = {}
            later: dict[RecordId, tuple[Known, list[Epoch]]] = {}
            for known, epochs in rest:
                usable = [epoch for epoch in epochs if known.shares[epoch].are_enough]
                if not usable:
                    record = known.header.record
                    gaps.append(Gap(record, "inconsistent_dealer" if record in self._unsound else "too_few_shares"))
                    continue
                shares = known.shares[usable[0]]
                have = tuple(sorted(shares.by_seat)[: shares.dealt.needed])
                groups.setdefault((shares.dealt.seats, have), []).append((known, shares))
                later[known.header.record] = (known, usable[1:])
            for (seats, have), group in groups.items():
                combined = self._combined(group, seats, have)
                for (_, shares), (known, key) in zip(group, combined, strict=True):
                    record = known.header.record
                    if key is not None:
                        keys[record] = key
                        del later[record]
                        continue
                    self._unsound.add(record)
                    dealer = self._dealer(known.place, shares.dealt.dealing)
                    if dealer is not None:
                        findings.accuse(dealer, "inconsistent_dealer", record)
            rest = list(later.values())
        return keys, gaps

    def _dealer(self, place: Place, dealing: Dealing) -> MemberId | None:
        """Who dealt, by the state, or else by the block itself; none where that is not here any more."""
        author, batch_id = place
        dealer = dealer_of(self._view.state, author, dealing)
        if dealer is not None:
            return dealer
        try:
            accepted = self._view.accepted(dealing.height)
        except UnavailableError:
            return None
        words = [(sponsor, said) for sponsor, said in accepted if isinstance(said, Attest) and said.author == author]
        return next((sponsor for sponsor, said in words if said.batch_id == batch_id), None)

    def _combined(
        self, group: Sequence[tuple[Known, Shares]], seats: int, have: tuple[Seat, ...]
    ) -> list[tuple[Known, bytes | None]]:
        """Each record's key; none where it is not what was dealt, or not what its header commits to."""
        combined = combine({seat: b"".join([shares.by_seat[seat] for _, shares in group]) for seat in have})
        found = [combined[at : at + DIGEST_BYTES] for at in range(0, len(combined), DIGEST_BYTES)]
        verdicts = self._dealt_again(group, found, seats)
        return [
            (known, key if is_right else None) for (known, _), key, is_right in zip(group, found, verdicts, strict=True)
        ]

    def _dealt_again(self, group: Sequence[tuple[Known, Shares]], keys: Sequence[bytes], seats: int) -> list[bool]:
        prefix = cache(partial(_prefix, self._view.chain, seats))
        contexts = [
            share_context(prefix(known.place, known.batch, shares.dealt.dealing.epoch), known.header.record.index)
            for known, shares in group
        ]
        dealt = deal_batch(keys, contexts, seats=seats, threshold=threshold(seats))
        # A share that was served matches its hash: where it is also the one dealt again, that one need not be hashed.
        unserved = [seat for seat, blob in enumerate(dealt, 1) if blob != _served(group, seat)]
        verdicts: list[bool] = []
        for place, ((known, shares), key) in enumerate(zip(group, keys, strict=True)):
            record, key_com = known.header.record, known.header.key_com
            is_dealt = all(_is_dealt(shares, seat, dealt[seat - 1], DIGEST_BYTES * place) for seat in unserved)
            verdicts.append(is_dealt and key_commitment(chain=self._view.chain, record=record, key=key) == key_com)
        return verdicts


class _Batches:
    """What the reader's own final state says of batches, and whether answers lead there."""

    def __init__(self, view: View, wanted: Wanted) -> None:
        self._view = view
        self._committee = wanted.committee
        self._seen: dict[tuple[object, ...], tuple[Batch | None, str]] = {}
        self._dealings: dict[Place, tuple[Dealing, ...]] = {}
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

    def opened(
        self, place: Place, items: Sequence[Row], proof: BatchProof | None, height: Height
    ) -> tuple[Batch | None, str]:
        """The batch on the ledger that these headers and share hashes open, as it was dealt at a height.

        None, and what is wrong, if they do not. What several seats say alike is worked out once.
        """
        if proof is None or not self.dealings(place):
            return None, "wrong_header"
        dealing = self.dealing(place, height)
        said = tuple([part for item, _ in items for part in (item.header, item.salt, item.share_hashes)])
        key = (place, dealing.epoch, proof.leaf_proof, proof.row_proof, said)
        if key not in self._seen:
            self._seen[key] = self._check(place, items, proof, dealing)
        return self._seen[key]

    def dealings(self, place: Place) -> tuple[Dealing, ...]:
        """To whom a batch was dealt, one after the other."""
        found = self._dealings.get(place)
        if found is None:
            found = self._dealings[place] = dealings_of(self._view.state, *place)
        return found

    def dealing(self, place: Place, height: Height) -> Dealing:
        """The dealing of a batch that was in force at a height."""
        first, *later = self.dealings(place)
        return next((one for one in reversed(later) if one.height <= height), first)

    def alike_at(self, places: Iterable[Place], height: Height) -> range:
        """The heights at which all these batches are dealt as they are at this one."""
        turns = [dealing.height for place in places for dealing in self.dealings(place)[1:]]
        since = max((turn for turn in turns if turn <= height), default=0)
        return range(since, min((turn for turn in turns if turn > height), default=sys.maxsize))

    def overridden(self, place: Place) -> set[int]:
        """Those of a batch in whose place another version, or nothing, stands."""
        found = self._overridden.get(place)
        if found is None:
            found = self._overridden[place] = {key[2] for key, _ in OVERRIDES.items(self._view.state, *place)}
        return found

    def _check(
        self, place: Place, items: Sequence[Row], proof: BatchProof, dealing: Dealing
    ) -> tuple[Batch | None, str]:
        """Indices must rise: of two items for one leaf only one would be proved, and the other believed."""
        batch = batch_of(self._view.state, *place)
        if batch is None or batch.committee != self._committee:
            return None, "wrong_header"
        indices = [header.record.index for _, header in items]
        if any(one >= other for one, other in pairwise(indices)):
            return None, "wrong_header"
        leaves = {index: leaf(item.salt, item.header) for index, (item, _) in zip(indices, items, strict=True)}
        rows = {index: share_row(item.share_hashes) for index, (item, _) in zip(indices, items, strict=True)}
        try:
            is_open = root_of_many(leaves, proof.leaf_proof) == batch.root
            share_root = root_of_many(rows, proof.row_proof)
        except MalformedError:
            return None, "wrong_header"
        if is_open and share_root == dealing.share_root:
            return batch, ""
        is_other = is_open and any(share_root == one.share_root for one in self.dealings(place))
        return None, "wrong_dealing" if is_other else "wrong_header"


def _served(group: Sequence[tuple[Known, Shares]], seat: Seat) -> bytes:
    return b"".join([shares.by_seat.get(seat, b"") for _, shares in group])


def _is_dealt(shares: Shares, seat: Seat, dealt: bytes, at: int) -> bool:
    start = DIGEST_BYTES * (seat - 1)
    return sha256(dealt[at : at + DIGEST_BYTES]).digest() == shares.hashes[start : start + DIGEST_BYTES]


def _prefix(chain: ChainId, seats: int, place: Place, batch: Batch, epoch: Epoch) -> bytes:
    author, batch_id = place
    return share_contexts_prefix(
        chain=chain,
        author=author,
        batch_id=batch_id,
        committee=batch.committee,
        epoch=epoch,
        seats=seats,
        threshold=threshold(seats),
    )
