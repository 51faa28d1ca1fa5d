"""Giving a writer the policy in force that it missed: it decides by it when it opens its own records.

A keeper gives it to members that the policy names as writers, and to members of which it holds records of the subject:
they wrote once, and may open what they wrote only as the patient wishes now. To anybody else there is no such subject.
"""

from salus.contracts.consent.policy import is_writer
from salus.contracts.members.reads import member_of
from salus.contracts.records.reads import is_in_force
from salus.core.errors import MalformedError
from salus.core.ids import CommitteeId, MemberId, Sealed, Seat, SubjectId
from salus.core.transport import Door
from salus.core.wire import Record, decode, encode
from salus.crypto.hpke import OpeningKey, seal
from salus.keeper.deposits import Deposits
from salus.keeper.errors import EnvelopeError
from salus.keeper.messages import PolicyFound, info
from salus.keeper.policies import Held, Policies
from salus.keeper.seats import own_seat
from salus.machine.view import View


class SubjectNamed(Record, tag="keeper.subject_named/1", frozen=True):
    """Whose policy is wanted: travels sealed, because handles are nobody else's business."""

    subject: SubjectId


class WriterWantsPolicy(Record, tag="keeper.writer_wants_policy/1", frozen=True):
    """A sealed `SubjectNamed`: the sender writes about this subject, or did, and lacks the policy in force."""

    committee: CommitteeId
    seat: Seat
    sealed: Sealed


class Writers:
    """The keeper's side of writers that missed a policy."""

    def __init__(
        self, member: MemberId, view: View, policies: Policies, deposits: Deposits, opening_key: OpeningKey
    ) -> None:
        self._member = member
        self._view = view
        self._policies = policies
        self._deposits = deposits
        self._opening_key = opening_key

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        door.answer(WriterWantsPolicy, self.told)

    async def told(self, sender: MemberId, wanted: WriterWantsPolicy) -> PolicyFound:
        """The policy in force, sealed to the asking member's gateway; empty for whoever did not write.

        Raises, in this order:
            NotSeatedError: not a seat of this member.
            EnvelopeError: it does not open for this seat.
            PolicyMissingError: the policy in force is not held here and no other seat gave it.
        """
        own_seat(self._view.state, wanted.committee, wanted.seat, self._member)
        try:
            data = self._opening_key.open(wanted.sealed, info(self._view.chain, "writer wants policy"))
            subject = decode(SubjectNamed, data).subject
        except MalformedError:
            raise EnvelopeError(seat=wanted.seat) from None
        held = await self._policies.current(subject)
        member = member_of(self._view.state, sender)
        if held is None or member is None or not (self._writes(sender, held) or self._wrote(sender, subject)):
            return PolicyFound(sealed=b"")
        named = info(self._view.chain, "policy for writer")
        return PolicyFound(sealed=seal(member.keys.gateway, encode(held.policy), named))

    def _writes(self, member: MemberId, held: Held) -> bool:
        return is_writer(held.policy, member, self._view.time)

    def _wrote(self, member: MemberId, subject: SubjectId) -> bool:
        for author, batch_id, roots, _ in self._deposits.holdings_of(subject):
            if author == member and is_in_force(self._view.state, author, batch_id, *roots):
                return True
        return False
