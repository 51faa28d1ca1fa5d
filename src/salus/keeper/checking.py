"""What a keeper works out about a deposit from its bytes alone, on whichever core: does everything lead to the roots?

Nothing here asks a store, a ledger or a clock; `deposits.py` does, before and after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Part:
    """Where one subject's entries stand in a deposit, and the paths of their records to both roots."""

    subject: SubjectId
    places: tuple[int, ...]  # Among the deposit's entries.
    indices: tuple[int, ...]
    leaf_proof: bytes
    row_proof: bytes


Layout = tuple[Part, ...]
_Face = tuple[int, Name, BatchId, Digest, Digest, Digest, list[tuple[int, bytes, bytes, bytes]]]


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


def check_deposits(given: Sequence[bytes]) -> list[bytes]:
    """`Work`: an encoded `ToCheck` becomes an encoded `Sound`, `Unsound` or `Unread`.

    What the seats of one batch get differs in their shares alone. What was laid out of one deposit and led to the roots
    holds for another that is the same byte for byte but for those; of every deposit all bytes are compared.
    """
    known: list[tuple[_Face, Layout]] = []
    return [encode(_checked(decode(ToCheck, one), known)) for one in given]


def _checked(order: ToCheck, known: list[tuple[_Face, Layout]]) -> Sound | Unsound | Unread:
    try:
        shares = decode(BatchShares, order.body)
        face = _face(shares, order.seats)
        layout = next((layout for another, layout in known if another == face), None)
        if layout is None:
            layout = lay_out(shares, order.seats)
            known.append((face, layout))
        check_shares(shares)
    except MalformedError:
        return Unread()
    except InconsistentDealerError as error:
        return Unsound(str(error.facts["reason"]), int(error.facts.get("index", -1)))
    return Sound(tuple([_held(shares.entries, part) for part in layout]))


def _face(shares: BatchShares, seats: int) -> _Face:
    """All that `lay_out` looks at."""
    entries = [(entry.index, entry.salt, entry.header, entry.share_hashes) for entry in shares.entries]
    return seats, shares.author, shares.batch_id, shares.root, shares.share_root, shares.dummy_seed, entries


def _held(entries: Sequence[Entry], part: Part) -> HeldOf:
    holding = Holding(tuple([entries[place] for place in part.places]), part.leaf_proof, part.row_proof)
    return HeldOf(part.subject, part.indices, encode(holding))


def lay_out(shares: BatchShares, seats: int) -> Layout:
    """Which entries are whose, and their paths, if headers and share hashes lead to the roots.

    Raises:
        InconsistentDealerError: no header, an index out of order, a header of another place, not one share hash per
            seat, or another root.
    """
    by_subject: dict[SubjectId, list[int]] = {}
    leaves: dict[int, Digest] = {}
    rows: dict[int, Digest] = {}
    hashes_bytes = DIGEST_BYTES * seats
    batch_id, author = shares.batch_id, shares.author
    previous = -1
    for place, (entry, header) in enumerate(zip(shares.entries, _headers(shares), strict=True)):
        index, share_hashes = entry.index, entry.share_hashes
        record = header.record
        if index <= previous or record.index != index or record.batch_id != batch_id or record.author != author:
            raise InconsistentDealerError(reason="a header of another place", index=index)
        if len(share_hashes) != hashes_bytes:
            raise InconsistentDealerError(reason="not one share hash per seat", index=index)
        leaves[index] = leaf(entry.salt, entry.header)
        rows[index] = share_row(share_hashes)
        by_subject.setdefault(header.subject, []).append(place)
        previous = index
    leaf_tree = leaf_levels(leaves, shares.dummy_seed)
    row_tree = row_levels(rows, shares.dummy_seed)
    if leaf_tree[-1] != shares.root:
        raise InconsistentDealerError(reason="headers do not lead to the root")
    if row_tree[-1] != shares.share_root:
        raise InconsistentDealerError(reason="share hashes do not lead to the share root")
    return tuple([_part(shares, subject, places, leaf_tree, row_tree) for subject, places in by_subject.items()])


def _part(shares: BatchShares, subject: SubjectId, places: Sequence[int], leaves: Levels, rows: Levels) -> Part:
    indices = [shares.entries[place].index for place in places]
    leaf_proof, row_proof = prove_alike((leaves, rows), indices)
    return Part(subject, tuple(places), tuple(indices), leaf_proof, row_proof)


def check_shares(shares: BatchShares) -> None:
    """Whether this seat's shares are those whose hashes every seat gets.

    Raises:
        InconsistentDealerError: one is not of 32 bytes, or not its hash.
    """
    start = DIGEST_BYTES * (shares.seat - 1)
    end = start + DIGEST_BYTES
    for entry in shares.entries:
        if len(entry.share) != SHARE_BYTES or sha256(entry.share).digest() != entry.share_hashes[start:end]:
            raise InconsistentDealerError(reason="a share is not its hash", index=entry.index)


def _headers(shares: BatchShares) -> list[Header]:
    try:
        return decode_all(Header, [entry.header for entry in shares.entries])
    except MalformedError as error:
        index = shares.entries[int(error.facts["place"])].index
        raise InconsistentDealerError(reason="no header", index=index) from None
