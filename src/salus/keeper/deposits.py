"""Taking shares of a batch into keeping: all is checked before anything is stored, and stored before it is signed.

    1. The envelope opens for this seat, and the author signed what is inside.
    2. Headers lead to the batch root, share hashes to the share root, this seat's shares to their hashes (`checking`).
    3. Each subject's policy in force names the author as a writer; indices that fail are named, the rest may go on.
    4. Shares, headers and salts are wrapped under each subject's key and are durable.
    5. The receipt binds chain, epoch, both roots and a time until which the deposit is good without a block.

The envelope itself is not kept. A record is served only once this keeper's own final state holds the batch.
"""

from collections.abc import Callable, Iterator, Sequence

import sqlalchemy as sa

from salus.contracts.cells.tables import Status
from salus.contracts.consent.policy import is_writer
from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import member_of
from salus.contracts.records.header import Header
from salus.contracts.records.reads import batch_of, dealings_of, is_in_force
from salus.contracts.records.statements import deposited
from salus.core.clock import Clock
from salus.core.errors import MalformedError
from salus.core.ids import HOUR_MS, BatchId, Digest, MemberId, SubjectId, TimeMs
from salus.core.wire import decode, encode, reopen
from salus.core.work import Carry, done_here
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.checking import (
    CHECKED,
    BatchHead,
    HeldOf,
    Holding,
    Sound,
    ToCheck,
    Unread,
    Unsound,
    check_deposits,
)
from salus.keeper.errors import (
    DepositConflictError,
    EnvelopeError,
    InconsistentDealerError,
    NotSeatedError,
    PolicyMissingError,
    QuotaError,
    StaleError,
)
from salus.keeper.messages import (
    Deposit,
    Deposited,
    DepositRefused,
    Signed,
    batch_statement,
    info,
)
from salus.keeper.policies import Policies
from salus.keeper.seats import own_seat
from salus.keeper.store import BATCHES, HOLDINGS, SubjectStore, upsert
from salus.machine.view import View

GOOD_MS = 2 * HOUR_MS  # How long a deposit waits for its batch; transactions are valid for at most one hour.
ROOTS_MAX = 4  # Under how many roots an author may deal one batch: refused records change them.
WAITING_MAX = 4096  # Batches of one author that the ledger does not have yet.
ROUNDS_MAX = 4  # How often a deposit is judged anew because a block came in between.

# Built once: it stands in the way of every answer.
_HOLDINGS_OF = sa.select(
    HOLDINGS.c.author, HOLDINGS.c.batch_id, HOLDINGS.c.root, HOLDINGS.c.share_root, HOLDINGS.c.wrapped
).where(HOLDINGS.c.tag == sa.bindparam("tag"), HOLDINGS.c.author != sa.bindparam("left_out"))

Roots = tuple[Digest, Digest]  # Of headers and of share hashes.

Judge = Callable[[], None]

# Built once: asked for every deposit.
_BY_AUTHOR = BATCHES.c.author == sa.bindparam("author")
_ROOTS = sa.select(BATCHES.c.root, BATCHES.c.share_root).where(_BY_AUTHOR, BATCHES.c.batch_id == sa.bindparam("batch"))
_WAITING = sa.select(sa.func.count()).where(BATCHES.c.good_until > 0, _BY_AUTHOR)


def _no_more() -> None:
    """There is nothing else to judge, or to note."""


class Deposits:
    """The keeper's side of sealing."""

    def __init__(
        self,
        member: MemberId,
        store: SubjectStore,
        view: View,
        policies: Policies,
        opening_key: OpeningKey,
        signing_key: SigningKey,
        clock: Clock,
        carry: Carry = done_here,
    ) -> None:
        self._member = member
        self._store = store
        self._view = view
        self._policies = policies
        self._opening_key = opening_key
        self._signing_key = signing_key
        self._clock = clock
        self._carry = carry

    async def accept(self, sender: MemberId, deposit: Deposit) -> Deposited | DepositRefused:
        """Check, store, sign. Safe to repeat: the same batch gives a receipt again.

        Raises, in this order:
            EnvelopeError: it does not open, is for another chain or seat, or its author did not sign it.
            NotSeatedError: this member does not hold the seat, or the epoch has passed.
            InconsistentDealerError: headers, hashes or shares do not lead to the roots.
            DepositConflictError: the ledger holds this batch under other roots, or dealt to this epoch otherwise.
            StaleError: blocks came faster than policies could be fetched.
            QuotaError: this author has dealt the batch under too many roots, or too many batches that are not final.
        """
        shares, body = self._opened(sender, deposit)
        held = await self._checked(shares, body)
        return await self.take(shares, held)

    async def take(
        self, shares: BatchHead, held: Sequence[HeldOf], judge: Judge = _no_more, note: Judge = _no_more
    ) -> Deposited | DepositRefused:
        """Keep what leads to the roots, and sign. `judge` raises in the state in which all is judged; `note` is told
        before anything is stored that was not here before. Raises as `accept`, from NotSeatedError on.
        """
        refused = await self._refused_now(shares, held, judge)
        if refused:
            return DepositRefused(indices=tuple(sorted(refused)))
        self._check_room(shares)
        if not self._is_here(shares):
            note()
        good_until = max(self._view.time, self._clock()) + GOOD_MS
        self._keep(shares, held, good_until)
        statement = deposited(
            chain=shares.chain,
            author=shares.author,
            batch_id=shares.batch_id,
            root=shares.root,
            share_root=shares.share_root,
            committee=shares.committee,
            epoch=shares.epoch,
            good_until=good_until,
        )
        return Deposited(seat=shares.seat, good_until=good_until, signature=self._signing_key.sign(statement))

    def missing(self, author: MemberId, batches: tuple[tuple[BatchId, Digest, Digest], ...]) -> tuple[BatchId, ...]:
        """Which of an author's batches, by id and both roots, are not held here: what its outbox deals again."""
        query = sa.select(BATCHES.c.batch_id, BATCHES.c.root, BATCHES.c.share_root).where(BATCHES.c.author == author)
        wanted = query.where(BATCHES.c.batch_id.in_([batch_id for batch_id, _, _ in batches]))
        held = {tuple(row) for row in self._store.connection.execute(wanted)}
        return tuple(batch[0] for batch in batches if batch not in held)

    def holdings_in(self, author: MemberId, batch_id: BatchId, roots: Roots) -> list[tuple[bytes, Holding]] | None:
        """All that is held of a batch under these roots, encoded and not; none where it is not held."""
        place = (author, batch_id, *roots)
        if self._store.connection.execute(sa.select(BATCHES.c.author).where(*_at(BATCHES, place))).first() is None:
            return None
        query = sa.select(HOLDINGS.c.tag, HOLDINGS.c.wrapped).where(*_at(HOLDINGS, place)).order_by(HOLDINGS.c.tag)
        rows = self._store.connection.execute(query).all()
        found = [self._store.unwrapped(bytes(row.tag), row.wrapped, _context(*place)) for row in rows]
        return [(data, reopen(Holding, data)) for data in found]

    def holdings_of(
        self,
        subject: SubjectId,
        *,
        except_author: MemberId | None = None,
        only: set[tuple[MemberId, BatchId]] | None = None,
    ) -> Iterator[tuple[MemberId, BatchId, Roots, Holding]]:
        """What is held of a subject, but for one author's, or in some batches alone: author, batch, roots, content."""
        tag = self._store.tag(subject)
        asked = {"tag": tag, "left_out": except_author or ""}
        for author, batch_id, root, share_root, wrapped in self._store.connection.execute(_HOLDINGS_OF, asked).all():
            if only is None or (author, batch_id) in only:
                data = self._store.unwrapped(tag, wrapped, _context(author, batch_id, root, share_root))
                yield author, batch_id, (root, share_root), reopen(Holding, data)

    def tags_in(self, author: MemberId, batch_id: BatchId) -> list[bytes]:
        """The tags of subjects with records in a batch."""
        query = sa.select(HOLDINGS.c.tag).where(HOLDINGS.c.author == author, HOLDINGS.c.batch_id == batch_id)
        return [bytes(row.tag) for row in self._store.connection.execute(query)]

    def batches(self) -> list[tuple[MemberId, BatchId]]:
        """Every batch held here that the ledger has, under the same roots."""
        query = sa.select(BATCHES.c.author, BATCHES.c.batch_id, BATCHES.c.root, BATCHES.c.share_root)
        rows = self._store.connection.execute(query).all()
        return [(author, batch_id) for author, batch_id, *roots in rows if self._is_final(author, batch_id, *roots)]

    def blobs_in(self, author: MemberId, batch_id: BatchId) -> list[Digest]:
        """See `blobs_held`."""
        return blobs_held(self._store, author, batch_id)

    def drop_expired(self) -> int:
        """Forget deposits whose batch did not become final in time; how many. Looks at those that still wait alone."""
        now = self._view.time
        query = sa.select(BATCHES.c.author, BATCHES.c.batch_id, BATCHES.c.root, BATCHES.c.share_root)
        waiting = query.add_columns(BATCHES.c.good_until).where(BATCHES.c.good_until > 0)
        rows = self._store.connection.execute(waiting).all()
        final = [place for *place, _ in rows if self._is_final(*place)]
        expired = [place for *place, good_until in rows if good_until < now and place not in final]
        if not final and not expired:
            return 0
        with self._store.commit("keeper.drop") as connection:
            for place in final:
                connection.execute(BATCHES.update().where(*_at(BATCHES, place)).values(good_until=0))
            for place in expired:
                for table in (BATCHES, HOLDINGS):
                    connection.execute(table.delete().where(*_at(table, place)))
        return len(expired)

    def _is_final(self, author: MemberId, batch_id: BatchId, root: Digest, share_root: Digest) -> bool:
        return is_in_force(self._view.state, author, batch_id, root, share_root)

    def _is_here(self, shares: BatchHead) -> bool:
        place = {"author": shares.author, "batch": shares.batch_id}
        return (shares.root, shares.share_root) in {tuple(row) for row in self._store.connection.execute(_ROOTS, place)}

    def _check_room(self, shares: BatchHead) -> None:
        """What waits for a block, and is dropped without one, may not fill the disk in the meantime."""
        place = {"author": shares.author, "batch": shares.batch_id}
        held = {tuple(row) for row in self._store.connection.execute(_ROOTS, place)}
        if (shares.root, shares.share_root) in held or self._is_final(
            shares.author, shares.batch_id, shares.root, shares.share_root
        ):
            return
        if len(held) >= ROOTS_MAX:
            raise QuotaError(roots_of_batch=ROOTS_MAX)
        if self._waiting(shares.author) >= WAITING_MAX:
            self.drop_expired()
            if self._waiting(shares.author) >= WAITING_MAX:
                raise QuotaError(waiting_batches=WAITING_MAX)

    def _waiting(self, author: MemberId) -> int:
        return int(self._store.connection.execute(_WAITING, {"author": author}).scalar_one())

    def seated(self, shares: BatchHead) -> Committee:
        """The committee, if this member has the seat now.

        Raises:
            NotSeatedError: it has not, or the epoch has passed.
        """
        committee = own_seat(self._view.state, shares.committee, shares.seat, self._member)
        if shares.epoch != committee.epoch:
            raise NotSeatedError(seat=shares.seat, epoch=committee.epoch)
        return committee

    async def _checked(self, shares: BatchHead, body: bytes) -> tuple[HeldOf, ...]:
        """What is to be held; blocks may come meanwhile, so what depends on them is judged afterwards."""
        order = ToCheck(len(self.seated(shares).seats), body)
        found: Sound | Unsound | Unread = decode(CHECKED, await self._carry(check_deposits, encode(order)))
        if isinstance(found, Unread):
            raise EnvelopeError(seat=shares.seat)
        if isinstance(found, Unsound):
            facts = {} if found.index < 0 else {"index": found.index}
            raise InconsistentDealerError(reason=found.reason, **facts)
        return found.held

    async def _refused_now(self, shares: BatchHead, held: Sequence[HeldOf], judge: Judge) -> list[int]:
        """Indices refused, all judged in one state: a block that comes while a policy is fetched may revoke another."""
        for _ in range(ROUNDS_MAX):
            height = self._view.height
            self.seated(shares)
            judge()
            final = batch_of(self._view.state, shares.author, shares.batch_id)
            if final is not None and (final.root != shares.root or self._is_dealt_otherwise(shares)):
                raise DepositConflictError(batch_id=shares.batch_id)
            refused = await self._refused(shares, held, is_final=final is not None)
            if self._view.height == height:
                return refused
        raise StaleError(height=self._view.height)

    def _is_dealt_otherwise(self, shares: BatchHead) -> bool:
        """A batch dealt to an earlier epoch alone may be dealt again, under another share root; once it is, it is."""
        dealing = dealings_of(self._view.state, shares.author, shares.batch_id)[-1]
        return dealing.epoch >= shares.epoch and dealing.share_root != shares.share_root

    def _opened(self, sender: MemberId, deposit: Deposit) -> tuple[BatchHead, bytes]:
        """Who deals what, and the bytes that its author signed."""
        chain = self._view.chain
        try:
            signed = decode(Signed, self._opening_key.open(deposit.sealed, info(chain, "deposit")))
            shares = decode(BatchHead, signed.body)
        except MalformedError:
            raise EnvelopeError(seat=deposit.seat) from None
        author = member_of(self._view.state, shares.author)
        if shares.chain != chain or shares.seat != deposit.seat or shares.author != sender or author is None:
            raise EnvelopeError(seat=deposit.seat)
        if not verify(author.keys.ledger, batch_statement(signed.body), signed.signature):
            raise EnvelopeError(seat=deposit.seat)
        return shares, signed.body

    async def _refused(self, shares: BatchHead, held: Sequence[HeldOf], *, is_final: bool) -> list[int]:
        refused: list[int] = []
        for one in held:
            if not await self._may_write(shares, one.subject, is_final=is_final):
                refused += one.indices
        return refused

    async def _may_write(self, shares: BatchHead, subject: SubjectId, *, is_final: bool) -> bool:
        """A batch that is final was judged by a quorum: dealt again later, its author need not be a writer still.

        Of a subject whose cell is closed nothing is kept, and the batch's other records are not held up by it.
        """
        if is_final and self._policies.is_closed(subject):
            return True
        try:
            held = await self._policies.current(subject)
        except PolicyMissingError:
            return False  # The author may know the policy in force, and sends it.
        return (
            held is not None
            and held.cell.status is not Status.CLOSED
            and held.cell.committee == shares.committee
            and (is_final or is_writer(held.policy, shares.author, self._clock()))
        )

    def _keep(self, shares: BatchHead, held: Sequence[HeldOf], good_until: TimeMs) -> None:
        place = {
            "author": shares.author,
            "batch_id": shares.batch_id,
            "root": shares.root,
            "share_root": shares.share_root,
        }
        context = _context(shares.author, shares.batch_id, shares.root, shares.share_root)
        with self._store.commit("keeper.deposit") as connection:
            holdings: list[dict[str, object]] = []
            for one in held:
                if self._policies.is_closed(one.subject):
                    continue
                tag = self._store.tag(one.subject)
                holdings.append({"tag": tag, **place, "wrapped": self._store.wrapped(tag, one.holding, context)})
            upsert(connection, HOLDINGS, holdings)
            upsert(connection, BATCHES, [{**place, "good_until": good_until}])


def _at(table: sa.Table, place: Sequence[object]) -> list[sa.ColumnElement[bool]]:
    names = ("author", "batch_id", "root", "share_root")
    return [table.c[name] == value for name, value in zip(names, place, strict=True)]


def blobs_held(store: SubjectStore, author: MemberId, batch_id: BatchId) -> list[Digest]:
    """Digests of all ciphertext of a batch, as its headers name them."""
    query = sa.select(HOLDINGS.c.tag, HOLDINGS.c.root, HOLDINGS.c.share_root, HOLDINGS.c.wrapped)
    where = (HOLDINGS.c.author == author, HOLDINGS.c.batch_id == batch_id)
    digests: list[Digest] = []
    for tag, root, share_root, wrapped in store.connection.execute(query.where(*where)).all():
        data = store.unwrapped(tag, wrapped, _context(author, batch_id, root, share_root))
        for entry in reopen(Holding, data).entries:
            digests += reopen(Header, entry.header).blobs
    return digests


def _context(author: MemberId, batch_id: BatchId, root: Digest, share_root: Digest) -> bytes:
    return b"holding" + author.encode() + batch_id + root + share_root
