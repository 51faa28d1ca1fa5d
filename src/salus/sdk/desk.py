"""A member's desk: what wallets and other members may send to a gateway, beside what its keeper and vault answer.

Links wait here for the code that the patient shows; policy versions arrive for the member as a writer; keepers say that
a watched request has something new; patients ask for the author's own log; other members share directory entries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import CELLS
from salus.contracts.consent import PolicySet, commitment, device_handle, is_writer
from salus.contracts.consent.policy import is_subject_of
from salus.contracts.members.messages import SeatHolder
from salus.contracts.members.reads import committee_of
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import CommitteeId, MemberId, RequestId, Sealed, Seat, SubjectId, TimeMs
from salus.core.transport import Door, ask
from salus.core.wire import Record, decode, encode, replace
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.signatures import verify
from salus.keeper.access_log import AccessLog
from salus.keeper.answers import padded
from salus.keeper.errors import EnvelopeError, PersonError, QuotaError
from salus.keeper.keeper import ASK_AGE_MS_MAX
from salus.keeper.messages import (
    LogAsking,
    Noted,
    PolicyFound,
    SealedLog,
    Signed,
    SomethingNew,
    WideningNotice,
    info,
    log_statement,
)
from salus.keeper.writers import SubjectNamed, WriterWantsPolicy
from salus.sdk.author_store import WAITING_MAX, AuthorStore
from salus.sdk.enough import Asked
from salus.sdk.errors import NoSuchSubjectError
from salus.sdk.gateway import Gateway, seats_of
from salus.sdk.links import (
    Link,
    LinkPackage,
    NewTermKey,
    Received,
    SendLink,
    SendPolicy,
    SendTermKey,
    code_digest,
    term_key_statement,
)
from salus.sdk.reader import OpenRead

OWN_VIEW_WAIT_S = 1.0  # For a block that others have seen already.
BLOCKS_WAITED_MAX = 8


class OwnLogAsk(Record, tag="desk.log_ask/1", frozen=True):
    """A `Signed` `LogAsking`, sealed to a member's gateway: how it used its own records."""

    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told when an open request has something new, by whom, and until when."""

    committee: CommitteeId
    expires: TimeMs
    notify: Callable[[], None]


class Desk:
    """The receiving half of a member's gateway."""

    def __init__(self, gateway: Gateway, store: AuthorStore, log: AccessLog, opening_key: OpeningKey) -> None:
        self._gateway = gateway
        self._store = store
        self._log = log
        self._opening_key = opening_key
        self._watchers: dict[RequestId, Watcher] = {}

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        door.answer(SendLink, self._link_arrived)
        door.answer(SendPolicy, self._policy_arrived)
        door.answer(SendTermKey, self._term_key_arrived)
        door.answer(SomethingNew, self._something_new)
        door.answer(WideningNotice, self._widening_noticed)
        door.answer(OwnLogAsk, self._tell_log)

    def watch(self, opened: OpenRead, notify: Callable[[], None]) -> None:
        """Call this when keepers of its committee say that an open request has something new."""
        now = self._gateway.clock()
        self._watchers = {key: watcher for key, watcher in self._watchers.items() if now < watcher.expires}
        watcher = Watcher(opened.wanted.committee, opened.expires, notify)
        self._watchers[opened.opening.request_id] = watcher

    async def accept_link(self, code: str, local: str) -> Link:
        """Open the link behind the code that a patient shows, under the member's own number for the patient.

        Raises:
            NoSuchSubjectError: no link waits for this code, two patients' do, or it does not name this member as a
                writer.
        """
        waiting = self._store.waiting(code_digest(self._gateway.chain, code))
        for sealed in waiting:
            await self._follow(self._read_link(sealed))
        packages = [package for package in map(self._package, waiting) if package is not None]
        if len({package.link.subject for package in packages}) != 1:  # Two: somebody saw the code and sent their own.
            raise NoSuchSubjectError(member=self._gateway.member)
        package = packages[0]
        await self.keep(package, local)
        self._store.drop_waiting(code_digest(self._gateway.chain, code))
        return package.link

    def _package(self, sealed: bytes) -> LinkPackage | None:
        """What was sent, if it opens and could be taken over."""
        package = self._read_link(sealed)
        try:
            if package is not None:
                self._check(package)
        except NoSuchSubjectError:
            return None
        return package

    def _read_link(self, sealed: bytes) -> LinkPackage | None:
        try:
            return decode(LinkPackage, self._opening_key.open(sealed, info(self._gateway.chain, "link")))
        except MalformedError:
            return None

    async def keep(self, package: LinkPackage, local: str) -> None:
        """Take a link over, if the policy in force names this member for this subject."""
        await self._follow(package)
        self._check(package)
        self._store.keep_link(local, package.link)
        self._store.keep_copy(package.policy)

    async def keep_many(self, packages: Sequence[tuple[LinkPackage, str]]) -> None:
        """As `keep`, for patients that this member did not know yet, all with one durable write."""
        for package, _ in packages:
            await self._follow(package)
            self._check(package)
        self._store.keep_links([(local, package.link, package.policy) for package, local in packages])

    def _check(self, package: LinkPackage) -> None:
        policy, link = package.policy, package.link
        cell = cell_of(self._gateway.view.state, policy.cell)
        named = is_writer(policy, self._gateway.member, self._gateway.view.time)
        fits = is_subject_of(policy) and (policy.subject, policy.cell) == (link.subject, link.cell)
        if cell is None or cell.commitment != commitment(policy) or not named or not fits:
            raise NoSuchSubjectError(member=self._gateway.member)

    async def _link_arrived(self, sender: MemberId, sent: SendLink) -> Received:
        if not self._store.keep_waiting(sender, sent.code, sent.sealed, self._gateway.clock()):
            raise QuotaError(waiting_links=WAITING_MAX)
        return Received()

    async def _policy_arrived(self, _sender: MemberId, sent: SendPolicy) -> Received:
        """Keep a version only if the ledger says that it is in force: anybody could send one."""
        try:
            policy = decode(
                PolicySet, self._opening_key.open(sent.sealed, info(self._gateway.chain, "policy for writer"))
            )
        except MalformedError:
            raise EnvelopeError(seat=0) from None
        await self._until_in_force(policy)
        is_writer_here = is_writer(policy, self._gateway.member, self._gateway.view.time)
        if not self._is_in_force(policy) or not (is_writer_here or self._store.copy(policy.subject) is not None):
            raise NoSuchSubjectError(member=self._gateway.member)
        self._store.keep_copy(policy)
        return Received()

    async def _follow(self, told: LinkPackage | None) -> None:
        """Give this member's view a moment to follow those of others, where a version is not in force here yet."""
        if told is not None:
            await self._until_in_force(told.policy)

    async def _until_in_force(self, policy: PolicySet) -> None:
        view = self._gateway.view
        for _ in range(BLOCKS_WAITED_MAX):
            cell = cell_of(view.state, policy.cell)
            is_to_come = policy.version == (0 if cell is None else cell.version + 1)
            if not is_to_come or not await view.reached(view.height + 1, OWN_VIEW_WAIT_S):
                return

    def _is_in_force(self, policy: PolicySet) -> bool:
        cell = CELLS.get(self._gateway.view.state, policy.cell)
        return cell is not None and cell.commitment == commitment(policy) and is_subject_of(policy)

    async def _term_key_arrived(self, _sender: MemberId, sent: SendTermKey) -> Received:
        """Keep the key for new records after a claim, if a device of the policy in force signed it for this member."""
        chain, author = self._gateway.chain, self._gateway.member
        try:
            new = decode(NewTermKey, self._opening_key.open(sent.sealed, info(chain, "term key")))
        except MalformedError:
            raise EnvelopeError(seat=0) from None
        old, copy = self._store.link_of(new.link.subject), self._store.copy(new.link.subject)
        is_same = old is not None and replace(old, term_key=new.link.term_key) == new.link
        is_named = copy is not None and self._is_in_force(copy[0]) and device_handle(copy[0], new.device) is not None
        is_signed = verify(new.device, term_key_statement(chain, author, new.link), new.signature)
        if not is_same or not is_named or not is_signed:
            raise NoSuchSubjectError(member=author)
        self._store.renew_link(new.link)
        return Received()

    async def fetch_policy(self, subject: SubjectId, committee_id: CommitteeId) -> None:
        """Ask the seats for the policy in force, where this member missed it; whether one came, the copy shows."""
        committee = self._gateway.committee(committee_id)
        calls = {seat: self._policy_from(seat, holder, subject, committee_id) for seat, holder in seats_of(committee)}
        asked = Asked(calls)
        found: list[PolicySet] = []

        def is_enough(replies: Mapping[Seat, PolicySet | SalusError | None]) -> bool:
            found[:] = [reply for reply in replies.values() if isinstance(reply, PolicySet)]
            return bool(found)

        await asked.until(is_enough, grace_s=0.0)
        is_enough(asked.replies)
        asked.let_go()
        if found:
            self._store.keep_copy(found[0])

    async def _policy_from(
        self, seat: Seat, holder: SeatHolder, subject: SubjectId, committee_id: CommitteeId
    ) -> PolicySet | None:
        """What one seat gives, if it is this subject's policy in force."""
        chain = self._gateway.chain
        sealed = seal(holder.sealing, encode(SubjectNamed(subject=subject)), info(chain, "writer wants policy"))
        wanted = WriterWantsPolicy(committee=committee_id, seat=seat, sealed=sealed)
        reply = await ask(self._gateway.transport, holder.member, wanted, PolicyFound)
        if not reply.sealed:
            return None
        policy = decode(PolicySet, self._opening_key.open(reply.sealed, info(chain, "policy for writer")))
        return policy if policy.subject == subject and self._is_in_force(policy) else None

    async def _something_new(self, sender: MemberId, news: SomethingNew) -> Noted:
        """Listen to keepers of the request's committee alone: request ids stand on the ledger for all to read."""
        watcher = self._watchers.get(news.request_id)
        if watcher is not None and self._is_seated(sender, watcher.committee):
            watcher.notify()
        return Noted()

    async def _widening_noticed(self, sender: MemberId, notice: WideningNotice) -> Noted:
        """Keep what a keeper of the cell's committee tells of a custodian's widening."""
        cell = cell_of(self._gateway.view.state, notice.cell_id)
        if cell is None or not self._is_seated(sender, cell.committee):
            raise NoSuchSubjectError(member=self._gateway.member)
        self._store.keep_notice(sender, notice)
        return Noted()

    def _is_seated(self, member: MemberId, committee_id: CommitteeId) -> bool:
        committee = committee_of(self._gateway.view.state, committee_id)
        return committee is not None and any(holder.member == member for holder in committee.seats)

    async def _tell_log(self, _sender: MemberId, asked: OwnLogAsk) -> SealedLog:
        chain = self._gateway.chain
        try:
            signed = decode(Signed, self._opening_key.open(asked.sealed, info(chain, "log")))
            asking = decode(LogAsking, signed.body)
        except MalformedError:
            raise EnvelopeError(seat=0) from None
        copy = self._store.copy(asking.subject)
        is_device = copy is not None and device_handle(copy[0], asking.key) is not None
        is_recent = abs(self._gateway.clock() - asking.time) <= ASK_AGE_MS_MAX and asking.chain == chain
        if not is_device or not is_recent or not verify(asking.key, log_statement(signed.body), signed.signature):
            raise PersonError(reason="not a device of this patient")
        told = self._log.told(asking.subject, asking.after)
        return SealedLog(sealed=seal(asking.reply_key, padded(encode(told)), info(chain, "log answer")))
