"""The smart contract: may this reader have this record, now, and on what terms?

One pure function, run by every keeper before a share leaves, by an author for its own records, and by the "why?" page.
In this order, and the first that answers ends it:

1. who asks: the record is this patient's, the reader is who they say (`identity.py`), the packs' law lets them ask;
2. the patient, from an own device, reads;
3. break-glass opens, except what the law closes to it;
4. a statute's deny;
5. the patient's rules: deny, else permit;
6. a statute's permit, then the default;
7. silence denies.

`decide` computes afresh. `Decider` remembers, and answers the same.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from salus.contracts.consent.layers import Kin
from salus.contracts.consent.pack import Pack
from salus.contracts.consent.plan import WRONG_SUBJECT, Plan, Said, plan_for, said_to
from salus.contracts.consent.policy import PolicySet, every_rule
from salus.contracts.consent.reasons import Decision
from salus.contracts.consent.requests import ReadRequest
from salus.contracts.records.header import Bits, Header
from salus.core.ids import FhirType, MemberId, TimeMs, Token
from salus.core.wire import replace

SESSIONS_MAX = 64  # Readers remembered at once, and
DECISIONS_MAX = 16_384  # decisions for each: a whole record of hundreds, many times over.

_HeaderKey = tuple[MemberId, tuple[Token, ...], tuple[Token, ...], int, FhirType]
_KinKey = tuple[MemberId, int, FhirType]
_TermKey = tuple[frozenset[Token], tuple[Token, ...]]


def decide(policy: PolicySet, packs: tuple[Pack, ...], request: ReadRequest, header: Header, at: TimeMs) -> Decision:
    """Judge one record. `packs` are the author's and the reader's; one where they live under the same."""
    if header.subject != policy.subject:
        return WRONG_SUBJECT
    said = said_to(policy, request, at, header.record.author)
    plan = plan_for(policy, packs, request, _kin(header), at, said)
    return plan.settle(frozenset(header.terms), header.explicit)


class Decider:
    """One policy version compiled, with a memory. Not for two threads at once; let it go with its policy version.

    `packs` are those in force by jurisdiction, `places` the members' jurisdictions, both from the ledger. A memory
    holds for one reader's facts, and between two moments at which any rule begins or ends.
    """

    def __init__(self, policy: PolicySet, packs: Mapping[str, Pack], places: Mapping[MemberId, str]) -> None:
        self._policy = policy
        self._packs = packs
        self._places = places
        self._turns = _turning_points(policy, packs)
        self._sessions: dict[tuple[ReadRequest, int], _Session] = {}

    def decide(self, request: ReadRequest, header: Header, at: TimeMs) -> Decision:
        """Judge one record."""
        return self.decide_all(request, (header,), at)[0]

    def decide_all(self, request: ReadRequest, headers: Sequence[Header], at: TimeMs) -> list[Decision]:
        """Judge many records for one reader, in their order."""
        return self._session(request, at).settle_all(headers, at)

    def next_turn(self, at: TimeMs) -> TimeMs | None:
        """The next moment at which any rule begins or ends, so until when an answer holds; none if for ever."""
        place = bisect_right(self._turns, at)
        return self._turns[place] if place < len(self._turns) else None

    def _session(self, request: ReadRequest, at: TimeMs) -> "_Session":
        # Of the reason it matters only whether there is one; asking for history changes no decision.
        facts = replace(request, reason="given" if request.reason.strip() else "", history=False)
        key = (facts, bisect_right(self._turns, at))
        session = self._sessions.get(key)
        if session is None:
            if len(self._sessions) >= SESSIONS_MAX:
                self._sessions.clear()
            session = self._sessions[key] = _Session(self._policy, self._packs, self._places, facts)
        return session


class _Session:
    """What is remembered of one reader between two turning points.

    Twice: by a header's terms as they are, and by those among them that some rule knows, where most headers agree.
    """

    def __init__(
        self, policy: PolicySet, packs: Mapping[str, Pack], places: Mapping[MemberId, str], request: ReadRequest
    ) -> None:
        self._policy, self._packs, self._places, self._request = policy, packs, places, request
        self._said: dict[MemberId, Said] = {}
        self._by_header: dict[_HeaderKey, Decision] = {}
        self._plans: dict[_KinKey, tuple[Plan, dict[_TermKey, Decision]]] = {}

    def settle_all(self, headers: Sequence[Header], at: TimeMs) -> list[Decision]:
        subject, known = self._policy.subject, self._by_header
        decisions: list[Decision] = []
        for header in headers:
            key = (header.record.author, header.terms, header.explicit, header.bits, header.fhir_type)
            decision = known.get(key) if header.subject == subject else WRONG_SUBJECT
            if decision is None:
                if len(known) >= DECISIONS_MAX:
                    known.clear()
                    self._plans.clear()
                    self._said.clear()
                decision = known[key] = self._by_terms(header, at)
            decisions.append(decision)
        return decisions

    def _by_terms(self, header: Header, at: TimeMs) -> Decision:
        kin = (header.record.author, header.bits, header.fhir_type)
        if kin not in self._plans:
            self._plans[kin] = (self._plan(header, at), {})
        plan, decisions = self._plans[kin]
        key = (plan.words.intersection(header.terms), header.explicit)
        decision = decisions.get(key)
        if decision is None:
            decision = decisions[key] = plan.settle(*key)
        return decision

    def _plan(self, header: Header, at: TimeMs) -> Plan:
        author = header.record.author
        if author not in self._said:
            self._said[author] = said_to(self._policy, self._request, at, author)
        packs, said = self._both(author), self._said[author]
        return plan_for(self._policy, packs, self._request, _kin(header), at, said)

    def _both(self, author: MemberId) -> tuple[Pack, ...]:
        wanted = {self._request.jurisdiction, self._places.get(author, "")}
        found = tuple(self._packs[place] for place in sorted(wanted) if place in self._packs)
        return found if len(found) == len(wanted) else ()


def _kin(header: Header) -> Kin:
    return Kin(header.record.author, header.fhir_type, Bits(header.bits))


def _turning_points(policy: PolicySet, packs: Mapping[str, Pack]) -> list[TimeMs]:
    times = {time for rule in every_rule(policy.rules) for time in (rule.since, rule.until)}
    times |= {time for pack in packs.values() for rule in pack.rules for time in (rule.since, rule.until)}
    times |= {proxy.until for proxy in policy.proxies}
    return sorted(time for time in times if time is not None)
