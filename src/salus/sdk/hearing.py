"""Check 1 of reading: every seat is asked, and answers count together only if they were given under one policy.

A view of the ledger may lag: whoever decided earlier than others is asked once more at the highest height that this
gateway's own state has reached. What is then still different *at one height* is a lie, because state is the same for
all there; anything else is absence.

A seat that answers late holds nobody up: with a quorum of one mind the reader goes on, and comes back for the rest only
where the answers do not suffice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_at, committee_of, holder_of
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import NO_DIGEST, CommitteeId, Digest, Height, MemberId, PublicKey, RequestId, Seat
from salus.core.transport import PeerUnavailableError, ask
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.merkle import root
from salus.crypto.shares import faulty, quorum, threshold
from salus.crypto.signatures import verify
from salus.keeper.answers import unpadded
from salus.keeper.messages import Answer, Ask, Asking, SealedAnswer, head_statement, info
from salus.sdk.enough import Asked
from salus.sdk.gateway import Gateway, seats_of
from salus.sdk.views import Findings

OWN_VIEW_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One seat's answer that passed check 1."""

    seat: Seat
    member: MemberId
    answer: Answer

    @property
    def height(self) -> Height:
        """Of the state in which the seat decided."""
        return self.answer.head.height

    @property
    def policy(self) -> Digest:
        """The commitment under which it decided; NO_DIGEST where it knows no such subject."""
        return self.answer.head.policy


class Hearing:
    """One round of asking every seat of a committee for an open request."""

    def __init__(
        self,
        gateway: Gateway,
        committee_id: CommitteeId,
        request_id: RequestId,
        asking: Asking,
        reply_key: OpeningKey,
        findings: Findings,
    ) -> None:
        self._gateway = gateway
        self._committee_id = committee_id
        self._committee: Committee = gateway.committee(committee_id)
        self._request_id = request_id
        self._asking = asking
        self._reply_key = reply_key
        self._findings = findings
        self._heard: dict[Seat, Heard] = {}
        self._asked: Asked[Seat, Answer | None] = Asked({})
        self.failures: dict[Seat, SalusError] = {}

    async def hear(self) -> list[Heard]:
        """Answers of one policy, by seat; whoever is left out is in `failures`, whoever lied in the findings."""
        await self._ask([seat for seat, _ in seats_of(self._committee)], self._asking.at_height)
        return await self._of_one_policy()

    async def hear_rest(self) -> list[Heard]:
        """As `hear`, with those who were late."""
        await self._asked.until(lambda _: False)
        self._take_replies()
        return await self._of_one_policy()

    @property
    def late(self) -> list[Seat]:
        """Seats whose answers are still to come."""
        return sorted(self._asked.waiting_for)

    def let_go(self) -> None:
        """Wait for nobody any more: who is late counts as absent."""
        for seat in self._asked.waiting_for:
            self.failures[seat] = PeerUnavailableError(peer=self._member(seat))
        self._asked.let_go()

    async def _of_one_policy(self) -> list[Heard]:
        await self._leave_out_unseen_heights()
        if len({one.policy for one in self._heard.values()}) > 1:
            top = max(one.height for one in self._heard.values())
            behind = [one.seat for one in self._heard.values() if one.height < top]
            await self._ask([*behind, *self.late], top)
            await self._leave_out_unseen_heights()
        self._leave_out_other_policies()
        return [self._heard[seat] for seat in sorted(self._heard)]

    async def _ask(self, seats: Iterable[Seat], at_height: Height) -> None:
        asked = list(seats)
        self._asked.let_go()
        for seat in asked:
            self._heard.pop(seat, None)
            self.failures.pop(seat, None)
        self._asked = Asked({seat: self._ask_seat(seat, at_height) for seat in asked})
        await self._asked.until(self._is_enough)
        self._take_replies()

    def _is_enough(self, replies: Mapping[Seat, Answer | SalusError | None]) -> bool:
        """Whether a quorum is of one mind: then a slow seat is not waited for beyond a moment."""
        seats = len(self._committee.seats)
        minds = Counter(one.policy for one in self._heard.values())
        minds.update(answer.head.policy for answer in replies.values() if isinstance(answer, Answer))
        return max(minds.values(), default=0) >= max(quorum(seats), threshold(seats))

    def _take_replies(self) -> None:
        for seat, reply in self._asked.replies.items():
            member = self._member(seat)
            if isinstance(reply, SalusError):
                self.failures[seat] = reply
                if isinstance(reply, MalformedError):
                    self._findings.accuse(member, "unreadable_answer")
            elif reply is not None:
                self._heard[seat] = Heard(seat=seat, member=member, answer=reply)
            else:
                self.failures[seat] = PeerUnavailableError(peer=member)
                self._findings.accuse(member, "bad_signature")
        self._asked.replies.clear()

    async def _ask_seat(self, seat: Seat, at_height: Height) -> Answer | None:
        """A seat's answer; none if it is not what the seat must sign.

        Raises:
            PeerUnavailableError: it decided at an epoch of the committee that is still to come here.
        """
        answer = await self._answer_of(seat, at_height)
        if answer.head.epoch < self._committee.epoch:  # It had not seen yet that the committee moved on.
            answer = await self._answer_of(seat, self._gateway.view.height)
        return answer if self._is_sound(answer, seat, await self._signer(answer, seat), at_height) else None

    async def _signer(self, answer: Answer, seat: Seat) -> PublicKey:
        """The key by which a seat signs at the epoch of its answer; keys may have been replaced since it was asked."""
        head, holder, view = answer.head, self._committee.seats[seat - 1], self._gateway.view
        if head.epoch == self._committee.epoch:
            return holder.key
        await view.reached(head.height, OWN_VIEW_WAIT_S)
        now = committee_of(view.state, self._committee_id)
        if now is None or not self._committee.epoch < head.epoch <= now.epoch:
            raise PeerUnavailableError(peer=holder.member)
        then = committee_at(view.state, self._committee_id, head.epoch)
        found = None if then is None else holder_of(then, seat)
        if found is None or found.member != holder.member:
            raise PeerUnavailableError(peer=holder.member)
        return found.key

    async def _answer_of(self, seat: Seat, at_height: Height) -> Answer:
        holder = self._committee.seats[seat - 1]
        asking = encode(replace(self._asking, at_height=at_height))
        sealed = seal(holder.sealing, asking, info(self._gateway.chain, "ask"))
        request = Ask(committee=self._committee_id, seat=seat, sealed=sealed)
        reply = await ask(self._gateway.transport, holder.member, request, SealedAnswer)
        data = unpadded(self._reply_key.open(reply.sealed, info(self._gateway.chain, "answer")))
        return decode(Answer, data)

    def _is_sound(self, answer: Answer, seat: Seat, signer: PublicKey, at_height: Height) -> bool:
        head = answer.head
        return (
            (head.chain, head.request_id, head.committee, head.seat)
            == (self._gateway.chain, self._request_id, self._committee_id, seat)
            and head.height >= at_height
            and head.items == len(answer.items)
            and (head.log_number > 0 or (head.items == 0 and head.policy == NO_DIGEST))  # Else it left no trace.
            and head.root == root(answer.items)
            and verify(signer, head_statement(head), answer.signature)
        )

    async def _leave_out_unseen_heights(self) -> None:
        """What was decided at a height that this gateway has not reached cannot be checked, be it true or not."""
        top = max((one.height for one in self._heard.values()), default=0)
        if top <= self._gateway.view.height or await self._gateway.view.reached(top, OWN_VIEW_WAIT_S):
            return
        for one in list(self._heard.values()):
            if one.height > self._gateway.view.height:
                self._leave_out(one)

    def _leave_out_other_policies(self) -> None:
        by_policy: dict[Digest, list[Heard]] = {}
        for one in self._heard.values():
            by_policy.setdefault(one.policy, []).append(one)
        if len(by_policy) < 2:
            return
        chosen = max(by_policy.values(), key=self._rank)
        for one in list(self._heard.values()):
            if one.policy == chosen[0].policy:
                continue
            self._leave_out(one)
            if one.policy == NO_DIGEST:
                self._findings.notice(one.member, "lacks_policy")
            elif self._is_backed([other for other in chosen if other.height == one.height]):
                self._findings.accuse(one.member, "stale_policy")

    def _rank(self, group: Sequence[Heard]) -> tuple[bool, bool, Height, int]:
        """A policy that an honest seat must be among; rather one that is known than none; then the newest."""
        is_known = group[0].policy != NO_DIGEST
        return self._is_backed(group), is_known, max(one.height for one in group), len(group)

    def _is_backed(self, group: Sequence[Heard]) -> bool:
        """Whether at least one of them is honest."""
        return len(group) > faulty(len(self._committee.seats))

    def _leave_out(self, one: Heard) -> None:
        del self._heard[one.seat]
        self.failures[one.seat] = PeerUnavailableError(peer=one.member)

    def _member(self, seat: Seat) -> MemberId:
        return self._committee.seats[seat - 1].member
