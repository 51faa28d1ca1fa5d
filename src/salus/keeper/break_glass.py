"""Breaking the glass: who may, for how long, and how often, at a keeper and at an author's own gateway alike.

A request is one breaking however often it is asked within its hour: who treats an emergency looks again and again, and
whoever else makes a page ask again must not use up the person's quota. Beyond it a second person signs. Members draw
credentials for their own people, so what a member's people do together is bounded too, and for that nobody signs.
"""

from salus.contracts.consent import ReadRequest
from salus.contracts.reads.opening import Opening, to_sign
from salus.core.ids import MINUTE_MS, TimeMs
from salus.crypto.signatures import verify
from salus.keeper.access_log import AccessLog
from salus.keeper.errors import BreakGlassError, QuotaError
from salus.keeper.messages import Person
from salus.keeper.persons import Persons

BREAK_GLASS = "BTG"
EMERGENCY_ROLE = "emergency"
BREAK_GLASS_MS_MAX = 60 * MINUTE_MS
BREAK_GLASS_PER_DAY = 3  # Requests of one person; beyond it a second person signs.
BREAK_GLASS_PER_MEMBER_DAY = 50  # Requests of one member's people together.


def check_time(log: AccessLog, person: bytes, opening: Opening, now: TimeMs) -> None:
    """An hour from the first use of the very request, by the log's own clock: for who has no ledger to bound it.

    Raises:
        BreakGlassError: the hour is over.
    """
    first = log.broken(person, opening.member, opening.request_id).first
    if first is not None and now - first >= BREAK_GLASS_MS_MAX:
        raise BreakGlassError(minutes_max=BREAK_GLASS_MS_MAX // MINUTE_MS)


def check_quota(
    log: AccessLog, persons: Persons, facts: ReadRequest, opening: Opening, second: Person | None, person: bytes
) -> None:
    """Whether one more breaking is left to this person and member; a request that was logged before is free.

    Raises:
        QuotaError: the person's three are used and no second person signed, or the member's are.
        PersonError: the second person's credential does not hold.
    """
    used = log.broken(person, facts.member, opening.request_id)
    if used.first is not None:
        return
    if used.by_member >= BREAK_GLASS_PER_MEMBER_DAY:
        raise QuotaError(break_glass_per_member_day=BREAK_GLASS_PER_MEMBER_DAY)
    if used.by_person >= BREAK_GLASS_PER_DAY and not _is_second(persons, second, opening):
        raise QuotaError(break_glass_per_day=BREAK_GLASS_PER_DAY)


def _is_second(persons: Persons, second: Person | None, opening: Opening) -> bool:
    """Whether another emergency person of the same member signed the same opening."""
    if second is None or second.credential_id == opening.credential_id or second.claims.key == opening.key:
        return False
    roles = persons.roles(second.credential_id, second.claims, opening.member, second.claims.key)
    return EMERGENCY_ROLE in roles and verify(second.claims.key, to_sign(opening), second.signature)
