"""A member's keeper: one door for deposits, policies, requests to read and the patient's log.

Everything is decided from the member's own final state, with the member's own clock. What is asked arrives as typed
messages; `tick` does what is due: the log's root onto the ledger, expired deposits out of the store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from salus.contracts.consent import Pack, device_handle
from salus.contracts.reads.messages import LogKind
from salus.core.clock import Clock
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import MINUTE_MS, BatchId, Digest, MemberId, Name, SubjectId
from salus.core.transport import Door, Transport, ask
from salus.core.wire import Record, decode, encode
from salus.core.work import Carry, done_here
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.access_log import AccessLog, anchor
from salus.keeper.answers import Answers, Permitted, padded
from salus.keeper.deposits import Deposits
from salus.keeper.epochs import Epochs
from salus.keeper.errors import EnvelopeError, NotSeatedError, PersonError
from salus.keeper.messages import (
    Ask,
    Deposit,
    LogAsk,
    LogAsking,
    Noted,
    PolicyWanted,
    RepairAsk,
    RepairDeposit,
    SealedAnswer,
    SealedFirstPolicies,
    SealedLog,
    SealedPolicy,
    Signed,
    SomethingNew,
    info,
    log_statement,
)
from salus.keeper.policies import Policies
from salus.keeper.reconciling import Reconciling
from salus.keeper.repairs import Repairs
from salus.keeper.seats import has_sat, own_place
from salus.keeper.store import SubjectStore
from salus.keeper.widenings import Widenings
from salus.keeper.writers import Writers
from salus.machine.sponsor import Sponsor
from salus.machine.view import View

ASK_AGE_MS_MAX = 5 * MINUTE_MS  # How old a patient's asking for the log may be.


class HeldWanted(Record, tag="keeper.held_wanted/1", frozen=True):
    """An author asks which of its batches, by id and both roots, are not held here."""

    batches: tuple[tuple[BatchId, Digest, Digest], ...]


class HeldFound(Record, tag="keeper.held_found/1", frozen=True):
    """Those that are missing here."""

    missing: tuple[BatchId, ...]


class OwnMemberWantsLog(Record, tag="keeper.own_member_wants_log/1", frozen=True):
    """A member's gateway asks its own keeper who used a subject's record, as far as this keeper released it."""

    subject: SubjectId


class LogForOwnMember(Record, tag="keeper.log_for_own_member/1", frozen=True):
    """The entries, encoded `LogEntry`s in their order."""

    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KeeperKeys:
    """What a keeper opens envelopes with, and signs with."""

    opening: OpeningKey
    signing: SigningKey


class Keeper:
    """One member's keeper."""

    def __init__(
        self,
        member: MemberId,
        store: SubjectStore,
        view: View,
        transport: Transport,
        keys: KeeperKeys,
        packs: Sequence[Pack],
        clock: Clock,
        carry: Carry = done_here,
    ) -> None:
        self._member = member
        self._store = store
        self._view = view
        self._transport = transport
        self._keys = keys
        self._clock = clock
        self.log = AccessLog(member, store, clock)
        self.widenings = Widenings(member, store, view, transport, self.log, clock)
        self.policies = Policies(member, store, view, transport, self.widenings, keys.opening, keys.signing)
        self.deposits = Deposits(member, store, view, self.policies, keys.opening, keys.signing, clock, carry)
        self.epochs = Epochs(member, store, view, self.policies)
        self.writers = Writers(member, view, self.policies, self.deposits, keys.opening)
        self.answers = Answers(
            member, view, self.policies, self.deposits, self.log, packs, keys.opening, keys.signing, clock
        )
        self.repairs = Repairs(
            member,
            view,
            self.policies,
            self.deposits,
            self.log,
            self.answers.standing,
            keys.opening,
            keys.signing,
            clock,
        )
        self.reconciling = Reconciling(member, store, view, transport, self.policies, self.log, clock)

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        self.writers.open_door(door)
        door.answer(Deposit, self.deposits.accept)
        door.answer(RepairAsk, self.answer_repair)
        door.answer(RepairDeposit, self.repairs.accept)
        door.answer(HeldWanted, self._missing)
        door.answer(SealedPolicy, self.policies.accept)
        door.answer(SealedFirstPolicies, self.policies.accept_first)
        door.answer(PolicyWanted, self.policies.told)
        door.answer(Ask, self.answer)
        door.answer(LogAsk, self.tell_log)
        door.answer(OwnMemberWantsLog, self._tell_own_member)

    async def answer(self, sender: MemberId, asked: Ask) -> SealedAnswer:
        """Check everything, log, answer, as `Answers.answer`; nothing before this keeper has caught up.

        Raises, before all that `Answers.answer` raises:
            RestoredError: the store was put back or lost, and not all is done of what follows from that.
        """
        self.reconciling.check()
        return await self.answers.answer(sender, asked)

    async def answer_repair(self, sender: MemberId, asked: RepairAsk) -> SealedAnswer:
        """A departed author's batch for its successor, as `Repairs.answer`; nothing before this keeper has caught up.

        Raises, before all that `Repairs.answer` raises:
            RestoredError: the store was put back or lost, and not all is done of what follows from that.
        """
        self.reconciling.check()
        return await self.repairs.answer(sender, asked)

    async def reconcile(self, sponsor: Sponsor) -> bool:
        """Catch up after the store was put back or lost; whether this keeper may serve. Safe to repeat."""
        return await self.reconciling.work(sponsor)

    def permitted(self, request_id: bytes) -> Permitted | None:
        """What the member's vault may serve for a request."""
        return self.answers.permitted_now(request_id)

    async def tell_log(self, _sender: MemberId, asked: LogAsk) -> SealedLog:
        """The log of a subject, for a device of the patient; also once this member sits there no more.

        Then the policy that was in force when it left says which devices are the patient's.

        Raises:
            NotSeatedError: this member never sat in the committee.
            EnvelopeError: it does not open.
            PersonError: the key is not one of the patient's devices, did not sign, or the asking is too old.
            RestoredError: entries may have been forgotten, and it is not known yet how many.
        """
        if not has_sat(self._view.state, asked.committee, self._member):
            raise NotSeatedError(seat=asked.seat)
        try:
            signed = decode(Signed, self._keys.opening.open(asked.sealed, info(self._view.chain, "log")))
            asking = decode(LogAsking, signed.body)
        except MalformedError:
            raise EnvelopeError(seat=asked.seat) from None
        if self.policies.committee_of(asking.subject) != asked.committee:
            raise PersonError(reason="not a device of this patient")
        if own_place(self._view.state, asked.committee, self._member) is None:
            policy = self.policies.last(asking.subject)
        else:
            held = await self.policies.current(asking.subject)
            policy = None if held is None else held.policy
        is_device = policy is not None and device_handle(policy, asking.key) is not None
        is_recent = abs(self._clock() - asking.time) <= ASK_AGE_MS_MAX and asking.chain == self._view.chain
        if not is_device or not is_recent or not verify(asking.key, log_statement(signed.body), signed.signature):
            raise PersonError(reason="not a device of this patient")
        told = self.log.told(asking.subject, asking.after)
        return SealedLog(sealed=seal(asking.reply_key, padded(encode(told)), info(self._view.chain, "log answer")))

    async def anchor_log(self, sponsor: Sponsor) -> bool:
        """Put the log's root on the ledger if there is something new; whether there was."""
        return await anchor(self.log, LogKind.KEEPER, self._view, sponsor)

    async def block_arrived(self, batches: Iterable[tuple[Name, BatchId]]) -> None:
        """Tell watching requests that something new which they permit became final."""
        if not self.answers.watched:
            return
        new = {(MemberId(author), batch_id) for author, batch_id in batches}
        tags = {tag for author, batch_id in new for tag in self.deposits.tags_in(author, batch_id)}
        if not tags:
            return
        for request_id, watch in list(self.answers.watched.items()):
            is_touched = self._store.tag(watch.opening.subject) in tags and self._clock() < watch.expires
            if is_touched and await self.answers.has_news(watch, new):
                try:
                    await ask(self._transport, watch.opening.member, SomethingNew(request_id=request_id), Noted)
                except SalusError:
                    continue  # The reader's gateway is away; its open page will ask again.

    def close(self) -> None:
        """Let go of what goes on in the background."""
        self.widenings.stop()

    def tick(self) -> None:
        """Forget what has run out; tell who has not heard."""
        self.answers.forget_expired()
        self.deposits.drop_expired()
        self.policies.drop_expired()
        self.widenings.tell()

    async def _tell_own_member(self, sender: MemberId, wanted: OwnMemberWantsLog) -> LogForOwnMember:
        """To anybody but its own member a keeper tells nothing of handles.

        Raises:
            PersonError: another member asks.
            RestoredError: entries may have been forgotten, and it is not known yet how many.
        """
        if sender != self._member:
            raise PersonError(reason="not this keeper's member")
        self.reconciling.check()
        return LogForOwnMember(entries=tuple(self.log.entries(wanted.subject)))

    async def _missing(self, sender: MemberId, wanted: HeldWanted) -> HeldFound:
        return HeldFound(missing=self.deposits.missing(sender, wanted.batches))
