"""What a keeper works out about a deposit from its bytes alone, on whichever core: does everything lead to the roots?

Nothing here asks a store, a ledger or a clock; `deposits.py` does, before and after. Both say the same of a deposit
that is not sound, since `check_shares` is the only judge.
"""

from hashlib import sha256
from typing import Any

import msgspec

from salus.contracts.records.batch import DIGEST_BYTES, leaf_levels, row_levels, share_row
from salus.contracts.records.header import Header, leaf
from salus.core.errors import MalformedError
from salus.core.ids import BatchId, ChainId, CommitteeId, Digest, Epoch, LeafIndex, Name, Seat, SubjectId, Unsigned
from salus.core.wire import Record, decode, decode_all, encode
from salus.crypto.merkle import Levels, prove_alike
from salus.keeper.errors import InconsistentDealerError
from salus.keeper.messages import BatchShares, Entry

SHARE_BYTES = 32

BySubject = dict[SubjectId, list[Entry]]


class Holding(Record, tag="h/1", frozen=True):
    """What a keeper holds of one subject in one batch, and the paths of those records to both roots."""

    entries: tuple[Entry, ...]
    leaf_proof: bytes
    row_proof: bytes


class BatchHead(Record, tag="keeper.batch_shares/1", frozen=True):
    """`BatchShares` with its entries unread: who sends what to whom is judged first."""

    chain: ChainId
    author: Name
    batch_id: BatchId
    committee: CommitteeId
    epoch: Epoch
    seat: Seat
    root: Digest
    share_root: Digest
    dummy_seed: Digest
    entries: msgspec.Raw


class ToCheck(Record, tag="keeper.to_check/1", frozen=True):
    """An encoded `BatchShares`, and how many seats its committee has."""

    seats: Unsigned
    body: bytes


class HeldOf(Record, tag="keeper.held_of/1", frozen=True):
    """What is to be held of one subject."""

    subject: SubjectId
    indices: tuple[LeafIndex, ...]
    holding: bytes  # An encoded `Holding`.


class Sound(Record, tag="keeper.sound/1", frozen=True):
    """Everything leads to the roots."""

    held: tuple[HeldOf, ...]


class Unsound(Record, tag="keeper.unsound/1", frozen=True):
    """The code of what is wrong, and where."""

    reason: str
    index: int  # -1 where it is not one entry's fault.


class Unread(Record, tag="keeper.unread/1", frozen=True):
    """The bytes are not a `BatchShares` in its one encoding."""


CHECKED: Any = Sound | Unsound | Unread  # The shape of an answer.


def check_deposit(given: bytes) -> bytes:
    """`Work`: an encoded `ToCheck` becomes an encoded `Sound`, `Unsound` or `Unread`."""
    order = decode(ToCheck, given)
    try:
        shares = decode(BatchShares, order.body)
        return encode(Sound(_held(*check_shares(shares, order.seats))))
    except MalformedError:
        return encode(Unread())
    except InconsistentDealerError as error:
        return encode(Unsound(str(error.facts["reason"]), int(error.facts.get("index", -1))))


def _held(by_subject: BySubject, leaves: Levels, rows: Levels) -> tuple[HeldOf, ...]:
    """Per subject what is to be held, with its paths to both roots."""
    held = []
    for subject, entries in by_subject.items():
        indices = [entry.index for entry in entries]
        leaf_proof, row_proof = prove_alike((leaves, rows), indices)
        held.append(HeldOf(subject, tuple(indices), encode(Holding(tuple(entries), leaf_proof, row_proof))))
    return tuple(held)


def check_shares(shares: BatchShares, seats: int) -> tuple[BySubject, Levels, Levels]:
    """Entries by subject, and both trees, if everything leads to the roots.

    Raises:
        InconsistentDealerError: no header, an index out of order, a header of another place, a share that is not its
            hash, or another root.
    """
    by_subject: BySubject = {}
    leaves: dict[int, Digest] = {}
    rows: dict[int, Digest] = {}
    start = DIGEST_BYTES * (shares.seat - 1)
    end, hashes_bytes = start + DIGEST_BYTES, DIGEST_BYTES * seats
    batch_id, author = shares.batch_id, shares.author
    previous = -1
    for entry, header in zip(shares.entries, _headers(shares), strict=True):
        index, share_hashes = entry.index, entry.share_hashes
        record = header.record
        if index <= previous or record.index != index or record.batch_id != batch_id or record.author != author:
            raise InconsistentDealerError(reason="a header of another place", index=index)
        if len(share_hashes) != hashes_bytes or len(entry.share) != SHARE_BYTES:
            raise InconsistentDealerError(reason="not one share hash per seat", index=index)
        if sha256(entry.share).digest() != share_hashes[start:end]:
            raise InconsistentDealerError(reason="a share is not its hash", index=index)
        leaves[index] = leaf(entry.salt, entry.header)
        rows[index] = share_row(share_hashes)
        by_subject.setdefault(header.subject, []).append(entry)
        previous = index
    leaf_tree = leaf_levels(leaves, shares.dummy_seed)
    row_tree = row_levels(rows, shares.dummy_seed)
    if leaf_tree[-1] != shares.root:
        raise InconsistentDealerError(reason="headers do not lead to the root")
    if row_tree[-1] != shares.share_root:
        raise InconsistentDealerError(reason="share hashes do not lead to the share root")
    return by_subject, leaf_tree, row_tree


def _headers(shares: BatchShares) -> list[Header]:
    try:
        return decode_all(Header, [entry.header for entry in shares.entries])
    except MalformedError as error:
        index = shares.entries[int(error.facts["place"])].index
        raise InconsistentDealerError(reason="no header", index=index) from None
