"""Parties that lie with their own keys: altered software at a keeper, a vault, an author, a log.

Each takes over the place of the honest part in a running member, so that what others meet is a member that holds real
keys, real shares and a real seat, and does one thing wrong. `keepers.py`, `vaults.py` and `dealers.py` use them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256

from salus.contracts.consent import ReadRequest
from salus.contracts.members.messages import Committee
from salus.contracts.reads.opening import Opening
from salus.contracts.records.batch import DIGEST_BYTES, leaf_levels
from salus.contracts.records.header import Header, leaf
from salus.contracts.records.messages import SeatReceipt
from salus.core.ids import BatchId, Digest, MemberId, Seat, SubjectId
from salus.core.transport import PeerRefusalError
from salus.core.wire import decode, encode, replace
from salus.keeper.access_log import AccessLog
from salus.keeper.answers import Answers
from salus.keeper.messages import Ask, Deposit, Deposited, DepositRefused, Entry, LogTold, RepairDeposit
from salus.keeper.policies import Held
from salus.keeper.releasing import Found
from salus.node.member import Member
from salus.sdk.author import Author, NewDocument
from salus.sdk.author import _Draft as Draft
from salus.sdk.author_store import Plan
from salus.sdk.drafting import OwnEntry
from salus.vault.messages import Blobs, GetBlobs

Tamper = Callable[[list[Found]], None]
TellLog = Callable[[LogTold], LogTold]
Hand = Callable[[tuple[bytes | None, ...]], tuple[bytes | None, ...]]


class LyingAnswers(Answers):
    """A keeper that decides and logs as it should, then alters what it is about to answer, and signs that."""

    def __init__(self, honest: Answers, tamper: Tamper) -> None:
        self.__dict__.update(honest.__dict__)
        self._tamper = tamper

    def _judged(
        self,
        opening: Opening,
        facts: ReadRequest,
        policy: Held | None,
        only: set[tuple[MemberId, BatchId]] | None = None,
    ) -> tuple[list[Found], Counter[str]]:
        found, withheld = super()._judged(opening, facts, policy, only)
        self._tamper(found)
        return found, withheld


@contextmanager
def lying_keeper(member: Member, tamper: Tamper) -> Iterator[None]:
    """Let a member's keeper tamper with every answer for a while."""
    liar = LyingAnswers(member.keeper.answers, tamper)
    member.door.answer(Ask, liar.answer)
    try:
        yield
    finally:
        member.door.answer(Ask, member.keeper.answers.answer)


def alter_entries(found: list[Found], change: Callable[[Entry], Entry]) -> None:
    """Change every entry that a keeper is about to answer with, leaving the paths as they are."""
    for one in found:
        one.holding = replace(one.holding, entries=tuple(change(entry) for entry in one.holding.entries))


@contextmanager
def stuck_policy(member: Member, held: Held) -> Iterator[None]:
    """Let a member's keeper go on deciding by a policy version that is over."""

    async def current(_subject: SubjectId) -> Held:
        return held

    policies = member.keeper.policies
    setattr(policies, "current", current)  # noqa: B010 - an operator's own change to its own software
    try:
        yield
    finally:
        delattr(policies, "current")


@contextmanager
def lying_vault(member: Member, hand: Hand) -> Iterator[None]:
    """Let a member's vault hand readers something else than it holds."""

    async def get(sender: MemberId, wanted: GetBlobs) -> Blobs:
        honest = await member.vault.get(sender, wanted)
        return Blobs(blobs=hand(honest.blobs))

    member.door.answer(GetBlobs, get)
    try:
        yield
    finally:
        member.door.answer(GetBlobs, member.vault.get)


class LyingLog(AccessLog):
    """A keeper's log that tells the patient something else than it holds."""

    def __init__(self, honest: AccessLog, tell: TellLog) -> None:
        self.__dict__.update(honest.__dict__)
        self._tell = tell

    def told(self, subject: SubjectId, after: int) -> LogTold:
        """See `AccessLog.told`."""
        return self._tell(super().told(subject, after))


@contextmanager
def lying_log(member: Member, tell: TellLog) -> Iterator[None]:
    """Let a member's keeper tell the patient another log than it holds."""
    honest = member.keeper.log
    member.keeper.log = LyingLog(honest, tell)
    try:
        yield
    finally:
        member.keeper.log = honest


class LyingAuthor(Author):
    """An author that deals wrongly, with a member's own keys and store. Subclasses do one thing each."""

    def __init__(self, member: Member) -> None:
        super().__init__(member.gateway, member.store, member.blobs)
        self.refusals: list[str] = []  # What keepers said to it.

    async def _ask_seat(self, member: MemberId, deposit: Deposit | RepairDeposit) -> Deposited | DepositRefused:
        try:
            return await super()._ask_seat(member, deposit)
        except PeerRefusalError as error:
            self.refusals.append(error.said)
            raise


class WrongShareAuthor(LyingAuthor):
    """Sends seats shares that are not the ones it promised all of them."""

    def _dealt(self, plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> tuple[list[bytes], list[bytes]]:
        shares, hashes = super()._dealt(plan, entries, committee)
        return [flipped(one) for one in shares], hashes


class LastSeatAuthor(LyingAuthor):
    """Deals the last seat a share off the curve, and promises exactly that share: no keeper can see it."""

    def _dealt(self, plan: Plan, entries: Sequence[OwnEntry], committee: Committee) -> tuple[list[bytes], list[bytes]]:
        shares, hashes = super()._dealt(plan, entries, committee)
        shares[-1] = flipped(shares[-1])
        at = range(0, len(shares[-1]), DIGEST_BYTES)
        off = [digest_of(shares[-1][start : start + DIGEST_BYTES]) for start in at]
        return shares, [row[:-DIGEST_BYTES] + one for row, one in zip(hashes, off, strict=True)]


class OtherKeyAuthor(LyingAuthor):
    """Commits in the header to another key than the one it deals."""

    def _add(self, draft: Draft, document: NewDocument, index: int, chance: bytes) -> None:
        super()._add(draft, document, index, chance)
        entry = draft.own[document.subject][-1]
        header = replace(decode(Header, entry.header), key_com=digest_of(entry.key))
        draft.own[document.subject][-1] = replace(entry, header=encode(header))


class TwoHeadersAuthor(LyingAuthor):
    """Sends some seats another header for the same leaf, each under a root that fits it, and collects receipts."""

    def __init__(self, member: Member, other_seats: frozenset[Seat], *, keep_receipts: bool) -> None:
        super().__init__(member)
        self._other_seats = other_seats
        self._keep_receipts = keep_receipts

    async def _deposit(
        self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee
    ) -> list[SeatReceipt] | DepositRefused:
        receipts = await super()._deposit(plan, own, committee)
        if isinstance(receipts, DepositRefused) or self._keep_receipts:
            return receipts
        return [receipt for receipt in receipts if receipt.seat not in self._other_seats]

    def _receipt(self, plan: Plan, committee: Committee, seat: Seat, reply: Deposited) -> SeatReceipt | None:
        """It anchors whatever was signed, under whichever root."""
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
        if seat in self._other_seats:
            entries = [replace(entry, header=other_header(entry.header)) for entry in entries]
            leaves = {entry.index: leaf(entry.salt, entry.header) for entry in entries}
            plan = replace(plan, root=leaf_levels(leaves, plan.dummy_seed)[-1])
        return await super()._deposit_one(plan, own, entries, shares, hashes, seat, committee)


def other_header(header: bytes) -> bytes:
    """The same header, but of another resource type and without the bits of the law."""
    return encode(replace(decode(Header, header), fhir_type="Basic", bits=0))


def flipped(data: bytes, at: int = 0) -> bytes:
    """The same bytes with one bit turned."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def digest_of(data: bytes) -> Digest:
    """SHA-256, as shares are promised."""
    return sha256(data).digest()
