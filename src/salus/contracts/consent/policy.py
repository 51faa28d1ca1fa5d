"""A patient's policy set: the rules, and who writes, owns and stands in. The subject's cell commits to the whole.

Whoever misses one rule holds other bytes, hence another digest than the ledger's, and knows it. Only `commitment`
reaches the ledger; the salt keeps it from being guessed.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from salus.contracts.consent.errors import (
    AuthorTermsError,
    DepthError,
    GroupError,
    PeriodError,
    PurposeError,
    RuleCountError,
    RuleIdError,
    SupersedesError,
)
from salus.contracts.consent.purposes import PARENTS
from salus.contracts.consent.rules import EXCEPTION_DEPTH_MAX, Handle, Rule
from salus.core.ids import CellId, ChainId, Digest, MemberId, Name, PublicKey, Salt, SubjectId, TimeMs, Version
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged

RULES_MAX = 1024  # Exceptions counted: what a keeper will judge for one record.
MEMO_BYTES_MAX = 65_536

Memo = Annotated[bytes, Meta(max_length=MEMO_BYTES_MAX)]
Jurisdiction = Annotated[str, Meta(min_length=1, max_length=32)]


class Writer(Record, tag="consent.writer/1", frozen=True):
    """A member that may seal records about the subject, for good or until a date."""

    member: Name
    until: TimeMs | None = None


class Device(Record, tag="consent.device/1", frozen=True):
    """A device of the patient."""

    key: PublicKey
    handle: Handle


class Proxy(Record, tag="consent.proxy/1", frozen=True):
    """Someone who acts for the patient: a parent, a relative, an attorney."""

    key: PublicKey
    handle: Handle
    until: TimeMs | None = None


class PolicySet(Record, tag="consent.policy/1", frozen=True):
    """One version of all that a patient has said."""

    chain: ChainId
    cell: CellId
    version: Version
    salt: Salt
    subject: SubjectId
    rules: tuple[Rule, ...]
    writers: tuple[Writer, ...]
    devices: tuple[Device, ...]
    proxies: tuple[Proxy, ...]
    guardians: tuple[Handle, ...]
    custodian: Name | None  # Keeps the keys of who has no device; while one does, no key reads as the patient.
    jurisdiction: Jurisdiction  # Where the patient lives: whose words explain a decision to them.
    also: tuple[SubjectId, ...] = ()  # Other handles of the same person, each with its own policy.
    memo: Memo = b""  # The rules in clear, sealed under a key of the owner's own, so that a restored wallet has them.
    handle_salt: Salt = bytes(32)  # Binds the handle to the cell: see `subject_handle`.


def commitment(policy: PolicySet) -> Digest:
    """What the subject's cell holds: the digest of the whole set."""
    return tagged("consent.policy/1", encode(policy))


def subject_handle(cell: CellId, handle_salt: Salt) -> SubjectId:
    """The random handle of the patient behind a cell.

    Whoever lacks the salt cannot tell which cell a handle belongs to; whoever has it can check. So a writer who knows a
    handle cannot open a second cell for it and name itself there as the patient.
    """
    return tagged("consent.subject/1", cell, handle_salt)[:16]


def is_subject_of(policy: PolicySet) -> bool:
    """Whether the policy's subject is the one behind its cell."""
    return policy.subject == subject_handle(policy.cell, policy.handle_salt)


def is_writer(policy: PolicySet, member: MemberId, at: TimeMs) -> bool:
    """Whether this member may seal records about the subject at this time."""
    return any(w.member == member and (w.until is None or at < w.until) for w in policy.writers)


def device_handle(policy: PolicySet, key: PublicKey) -> Handle | None:
    """The handle under which a key reads as the patient; none while a custodian keeps the keys."""
    if policy.custodian is not None:
        return None
    return next((device.handle for device in policy.devices if device.key == key), None)


def proxy_handle(policy: PolicySet, key: PublicKey, at: TimeMs) -> Handle | None:
    """The handle under which a key reads for the patient at this time."""
    live = (proxy for proxy in policy.proxies if proxy.until is None or at < proxy.until)
    return next((proxy.handle for proxy in live if proxy.key == key), None)


def writers_without_tokens(policy: PolicySet) -> frozenset[MemberId]:
    """Writers for whom some rule about terms lacks tokens: a version that adds a writer must leave none."""
    spoken = [rule.terms for rule in every_rule(policy.rules) if rule.terms is not None]
    writers = [writer.member for writer in policy.writers]
    return frozenset(m for m in writers if any(all(t.author != m for t in terms) for terms in spoken))


def every_rule(rules: tuple[Rule, ...]) -> Iterator[Rule]:
    """The rules and their exceptions, each before its own."""
    pending = list(reversed(rules))
    while pending:
        rule = pending.pop()
        yield rule
        pending.extend(reversed(rule.exceptions))


def check_policy(policy: PolicySet) -> None:
    """Refuse a policy that cannot mean what it says. Keepers and writers call it before they hold a version.

    Raises, in this order:
        DepthError: exceptions are nested deeper than four.
        RuleCountError: more than `RULES_MAX` rules and exceptions.
        RuleIdError: two rules bear one id.
        SupersedesError: a rule supersedes itself, or an exception supersedes at all.
        PurposeError: a purpose is not in the tree.
        PeriodError: a rule's time in force is empty.
        AuthorTermsError: an author twice, or authors with different numbers of groups.
        GroupError: a group, or the list of groups, is empty.
    """
    for rule in policy.rules:
        _check_depth(rule, EXCEPTION_DEPTH_MAX)
    everything = tuple(every_rule(policy.rules))
    if len(everything) > RULES_MAX:
        raise RuleCountError(rules=len(everything), rules_max=RULES_MAX)
    if len({rule.rule_id for rule in everything}) != len(everything):
        raise RuleIdError(rules=len(everything))
    top = {rule.rule_id for rule in policy.rules}
    for rule in everything:
        if rule.supersedes is not None and (rule.rule_id not in top or rule.supersedes == rule.rule_id):
            raise SupersedesError(rule_id=rule.rule_id, supersedes=rule.supersedes)
    for rule in everything:
        _check_rule(rule)


def _check_depth(rule: Rule, left: int) -> None:
    if rule.exceptions and left == 0:
        raise DepthError(rule_id=rule.rule_id, depth_max=EXCEPTION_DEPTH_MAX)
    for exception in rule.exceptions:
        _check_depth(exception, left - 1)


def _check_rule(rule: Rule) -> None:
    if any(purpose not in PARENTS for purpose in rule.purposes):
        raise PurposeError(rule_id=rule.rule_id)
    if rule.since is not None and rule.until is not None and rule.since >= rule.until:
        raise PeriodError(rule_id=rule.rule_id, since=rule.since, until=rule.until)
    if not rule.terms:
        return
    authors = {terms.author for terms in rule.terms}
    if len(authors) != len(rule.terms) or len({len(terms.groups) for terms in rule.terms}) != 1:
        raise AuthorTermsError(rule_id=rule.rule_id)
    if not all(terms.groups and all(terms.groups) for terms in rule.terms):
        raise GroupError(rule_id=rule.rule_id)
