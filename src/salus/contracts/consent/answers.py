"""What one rule of the patient answers about one record: permit, deny, or nothing.

A rule is bound first to what many records share (reader, purpose, time, author, then type), which drops most rules;
only its terms are left for each record. The deepest matching exception wins; among siblings deny beats permit. Where a
rule lacks tokens for the author it answers the narrowest thing it could have: no record becomes open because of what a
keeper cannot match.
"""

from dataclasses import dataclass, replace

from salus.contracts.consent.purposes import reached_by
from salus.contracts.consent.requests import ReadKind, ReadRequest
from salus.contracts.consent.rules import Effect, Reader, Rule
from salus.core.ids import FhirType, MemberId, TimeMs, Token


@dataclass(frozen=True, slots=True)
class Answer:
    """A rule's answer. `names` are the tokens that its permits named, which `explicit` is held against."""

    effect: Effect
    names: frozenset[Token] = frozenset()
    obligations: frozenset[str] = frozenset()
    lacks_tokens: bool = False  # A deny that may cover more than the patient meant.


_DOUBTFUL_DENY = Answer(Effect.DENY, lacks_tokens=True)


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule of which only type and terms are still to be matched. `groups` is None where it lacks tokens."""

    groups: tuple[frozenset[Token], ...] | None
    own: Answer
    exceptions: tuple["Bound", ...]
    fhir_types: tuple[FhirType, ...]


def bind(rule: Rule, request: ReadRequest, at: TimeMs, *, author: MemberId) -> Bound | None:
    """The rule as it stands for this reader and the records of this author; None where it cannot match."""
    if not (in_force(rule.since, rule.until, at) and _reads(rule.readers, request)):
        return None
    if rule.purposes and reached_by(request.purpose, rule.effect).isdisjoint(rule.purposes):
        return None
    if rule.authors and author not in rule.authors:
        return None
    groups = _groups(rule, author)
    bound = (bind(exception, request, at, author=author) for exception in rule.exceptions)
    exceptions = tuple(exception for exception in bound if exception is not None)
    return Bound(groups, _own(rule, groups or ()), exceptions, rule.fhir_types)


def of_type(rule: Bound, fhir_type: FhirType) -> Bound | None:
    """The bound rule as it stands for records of this type; None where it cannot match."""
    if rule.fhir_types and fhir_type not in rule.fhir_types:
        return None
    if not rule.exceptions:
        return rule
    kept = (of_type(exception, fhir_type) for exception in rule.exceptions)
    return replace(rule, exceptions=tuple(exception for exception in kept if exception is not None))


def answer(rule: Bound, terms: frozenset[Token]) -> Answer | None:
    """What the rule says of a record that bears these terms; None where it is silent."""
    if rule.groups is None:
        return _in_doubt(rule, terms)
    for group in rule.groups:
        if group.isdisjoint(terms):
            return None
    return _deepest(rule, terms) if rule.exceptions else rule.own


def words_of(rule: Bound) -> frozenset[Token]:
    """Every token that the rule or its exceptions could match."""
    return frozenset[Token]().union(*(rule.groups or ()), *(words_of(exception) for exception in rule.exceptions))


def in_force(since: TimeMs | None, until: TimeMs | None, at: TimeMs) -> bool:
    """Whether a half-open time in force holds this moment."""
    return (since is None or since <= at) and (until is None or at < until)


def _in_doubt(rule: Bound, terms: frozenset[Token]) -> Answer | None:
    if rule.own.effect is Effect.DENY:
        return _DOUBTFUL_DENY  # Its exceptions aside: they might permit what the deny was never about.
    # The permit does not match, but what it refuses in its exceptions it may still mean.
    return _DOUBTFUL_DENY if _deepest(rule, terms).effect is Effect.DENY else None


def _deepest(rule: Bound, terms: frozenset[Token]) -> Answer:
    replies = [reply for exception in rule.exceptions if (reply := answer(exception, terms)) is not None]
    if not replies:
        return rule.own
    denies = [reply for reply in replies if reply.effect is Effect.DENY]
    if denies:
        return Answer(Effect.DENY, lacks_tokens=all(deny.lacks_tokens for deny in denies))
    if rule.own.effect is Effect.PERMIT:
        replies.append(rule.own)  # A permit inside a permit adds its words and duties to those around it.
    return Answer(
        Effect.PERMIT,
        names=frozenset().union(*(reply.names for reply in replies)),
        obligations=frozenset().union(*(reply.obligations for reply in replies)),
    )


def _own(rule: Rule, groups: tuple[frozenset[Token], ...]) -> Answer:
    if rule.effect is Effect.DENY:
        return Answer(Effect.DENY)
    return Answer(Effect.PERMIT, names=frozenset().union(*groups), obligations=frozenset(rule.obligations))


def _groups(rule: Rule, author: MemberId) -> tuple[frozenset[Token], ...] | None:
    if rule.terms is None:
        return ()
    groups = next((terms.groups for terms in rule.terms if terms.author == author), ())
    # An empty group could match nothing, so a deny must not hide behind one: it counts as lacking.
    return tuple(frozenset(group) for group in groups) if groups and all(groups) else None


def _reads(readers: tuple[Reader, ...], request: ReadRequest) -> bool:
    return not readers or any(_is_reader(reader, request) for reader in readers)


def _is_reader(reader: Reader, request: ReadRequest) -> bool:
    staff = reader.member is not None or reader.role is not None or reader.credential is not None
    if staff and request.kind is not ReadKind.CLINICIAN:
        return False
    return (
        reader.member in (None, request.member)
        and (reader.role is None or reader.role in request.roles)
        and reader.credential in (None, request.credential)
        and reader.handle in (None, request.handle)
    )
