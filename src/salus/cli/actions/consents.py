"""What a patient allows and refuses, and why a reader may or may not have a record."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from salus.cli.actions.patients import cosigner_of
from salus.cli.errors import UnknownRuleError
from salus.cli.home import Home
from salus.cli.identity import StaffName, who
from salus.cli.people import Patient, reader_of
from salus.cli.rules import Said, rule_of, sentence, without
from salus.cli.words import whom
from salus.contracts.consent import ANYONE, ClearRule, Decision, ReadKind, ReadRequest, Writer, commitment
from salus.contracts.consent import Reader as Readers
from salus.contracts.members.reads import member_of
from salus.contracts.records.header import Header
from salus.core.ids import Digest, Height, MemberId, Purpose
from salus.core.wire import reopen, replace
from salus.keeper.persons import Deciders
from salus.sdk import consent
from salus.sdk.reader import Reader, Wanted

PATIENTS_REQUEST = Purpose("PATRQT")


@dataclass(frozen=True, slots=True)
class Shown:
    """A consent as it stands."""

    patient: Patient
    version: int
    status: str  # `live`, `frozen` or `closed`.
    rules: tuple[tuple[ClearRule, str], ...]  # By number from 1, each with its sentence.
    writers: tuple[Writer, ...]
    custodian: MemberId | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A consent that has changed."""

    patient: Patient
    height: Height
    rules: tuple[str, ...]  # Sentences of what was added or taken back.


@dataclass(frozen=True, slots=True)
class Explained:
    """Records that fare alike, and why."""

    author: MemberId
    types: tuple[tuple[str, int], ...]
    decision: Decision
    rules: tuple[str, ...]  # Sentences of the patient's rules that answered.

    @property
    def count(self) -> int:
        """How many records."""
        return sum(number for _, number in self.types)


@dataclass(frozen=True, slots=True)
class Why:
    """What one reader would get of a patient's record, and why."""

    groups: tuple[Explained, ...]
    is_whole: bool  # False where a custodian could look at its own records alone.


async def readers_of(home: Home, to: Sequence[str], roles: Sequence[str]) -> tuple[Readers, ...]:
    """Those whom a consent names: members, persons, roles, or roles at members.

    Raises:
        UnknownMemberError, UnknownPersonError: there is no such member or person.
    """
    named = [whom(text) for text in to]
    found: list[Readers] = []
    for one in named:
        if one.person is not None:
            staff = who(one.person)
            assert isinstance(staff, StaffName), "A name with an @ is a member's person."
            person = await home.people.staff(staff)
            found.append(Readers(member=staff.member, credential=person.credential_id))
        elif one.member is not None:
            member = home.anyone(one.member)
            found += [Readers(member=member, role=role) for role in roles] or [Readers(member=member)]
        else:
            found += [Readers(role=role) for role in roles] or [ANYONE]
    return tuple(found) or tuple(Readers(role=role) for role in roles)


async def say(
    home: Home,
    patient: Patient,
    said: Said,
    *,
    via: str | None = None,
    evidence: Digest | None = None,
    witness: str | None = None,
) -> Changed:
    """Grant or deny; in force everywhere on return, but for the minute that a keeper may lag.

    `evidence` and `witness` are a custodian's, when it widens.

    Raises:
        OldWalletError: another holder owns the record now.
        PeerRefusalError: keepers refused; `keeper.widening_waits` where a custodian widens.
        TooFewSeatsError: too few keepers are up.
    """
    rule = rule_of(said)
    wallet = replace(patient.wallet, rules=(*patient.wallet.rules, rule))
    cosigner = cosigner_of(home, patient, witness)
    _, height = await consent.change(home.gateway(patient, via), patient.wallet, wallet, evidence, cosigner)
    return Changed(home.people.save(patient, wallet), height, (sentence(rule),))


async def revoke(home: Home, patient: Patient, gone: Sequence[ClearRule], *, via: str | None = None) -> Changed:
    """Take rules back. What a permit refused in its exceptions stays refused while a hospital keeps the keys.

    Raises:
        UnknownRuleError: none was named.
        OldWalletError, PeerRefusalError, TooFewSeatsError: as `say`.
    """
    if not gone:
        raise UnknownRuleError(rules=len(patient.wallet.rules))
    rules = patient.wallet.rules
    for rule in gone:
        rules = without(rules, rule, keeps_refusals=patient.custodian is not None)
    wallet = replace(patient.wallet, rules=rules)
    _, height = await consent.change(home.gateway(patient, via), patient.wallet, wallet)
    return Changed(home.people.save(patient, wallet), height, tuple(sentence(rule) for rule in gone))


def rules_named(patient: Patient, numbers: Sequence[int], readers: Sequence[Readers]) -> list[ClearRule]:
    """The rules with these numbers, and those that speak to these readers and no others.

    Raises:
        UnknownRuleError: there is no rule with such a number, or none that speaks to these readers.
    """
    rules = patient.wallet.rules
    for number in numbers:
        if not 1 <= number <= len(rules):
            raise UnknownRuleError(rule=number, rules=len(rules))
    found = [rules[number - 1] for number in dict.fromkeys(numbers)]
    theirs = [rule for rule in rules if readers and rule.readers and set(rule.readers) <= set(readers)]
    if readers and not theirs:
        raise UnknownRuleError(rules=len(rules))
    return found + [rule for rule in theirs if rule not in found]


async def freeze(home: Home, patient: Patient, *, via: str | None = None) -> Height:
    """Stop every use but the patient's own and break-glass; needs no keeper."""
    return await consent.freeze(home.gateway(patient, via), patient.wallet)


async def thaw(home: Home, patient: Patient, *, via: str | None = None) -> Height:
    """Open a frozen record again, under the rules as they were."""
    return await consent.thaw(home.gateway(patient, via), patient.wallet)


def show(home: Home, patient: Patient, *, via: str | None = None) -> Shown:
    """The consent in force.

    Raises:
        NoSuchSubjectError: the ledger has no such consent.
    """
    cell = consent.owned_cell(home.gateway(patient, via), patient.wallet)
    return Shown(
        patient=patient,
        version=cell.version,
        status=cell.status.value,
        rules=tuple((rule, sentence(rule)) for rule in patient.wallet.rules),
        writers=patient.wallet.writers,
        custodian=patient.custodian,
    )


async def why(
    home: Home,
    patient: Patient,
    reader: StaffName,
    purpose: Purpose,
    *,
    reason: str = "",
    document: str | None = None,
    via: str | None = None,
) -> Why:
    """Decide as every keeper would, for each record that the patient can see, and say why.

    A patient with a device of their own reads their record for it, which leaves its trace; a custodian knows the
    headers of its own records alone.

    Raises:
        UnknownPersonError, UnknownMemberError: there is no such reader.
        UnknownDocumentError: the patient has no such document.
        PolicyAwayError: no writer has the consent in force.
    """
    headers, is_whole = await _headers(home, patient, document, via)
    request = await _request(home, reader, purpose, reason)
    gateway = home.gateway(patient, via)
    policy = home.people.policy_of(patient.wallet)
    at = max(gateway.view.time, gateway.clock())
    packs = home.member(gateway.member).packs
    decisions = Deciders(gateway.view, packs).of(policy, commitment(policy)).decide_all(request, headers, at)
    sentences = {rule.rule_id.hex(): sentence(rule) for rule in patient.wallet.rules}
    return Why(_grouped(headers, decisions, sentences), is_whole)


def _grouped(
    headers: Sequence[Header], decisions: Sequence[Decision], sentences: dict[str, str]
) -> tuple[Explained, ...]:
    groups: dict[tuple[str, Decision], Counter[str]] = {}
    for header, decision in zip(headers, decisions, strict=True):
        groups.setdefault((header.record.author, decision), Counter())[header.fhir_type] += 1
    found = [
        Explained(
            author=MemberId(author),
            types=tuple(sorted(types.items())),
            decision=decision,
            rules=tuple(sentences[one.rule] for one in decision.reasons if one.rule in sentences),
        )
        for (author, decision), types in groups.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.author, not one.decision.permitted, -one.count)))


async def _headers(home: Home, patient: Patient, document: str | None, via: str | None) -> tuple[list[Header], bool]:
    from salus.cli.actions.reads import pick, read_record

    if patient.custodian is None:
        member = home.member(home.gateway(patient, via).member)
        wanted = Wanted(patient.wallet.subject, patient.wallet.committee, PATIENTS_REQUEST)
        record = await read_record(member, Reader(patient.wallet.device_key()), wanted)
        rows = record.rows if document is None else (pick(record, document),)
        return [row.opened.header for row in rows], True
    store = home.member(patient.custodian).store
    own = [reopen(Header, entry.header) for _, es in store.own_of_subject(patient.wallet.subject) for entry in es]
    return own, False


async def _request(home: Home, reader: StaffName, purpose: Purpose, reason: str) -> ReadRequest:
    person = reader_of(await home.people.staff(reader))
    gateway = home.member(reader.member).gateway
    member = member_of(gateway.view.state, reader.member)
    assert member is not None, "A member of the network stands on the ledger."
    return ReadRequest(
        member=reader.member,
        roles=reader.roles,
        credential=person.credential_id,
        jurisdiction=member.jurisdiction,
        kind=ReadKind.CLINICIAN,
        handle=None,
        purpose=purpose,
        reason=reason,
    )
