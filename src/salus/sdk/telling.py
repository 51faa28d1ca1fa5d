"""What keepers of before tell a successor of a departed author's batch: checked against the ledger, share by share.

As a reader's checks (`checks.py`), of one batch and for all its patients. Who signed something else is named; who said
nothing that it signed is only away. What becomes of the shares is in `repairing.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import member_of
from salus.contracts.reads.opening import RepairOpening
from salus.contracts.records.batch import DIGEST_BYTES, share_row
from salus.contracts.records.header import Header, RecordId, leaf
from salus.contracts.records.tables import Batch, Dealing
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import LeafIndex, Seat, SubjectId
from salus.core.wire import decode
from salus.crypto.hpke import OpeningKey
from salus.crypto.merkle import root, root_of_many
from salus.crypto.signatures import verify
from salus.keeper.answers import unpadded
from salus.keeper.checking import SHARE_BYTES, Holding
from salus.keeper.messages import RepairAnswer, SealedAnswer, Witness, info, repair_statement
from salus.keeper.repairs import indices_of
from salus.sdk.gateway import Gateway
from salus.sdk.views import Findings


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What one keeper of before told, and was not caught at."""

    seat: Seat
    witness: Witness
    holdings: tuple[Holding, ...]
    shares: Mapping[LeafIndex, bytes]


class Telling:
    """Whether what keepers of before tell of a batch leads to the ledger; whoever signed something else is named."""

    def __init__(
        self,
        gateway: Gateway,
        opening: RepairOpening,
        reply_key: OpeningKey,
        batch: Batch,
        dealing: Dealing,
        before: Committee,
        findings: Findings,
    ) -> None:
        self._gateway = gateway
        self._opening = opening
        self._reply_key = reply_key
        self._batch = batch
        self._dealing = dealing
        self._before = before
        self._findings = findings
        self._seen: dict[Seat, Told | None] = {}
        state = gateway.view.state
        self.seats = [
            seat for seat, holder in enumerate(before.seats, 1) if member_of(state, holder.member) is not None
        ]

    def alike(self, replies: Mapping[Seat, SealedAnswer | SalusError]) -> list[Told]:
        """Those that hold and name the same records, as most do, by seat: a cell may be closed between two answers."""
        by_indices: dict[bytes, list[Told]] = {}
        for seat, reply in sorted(replies.items()):
            if seat not in self._seen and isinstance(reply, SealedAnswer):
                self._seen[seat] = self._told(seat, reply)
            told = self._seen.get(seat)
            if told is not None:
                by_indices.setdefault(told.witness.head.indices, []).append(told)
        return max(by_indices.values(), key=len, default=[])

    def _told(self, seat: Seat, reply: SealedAnswer) -> Told | None:
        member, opening = self._before.seats[seat - 1].member, self._opening
        entry = member_of(self._gateway.view.state, member)
        try:
            opened = self._reply_key.open(reply.sealed, info(self._gateway.chain, "repair answer"))
            answer = decode(RepairAnswer, unpadded(opened))
        except MalformedError:
            return None  # Nobody signed it.
        head = answer.head
        if entry is None or not verify(entry.keys.keeper, repair_statement(head), answer.signature):
            return None
        asked = (opening.chain, opening.request_id, opening.author, opening.batch_id)
        is_ours = (head.chain, head.request_id, head.author, head.batch_id) == asked
        of_dealing = (head.committee, head.epoch, head.seat) == (self._batch.committee, self._dealing.epoch, seat)
        if not is_ours or not of_dealing or head.root != root(answer.holdings):
            self._findings.accuse_once(member, "bad_signature")
            return None
        try:
            holdings = tuple([decode(Holding, data) for data in answer.holdings])
            shares = self._shares(seat, holdings)
        except MalformedError:
            shares = None
        if shares is None or indices_of([tuple(shares)]) != head.indices:
            self._findings.accuse_once(member, "wrong_header")
            return None
        return Told(seat, Witness(head=head, signature=answer.signature), holdings, shares)

    def _shares(self, seat: Seat, holdings: Sequence[Holding]) -> dict[LeafIndex, bytes] | None:
        """A seat's shares by index; none where a header, path or share does not hold.

        Raises:
            MalformedError: as where they do not.
        """
        shares: dict[LeafIndex, bytes] = {}
        subjects: list[SubjectId] = []
        start = DIGEST_BYTES * (seat - 1)
        for holding in holdings:
            indices = [entry.index for entry in holding.entries]
            headers = [decode(Header, entry.header) for entry in holding.entries]
            leaves = {entry.index: leaf(entry.salt, entry.header) for entry in holding.entries}
            rows = {entry.index: share_row(entry.share_hashes) for entry in holding.entries}
            is_open = (
                indices == sorted(leaves)
                and root_of_many(leaves, holding.leaf_proof) == self._batch.root
                and root_of_many(rows, holding.row_proof) == self._dealing.share_root
            )
            if not is_open or len({header.subject for header in headers}) != 1:
                return None
            subjects.append(headers[0].subject)
            for entry, header in zip(holding.entries, headers, strict=True):
                place = RecordId(self._opening.author, self._opening.batch_id, entry.index)
                hashes = entry.share_hashes
                is_whole = len(hashes) == DIGEST_BYTES * len(self._before.seats) and len(entry.share) == SHARE_BYTES
                is_its = sha256(entry.share).digest() == hashes[start : start + DIGEST_BYTES]
                if header.record != place or not is_whole or not is_its or entry.index in shares:
                    return None
                shares[entry.index] = entry.share
        return shares if len(set(subjects)) == len(subjects) else None


def subject_of(holding: Holding) -> SubjectId:
    """Whose a holding is."""
    return decode(Header, holding.entries[0].header).subject
