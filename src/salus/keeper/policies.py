"""The policies a keeper holds: which version a cell's commitment stands for, and what a custodian may not do alone.

A version is deposited before its cell advances, so a keeper holds the next one beside the one in force. Which is in
force, the keeper's own final state says: digests are compared, not versions. A policy that is missing is fetched from
other seats; until it is here, nothing of that subject is served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.statements import held as held_statement
from salus.contracts.cells.tables import Cell, Status
from salus.contracts.consent.narrowing import narrows
from salus.contracts.consent.policy import PolicySet, check_policy, commitment, is_subject_of, is_writer
from salus.contracts.members.reads import member_of
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import HOUR_MS, CellId, CommitteeId, Digest, MemberId, SubjectId
from salus.core.transport import Transport, ask
from salus.core.wire import Record, decode, encode, reopen
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.errors import (
    EnvelopeError,
    NotSeatedError,
    PolicyError,
    PolicyMissingError,
    QuotaError,
    StaleError,
    WideningWaitsError,
)
from salus.keeper.messages import (
    Cosignature,
    FirstPolicies,
    FirstPoliciesHeld,
    PolicyDeposit,
    PolicyFound,
    PolicyHeld,
    PolicyWanted,
    SealedFirstPolicies,
    SealedPolicy,
    info,
    widening_statement,
)
from salus.keeper.seats import holders_of, own_place, own_seat
from salus.keeper.store import POLICIES, SubjectStore, upsert
from salus.keeper.widenings import WIDENING_WAITS_MS, Widenings
from salus.machine.view import View

GOOD_MS = 2 * HOUR_MS  # How long a version waits for its cell to commit to it.
WAITING_MAX = 1024  # Versions that came through one member and that no cell has committed to yet.
ROUNDS_MAX = 4  # How often the version in force is looked up anew because a block came in between.


R = TypeVar("R", bound=Record)

# Built once: asked for every version that comes.
_VERSION = sa.select(POLICIES.c.tag, POLICIES.c.wrapped).where(
    POLICIES.c.cell == sa.bindparam("cell"), POLICIES.c.commitment == sa.bindparam("commitment")
)

_WAITING = sa.select(sa.func.count()).where(POLICIES.c.good_until > 0, POLICIES.c.sender == sa.bindparam("sender"))
_COMMITTED = POLICIES.update().values(good_until=0)
_COMMITTED = _COMMITTED.where(
    POLICIES.c.cell == sa.bindparam("at_cell"), POLICIES.c.commitment == sa.bindparam("named")
)
_NEWEST = sa.select(POLICIES.c.commitment).where(POLICIES.c.cell == sa.bindparam("cell"), POLICIES.c.good_until == 0)
_NEWEST = _NEWEST.order_by(POLICIES.c.version.desc()).limit(1)
_CELL = sa.select(POLICIES.c.cell).where(POLICIES.c.tag == sa.bindparam("tag"))


@dataclass(frozen=True, slots=True)
class Held:
    """A subject's policy in force, and the cell that commits to it."""

    policy: PolicySet
    commitment: Digest
    cell: Cell


class Policies:
    """The keeper's side of consent changes."""

    def __init__(
        self,
        member: MemberId,
        store: SubjectStore,
        view: View,
        transport: Transport,
        widenings: Widenings,
        opening_key: OpeningKey,
        signing_key: SigningKey,
    ) -> None:
        self._member = member
        self._store = store
        self._view = view
        self._transport = transport
        self._widenings = widenings
        self._opening_key = opening_key
        self._signing_key = signing_key
        self._cells: dict[bytes, CellId] = {}  # By a subject's tag.
        self._known: dict[tuple[CellId, Digest], PolicySet] = {}

    async def accept(self, sender: MemberId, sealed: SealedPolicy) -> PolicyHeld:
        """Hold the next version of a policy, and sign that it is held. Safe to repeat.

        Raises, in this order:
            EnvelopeError: it does not open for this seat.
            MalformedError: the policy cannot mean what it says (see `consent.policy.check_policy`).
            PolicyError: another chain, another cell's subject, or not the version after the one in force.
            NotSeatedError: this member holds no seat in the cell's committee.
            QuotaError: a custodian asked for too many widenings of this patient in a day.
            WideningWaitsError: it widens without a second writer, less than 24 hours after the notice.
            QuotaError: too many versions that came through this member wait for their cells.
        """
        deposit = self._opened(PolicyDeposit, sealed)
        policy = deposit.policy
        check_policy(policy)
        if policy.chain != self._view.chain or not is_subject_of(policy):
            raise PolicyError(reason="another chain, or not this cell's subject")
        named = commitment(policy)
        for _ in range(ROUNDS_MAX):
            cell = self._next(policy, named)
            if cell is None:
                break
            own_seat(self._view.state, cell.committee, sealed.seat, self._member)
            if cell.commitment == named:
                break
            old = await self._in_force(policy.cell, cell)
            if cell_of(self._view.state, policy.cell) == cell:  # Judged beside the version that is in force now.
                self._check_custodian(sender, old, policy, named, deposit)
                break
        else:
            raise StaleError(height=self._view.height)
        signed = self._signed(policy, named, cell, sealed)
        self._check_room(sender, policy, named)
        self._keep(sender, [(policy, named, cell is not None and cell.commitment == named)])
        return signed

    async def accept_first(self, sender: MemberId, sealed: SealedFirstPolicies) -> FirstPoliciesHeld:
        """Hold first versions for new cells, all with one durable write; as `accept`, each by itself.

        Raises:
            EnvelopeError: it does not open for this seat.
        """
        kept: list[tuple[PolicySet, Digest]] = []
        refused: list[tuple[int, str]] = []
        room = WAITING_MAX - self._waiting(sender)
        for place, policy in enumerate(self._opened(FirstPolicies, sealed).policies):
            try:
                named = commitment(policy)
                self._check_first(policy, named)
                if len(kept) >= room:
                    self._check_room(sender, policy, named, len(kept))
                kept.append((policy, named))
            except SalusError as error:
                refused.append((place, error.code))
        self._keep(sender, [(policy, named, False) for policy, named in kept])
        return FirstPoliciesHeld(seat=sealed.seat, refused=tuple(refused))

    def _check_first(self, policy: PolicySet, named: Digest) -> None:
        check_policy(policy)
        if policy.chain != self._view.chain or not is_subject_of(policy):
            raise PolicyError(reason="another chain, or not this cell's subject")
        if self._next(policy, named) is not None:
            raise PolicyError(reason="not a new cell", version=policy.version)

    def _next(self, policy: PolicySet, named: Digest) -> Cell | None:
        """The policy's cell, if it is the next version, or the one in force; none where the cell is new."""
        cell = cell_of(self._view.state, policy.cell)
        if cell is not None:  # Even an old version tells whose cell it is: a keeper that lost its store can fetch.
            self._cells.setdefault(self._store.tag(policy.subject), policy.cell)
        is_current = cell is not None and cell.commitment == named
        if not is_current and policy.version != (0 if cell is None else cell.version + 1):
            raise PolicyError(reason="not the next version", version=policy.version)
        return cell

    async def current(self, subject: SubjectId) -> Held | None:
        """The policy in force for a subject, by this keeper's own final state; none if it is not known here.

        Raises:
            PolicyMissingError: the policy in force is not held here and no other seat gave it.
        """
        cell_id = self._cell_of(self._store.tag(subject))
        if cell_id is None:
            return None
        for _ in range(ROUNDS_MAX):
            cell = cell_of(self._view.state, cell_id)
            if cell is None:
                return None
            policy = self._held(cell_id, cell.commitment) or await self._fetched(cell_id, cell)
            now = cell_of(self._view.state, cell_id)
            if now is None or now.commitment != cell.commitment:
                continue  # The patient changed it while a peer was asked.
            if policy is None:
                break
            return Held(policy=policy, commitment=now.commitment, cell=now)
        raise PolicyMissingError(cell_id=cell_id)

    def last(self, subject: SubjectId) -> PolicySet | None:
        """The newest policy held here that was in force, of a subject whose committee this member left; none if none.

        Nothing is decided by it: a keeper that left hears of no change any more.
        """
        cell_id = self._cell_of(self._store.tag(subject))
        if cell_id is None:
            return None
        named = self._store.connection.execute(_NEWEST, {"cell": cell_id}).scalar()
        return None if named is None else self._held(cell_id, bytes(named))

    async def fetch(self, cell_id: CellId) -> bool:
        """Fetch the version in force from another seat, if it is not held here and one has it; whether it is here."""
        cell = cell_of(self._view.state, cell_id)
        if cell is None or self._held(cell_id, cell.commitment) is not None:
            return True
        return await self._fetched(cell_id, cell) is not None

    def holds(self, cell_id: CellId, named: Digest) -> bool:
        """Whether a version of a policy is here."""
        return self._held(cell_id, named) is not None

    def is_closed(self, subject: SubjectId) -> bool:
        """Whether the subject's cell, if it is known here, is closed for good."""
        cell_id = self._cell_of(self._store.tag(subject))
        cell = None if cell_id is None else cell_of(self._view.state, cell_id)
        return cell is not None and cell.status is Status.CLOSED

    def committee_of(self, subject: SubjectId) -> CommitteeId | None:
        """The committee of the subject's cell; none where it is not known here."""
        cell_id = self._cell_of(self._store.tag(subject))
        cell = None if cell_id is None else cell_of(self._view.state, cell_id)
        return None if cell is None else cell.committee

    def status_of(self, subject: SubjectId) -> Status | None:
        """The status of the subject's cell; none where it is not known here."""
        cell_id = self._cell_of(self._store.tag(subject))
        cell = None if cell_id is None else cell_of(self._view.state, cell_id)
        return None if cell is None else cell.status

    def forget(self, cell_id: CellId, tag: bytes) -> None:
        """Let go of what is in memory of a subject that was dropped."""
        self._cells.pop(tag, None)
        self._known = {key: policy for key, policy in self._known.items() if key[0] != cell_id}

    async def told(self, sender: MemberId, wanted: PolicyWanted) -> PolicyFound:
        """Give another seat of the same committee a policy that it misses."""
        own_seat(self._view.state, wanted.committee, wanted.seat, sender, wanted.epoch)
        cell, asker = cell_of(self._view.state, wanted.cell_id), member_of(self._view.state, sender)
        if asker is None or cell is None or cell.committee != wanted.committee:
            raise NotSeatedError(seat=wanted.seat)
        policy = None if cell.status is Status.CLOSED else self._held(wanted.cell_id, wanted.commitment)
        if policy is None:
            return PolicyFound(sealed=b"")
        return PolicyFound(sealed=seal(asker.keys.sealing, encode(policy), info(self._view.chain, "policy copy")))

    def _opened(self, shape: type[R], sealed: SealedPolicy | SealedFirstPolicies) -> R:
        try:
            data = self._opening_key.open(sealed.sealed, info(self._view.chain, "policy"))
        except MalformedError:
            raise EnvelopeError(seat=sealed.seat) from None
        return decode(shape, data)

    async def _in_force(self, cell_id: CellId, cell: Cell) -> PolicySet:
        old = self._held(cell_id, cell.commitment) or await self._fetched(cell_id, cell)
        if old is None:
            raise PolicyError(reason="the version in force is not held here", version=cell.version)
        return old

    def _check_custodian(
        self, sender: MemberId, old: PolicySet, policy: PolicySet, named: Digest, deposit: PolicyDeposit
    ) -> None:
        if old.subject != policy.subject:
            raise PolicyError(reason="another subject", version=policy.version)
        if old.custodian is None or narrows(old, policy):
            return
        if sender != old.custodian:
            raise PolicyError(reason="not the custodian", version=policy.version)
        if deposit.evidence is None:
            raise WideningWaitsError(reason="a digest of evidence is missing")
        signed = deposit.cosignature
        if signed is not None and not self._is_second_writer(old, named, deposit.evidence, signed):
            signed = None
        noticed = self._widenings.noticed(old, policy, deposit.evidence, signed)
        self._widenings.tell()
        if signed is None and self._view.time < noticed + WIDENING_WAITS_MS:
            raise WideningWaitsError(until=noticed + WIDENING_WAITS_MS)

    def _is_second_writer(self, old: PolicySet, named: Digest, evidence: Digest, by: Cosignature) -> bool:
        writer = member_of(self._view.state, by.member)
        return (
            writer is not None
            and by.member != old.custodian
            and is_writer(old, by.member, self._view.time)
            and verify(writer.keys.ledger, widening_statement(self._view.chain, named, evidence), by.signature)
        )

    def drop_expired(self) -> int:
        """Forget versions that no cell committed to in time; how many. Looks at those that still wait alone."""
        query = sa.select(POLICIES.c.cell, POLICIES.c.commitment, POLICIES.c.tag, POLICIES.c.good_until)
        rows = self._store.connection.execute(query.where(POLICIES.c.good_until > 0)).all()
        cells = [(row, cell_of(self._view.state, bytes(row.cell))) for row in rows]
        committed = [row for row, cell in cells if cell is not None and cell.commitment == row.commitment]
        expired = [row for row, _ in cells if row.good_until < self._view.time and row not in committed]
        if not committed and not expired:
            return 0
        with self._store.commit("keeper.policy.drop") as connection:
            if committed:
                connection.execute(_COMMITTED, [{"at_cell": row.cell, "named": row.commitment} for row in committed])
            for row in expired:
                connection.execute(POLICIES.delete().where(*_at(row.cell, row.commitment)))
                self._store.drop_subject(bytes(row.tag))
                self._known.pop((bytes(row.cell), bytes(row.commitment)), None)
        if expired:
            self._cells.clear()
        return len(expired)

    def _check_room(self, sender: MemberId, policy: PolicySet, named: Digest, coming: int = 0) -> None:
        """What waits for a block, and is dropped without one, may not fill the disk in the meantime."""
        if self._held(policy.cell, named) is not None or self._waiting(sender) + coming < WAITING_MAX:
            return
        self.drop_expired()
        if self._waiting(sender) + coming >= WAITING_MAX:
            raise QuotaError(waiting_policies=WAITING_MAX)

    def _waiting(self, sender: MemberId) -> int:
        return int(self._store.connection.execute(_WAITING, {"sender": sender}).scalar_one())

    def _keep(self, sender: MemberId, versions: Sequence[tuple[PolicySet, Digest, bool]]) -> None:
        """Keep versions by their commitments, each with whether it is in force already; durable on return."""
        new = [one for one in versions if self._held(one[0].cell, one[1]) is None]
        if not new:
            return
        with self._store.commit("keeper.policy") as connection:
            self._store.meet_subjects([self._store.tag(policy.subject) for policy, _, _ in new])
            upsert(connection, POLICIES, [self._row(sender, *one) for one in new])
        for policy, named, _ in new:
            self._cells[self._store.tag(policy.subject)] = policy.cell
            self._remember(policy, named)

    def _row(self, sender: MemberId, policy: PolicySet, named: Digest, is_current: bool) -> dict[str, object]:
        tag = self._store.tag(policy.subject)
        return {
            "cell": policy.cell,
            "commitment": named,
            "tag": tag,
            "version": policy.version,
            "sender": sender,
            "good_until": 0 if is_current else self._view.time + GOOD_MS,
            "wrapped": self._store.wrapped(tag, encode(policy), b"policy" + named),
        }

    def _signed(self, policy: PolicySet, named: Digest, cell: Cell | None, sealed: SealedPolicy) -> PolicyHeld:
        if cell is None:
            return PolicyHeld(seat=sealed.seat, signature=None)  # `create` needs no receipt.
        committee = own_seat(self._view.state, cell.committee, sealed.seat, self._member)
        statement = held_statement(
            chain=policy.chain,
            cell_id=policy.cell,
            version=policy.version,
            commitment=named,
            committee=cell.committee,
            epoch=committee.epoch,
        )
        return PolicyHeld(seat=sealed.seat, signature=self._signing_key.sign(statement))

    def _cell_of(self, tag: bytes) -> CellId | None:
        cell_id = self._cells.get(tag)
        if cell_id is None:
            row = self._store.connection.execute(_CELL, {"tag": tag}).first()
            if row is None:
                return None
            cell_id = self._cells[tag] = bytes(row.cell)
        return cell_id

    def _held(self, cell_id: CellId, named: Digest) -> PolicySet | None:
        policy = self._known.get((cell_id, named))
        if policy is None:
            row = self._store.connection.execute(_VERSION, {"cell": cell_id, "commitment": named}).first()
            if row is None:
                return None
            policy = reopen(PolicySet, self._store.unwrapped(row.tag, row.wrapped, b"policy" + named))
            self._remember(policy, named)
        return policy

    def _remember(self, policy: PolicySet, named: Digest) -> None:
        if len(self._known) >= 16_384:
            self._known.clear()
        self._known[policy.cell, named] = policy

    async def _fetched(self, cell_id: CellId, cell: Cell) -> PolicySet | None:
        if cell.status is Status.CLOSED:
            return None
        place = own_place(self._view.state, cell.committee, self._member)
        if place is None:
            return None
        epoch, seat = place
        wanted = PolicyWanted(cell.committee, epoch, seat, cell_id=cell_id, commitment=cell.commitment)
        for peer in holders_of(self._view.state, cell.committee):
            policy = None if peer == self._member else await self._asked(peer, wanted)
            if policy is not None:
                self._keep(peer, [(policy, cell.commitment, True)])
                return policy
        return None

    async def _asked(self, peer: MemberId, wanted: PolicyWanted) -> PolicySet | None:
        try:
            found = await ask(self._transport, peer, wanted, PolicyFound)
            if not found.sealed:
                return None
            data = self._opening_key.open(found.sealed, info(self._view.chain, "policy copy"))
            policy = decode(PolicySet, data)
        except SalusError:
            return None
        return policy if commitment(policy) == wanted.commitment else None


def _at(cell_id: CellId, named: Digest) -> list[sa.ColumnElement[bool]]:
    return [POLICIES.c.cell == cell_id, POLICIES.c.commitment == named]
