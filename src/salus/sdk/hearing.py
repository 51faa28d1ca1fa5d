"""Check 1 of reading: every seat is asked, and answers count together only if they were given under one policy.

A view of the ledger may lag: whoever decided earlier than others is asked once more at the highest height that this
gateway's own state has reached. What is then still different *at one height* is a lie, because state is the same for
all there; anything else is absence.

A seat that answers late holds nobody up: with a quorum of one mind the reader goes on, and comes back for the rest only
where the answers do not suffice. While a committee changes, those are asked too who sat there when a batch was dealt
that was not dealt again since, and a seat that is new may know nothing yet of a subject.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from salus.contracts.members.reads import member_of
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import NO_DIGEST, CommitteeId, Digest, Height, MemberId, PublicKey, RequestId
from salus.core.transport import PeerRefusalError, PeerUnavailableError, ask
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import OpeningKey, seal
from salus.crypto.merkle import root
from salus.crypto.signatures import verify
from salus.keeper.answers import unpadded
from salus.keeper.errors import NotSeatedError
from salus.keeper.messages import Answer, Ask, Asking, SealedAnswer, head_statement, info
from salus.sdk.chairs import Chair, chairs_of
from salus.sdk.enough import Asked
from salus.sdk.gateway import Gateway
from salus.sdk.views import Findings

OWN_VIEW_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One seat's answer that passed check 1."""

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
        self.chairs = chairs_of(gateway.view.state, committee_id, gateway.committee(committee_id))
        self._request_id = request_id
        self._asking = asking
        self._reply_key = reply_key
        self._findings = findings
        self._chair = {chair.member: chair for chair in self.chairs.chairs}
        self._heard: dict[MemberId, Heard] = {}
        self._asked: Asked[MemberId, Answer | None] = Asked({})
        self.failures: dict[MemberId, SalusError] = {}
        self.unknowing: set[MemberId] = (
            set()
        )  # On new seats, and not told of this subject yet: they hold nothing of it.

    async def hear(self) -> list[Heard]:
        """Answers of one policy, by seat; whoever is left out is in `failures`, whoever lied in the findings."""
        await self._ask(list(self._chair), self._asking.at_height)
        return await self._of_one_policy()

    async def hear_rest(self) -> list[Heard]:
        """As `hear`, with those who were late."""
        await self._asked.until(lambda _: False)
        self._take_replies()
        return await self._of_one_policy()

    @property
    def answering(self) -> set[MemberId]:
        """Who answered under the policy that counts, or sits there newly and holds nothing of the subject yet."""
        return self._heard.keys() | self.unknowing

    @property
    def can_combine(self) -> bool:
        """Whether these are as many of those who sit there now as it takes to open what was dealt to them."""
        return self.chairs.circles[0].can_combine(self.answering)

    @property
    def absent(self) -> tuple[MemberId, ...]:
        """Who did not answer, refused, or answered of another moment."""
        return tuple(member for member in self._chair if member in self.failures and member not in self.unknowing)

    @property
    def late(self) -> list[MemberId]:
        """Whose answers are still to come."""
        return sorted(self._asked.waiting_for)

    def let_go(self) -> None:
        """Wait for nobody any more: who is late counts as absent."""
        for member in self._asked.waiting_for:
            self.failures[member] = PeerUnavailableError(peer=member)
        self._asked.let_go()

    async def _of_one_policy(self) -> list[Heard]:
        await self._leave_out_unseen_heights()
        if len({one.policy for one in self._heard.values()}) > 1:
            top = max(one.height for one in self._heard.values())
            behind = [one.member for one in self._heard.values() if one.height < top]
            await self._ask([*behind, *self.late], top)
            await self._leave_out_unseen_heights()
        self._leave_out_other_policies()
        return [self._heard[member] for member in self._chair if member in self._heard]

    async def _ask(self, members: Iterable[MemberId], at_height: Height) -> None:
        asked = list(members)
        self._asked.let_go()
        for member in asked:
            self._heard.pop(member, None)
            self.failures.pop(member, None)
            self.unknowing.discard(member)
        self._asked = Asked({member: self._ask_seat(self._chair[member], at_height) for member in asked})
        await self._asked.until(self._is_enough)
        self._take_replies()

    def _is_enough(self, replies: Mapping[MemberId, Answer | SalusError | None]) -> bool:
        """Whether a quorum of each circle is of one mind: then a slow seat is not waited for beyond a moment."""
        minds = {member: one.policy for member, one in self._heard.items()}
        minds.update((member, one.head.policy) for member, one in replies.items() if isinstance(one, Answer))
        (policy, _), *_ = Counter(minds.values()).most_common(1) or [(NO_DIGEST, 0)]
        alike = {member for member, mind in minds.items() if mind == policy}
        alike |= {member for member in self.chairs.new if minds.get(member) == NO_DIGEST}
        return all(circle.is_quorum(alike) for circle in self.chairs.circles)

    def _take_replies(self) -> None:
        for member, reply in self._asked.replies.items():
            if isinstance(reply, SalusError):
                self.failures[member] = reply
                if isinstance(reply, MalformedError):
                    self._findings.accuse(member, "unreadable_answer")
            elif reply is not None:
                self._heard[member] = Heard(member=member, answer=reply)
            else:
                self.failures[member] = PeerUnavailableError(peer=member)
                self._findings.accuse(member, "bad_signature")
        self._asked.replies.clear()

    async def _ask_seat(self, chair: Chair, at_height: Height) -> Answer | None:
        """A seat's answer; none if it is not what the seat must sign.

        Raises:
            PeerUnavailableError: by its own state the one asked does not sit there, or is no member by this one.
        """
        for height in (at_height, self._gateway.view.height):  # It may not have seen yet that it sits there.
            try:
                answer = await self._answer_of(chair, height)
            except PeerRefusalError as error:
                if error.said != NotSeatedError.code:
                    raise
            else:
                return answer if self._is_sound(answer, chair, await self._signer(answer, chair), at_height) else None
        raise PeerUnavailableError(peer=chair.member)

    async def _answer_of(self, chair: Chair, at_height: Height) -> Answer:
        asking = encode(replace(self._asking, at_height=at_height))
        sealed = seal(chair.sealing, asking, info(self._gateway.chain, "ask"))
        request = Ask(committee=self._committee_id, epoch=chair.epoch, seat=chair.seat, sealed=sealed)
        reply = await ask(self._gateway.transport, chair.member, request, SealedAnswer)
        data = unpadded(self._reply_key.open(reply.sealed, info(self._gateway.chain, "answer")))
        return decode(Answer, data)

    async def _signer(self, answer: Answer, chair: Chair) -> PublicKey:
        """The key by which a member signs at the height of its answer: it may have been replaced since it was asked."""
        view = self._gateway.view
        if verify(chair.key, head_statement(answer.head), answer.signature):
            return chair.key
        await view.reached(answer.head.height, OWN_VIEW_WAIT_S)
        entry = member_of(view.state, chair.member)
        if entry is None:
            raise PeerUnavailableError(peer=chair.member)
        return entry.keys.keeper

    def _is_sound(self, answer: Answer, chair: Chair, signer: PublicKey, at_height: Height) -> bool:
        head = answer.head
        return (
            (head.chain, head.request_id, head.committee, head.epoch, head.seat)
            == (self._gateway.chain, self._request_id, self._committee_id, chair.epoch, chair.seat)
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
            if one.policy == NO_DIGEST and one.member in self.chairs.new:
                self.unknowing.add(one.member)
            elif one.policy == NO_DIGEST:
                self._findings.notice(one.member, "lacks_policy")
            elif self._is_backed([other for other in chosen if other.height == one.height]):
                self._findings.accuse(one.member, "stale_policy")

    def _rank(self, group: Sequence[Heard]) -> tuple[bool, bool, Height, int]:
        """A policy that an honest seat must be among; rather one that is known than none; then the newest."""
        is_known = group[0].policy != NO_DIGEST
        return self._is_backed(group), is_known, max(one.height for one in group), len(group)

    def _is_backed(self, group: Sequence[Heard]) -> bool:
        """Whether at least one of them is honest."""
        members = [one.member for one in group]
        return any(circle.has_honest(members) for circle in self.chairs.circles)

    def _leave_out(self, one: Heard) -> None:
        del self._heard[one.member]
        self.failures[one.member] = PeerUnavailableError(peer=one.member)
