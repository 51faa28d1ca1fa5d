"""A patient's rules, twice: `ClearRule` as a person says it, `Rule` as keepers hold it, with its terms blinded.

Fields are joined by AND, the values inside a field by OR, and a field left out does not constrain. What a rule answers
is decided in `answers.py`; how one becomes the other is in `blinding.py`.
"""

from datetime import date
from enum import Enum
from typing import Annotated

from msgspec import Meta

from salus.core.ids import CredentialId, FhirType, MemberId, Name, Purpose, TimeMs, Token
from salus.core.wire import Record

EXCEPTION_DEPTH_MAX = 4

RuleId = Annotated[bytes, Meta(min_length=16, max_length=16)]  # Drawn by the wallet; unique within a policy.
Handle = Annotated[bytes, Meta(min_length=16, max_length=16)]  # A device, proxy or guardian, pairwise with the subject.


class Effect(Enum):
    """What a rule, a layer or a decision says. Silence is `None` where it may occur, never an effect."""

    PERMIT = "permit"
    DENY = "deny"


class Reader(Record, tag="consent.reader/1", frozen=True):
    """Who asks. What is set must all hold, so `Reader(member=…, role=…)` is a role at a member; none set is anyone.

    Member, role and credential speak of a member's staff, never of a patient or proxy whose request a member forwards.
    """

    member: Name | None = None
    role: str | None = None
    credential: CredentialId | None = None
    handle: Handle | None = None  # Of a proxy.


ANYONE = Reader()


class AuthorTerms(Record, tag="consent.author_terms/1", frozen=True):
    """A rule's terms as one author's tokens: all of the groups, any token of each. Tokens are sorted."""

    author: Name
    groups: tuple[tuple[Token, ...], ...]


class Rule(Record, tag="consent.rule/1", frozen=True):
    """One rule as keepers hold it.

    `terms` is None where the rule does not speak of terms. Where it does and an author is missing from it, the rule
    lacks tokens for that author: its deny matches, its permit does not.
    """

    rule_id: RuleId
    effect: Effect
    readers: tuple[Reader, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    terms: tuple[AuthorTerms, ...] | None = None
    fhir_types: tuple[FhirType, ...] = ()
    authors: tuple[MemberId, ...] = ()
    since: TimeMs | None = None  # In force from here
    until: TimeMs | None = None  # up to, not including, here.
    obligations: tuple[str, ...] = ()
    exceptions: tuple["Rule", ...] = ()
    supersedes: RuleId | None = None  # A deny that this rule, where it permits, sets aside.


class ClearRule(Record, tag="consent.clear_rule/1", frozen=True):
    """One rule as a person says it. It stays with the wallet; only `blind_rule` of it travels.

    Terms are such as `label:PSY`, `code:http://loinc.org|1234-5`, `category:…`, `practitioner:…`.
    """

    rule_id: RuleId
    effect: Effect
    readers: tuple[Reader, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    terms: tuple[tuple[str, ...], ...] = ()
    data_since: date | None = None  # Of the data itself: whole calendar days, half-open.
    data_until: date | None = None
    fhir_types: tuple[FhirType, ...] = ()
    authors: tuple[MemberId, ...] = ()
    since: TimeMs | None = None
    until: TimeMs | None = None
    obligations: tuple[str, ...] = ()
    exceptions: tuple["ClearRule", ...] = ()
    supersedes: RuleId | None = None
