"""Decisions by name: every way to be refused, in the order in which it is considered, then every way to be permitted.

`test_decide.py` runs them, and `tests/vectors/generate_decisions.py` writes them as bytes for other implementations.
"""

from dataclasses import dataclass, field

from salus.contracts.consent import ANYONE, ClearRule, Effect, PolicySet, Reader, ReadRequest
from salus.contracts.consent.reasons import ReasonCode as Code
from salus.contracts.records.header import Bits
from salus.core.ids import MemberId
from salus.core.wire import replace
from tests.contracts.consent.world import (
    AT,
    CREDENTIAL,
    KEYS,
    MERCY,
    MOTHER,
    RIGA,
    ST_LUKE,
    STRANGER,
    ClearRecord,
    clinician,
    patient,
    policy_of,
    proxy,
)

PERMIT, DENY = Effect.PERMIT, Effect.DENY
PSY, HIV = "label:PSY", "label:HIV"
TO_ST_LUKE = (Reader(member=ST_LUKE),)


def rule(number: int, effect: Effect = PERMIT, **fields: object) -> ClearRule:
    return replace(ClearRule(number.to_bytes(16, "big"), effect), **fields)


ALL = rule(1, readers=TO_ST_LUKE)
TREATMENT = rule(1, readers=TO_ST_LUKE, purposes=("TREAT",))
NO_PSY = rule(2, DENY, terms=((PSY,),))


@dataclass(frozen=True)
class Case:
    """One decision: by default St. Luke's clinician asks for Mercy's plain record, to treat."""

    name: str
    code: Code
    rules: tuple[ClearRule, ...] = ()
    request: ReadRequest = field(default_factory=clinician)
    record: ClearRecord = field(default_factory=ClearRecord)
    writers: tuple[str, ...] = ("mercy", "st-luke", "riga")
    custodian: MemberId | None = None
    at: int = AT

    @property
    def policy(self) -> PolicySet:
        """The rules, blinded for these writers."""
        return policy_of(*self.rules, writers=[w for w in KEYS if w in self.writers], custodian=self.custodian)


def broken_glass(*roles: str, reason: str = "unconscious", member: MemberId = ST_LUKE) -> ReadRequest:
    return clinician(member, "BTG", *roles, reason=reason)


REFUSALS = [
    Case("unknown purpose", Code.UNKNOWN_PURPOSE, (ALL,), clinician(ST_LUKE, "CURIOSITY")),
    Case("unknown purpose of a patient", Code.UNKNOWN_PURPOSE, (), patient(purpose="CURIOSITY")),
    Case("custodian as patient", Code.CUSTODIAN_IS_NOT_PATIENT, (), patient(), custodian=MERCY),
    Case("custodian before device", Code.CUSTODIAN_IS_NOT_PATIENT, (), patient(STRANGER), custodian=MERCY),
    Case("a stranger's device", Code.NOT_OWN_DEVICE, (ALL,), patient(STRANGER)),
    Case("a proxy's key as device", Code.NOT_OWN_DEVICE, (), patient(MOTHER)),
    Case("a patient breaks no glass", Code.NOT_OWN_DEVICE, (), patient(purpose="BTG")),
    Case("a lawful delay", Code.HELD, (), patient(held=True)),
    Case("a stranger as proxy", Code.NOT_A_PROXY, (rule(1),), proxy(STRANGER)),
    Case("a proxy whose time is up", Code.NOT_A_PROXY, (), proxy(), at=1000),
    Case("a lawful delay holds a proxy too", Code.HELD, (), proxy(held=True)),
    Case("closed to proxies", Code.CLOSED_TO_PROXIES, (rule(1),), proxy(), ClearRecord(bits=Bits.NO_PROXY)),
    Case("a proxy breaks no glass", Code.NO_EMERGENCY_ROLE, (), proxy(purpose="BTG")),
    Case("a proxy may not ask to treat", Code.IDENTITY_SILENT, (rule(1),), proxy(purpose="TREAT")),
    Case("no credential", Code.NO_CREDENTIAL, (ALL,), replace(clinician(), credential=None)),
    Case("no credential, glass or not", Code.NO_CREDENTIAL, (), replace(broken_glass("emergency"), credential=None)),
    Case("glass without role", Code.NO_EMERGENCY_ROLE, (ALL,), broken_glass("nurse")),
    Case("glass without role or reason", Code.NO_EMERGENCY_ROLE, (ALL,), broken_glass(reason="")),
    Case("glass without reason", Code.NO_TYPED_REASON, (ALL,), broken_glass("emergency", reason=" \n")),
    Case(
        "glass closed by law",
        Code.CLOSED_TO_BREAK_GLASS,
        (rule(1, purposes=("BTG",)),),
        broken_glass("emergency"),
        ClearRecord(bits=Bits.NO_BREAK_GLASS),
    ),
    Case(
        "statute over the patient's permit",
        Code.STATUTE_DENIES,
        (rule(1, purposes=("ELIGDTRM",)),),
        clinician(ST_LUKE, "ELIGDTRM"),
        ClearRecord(bits=Bits.RESTRICTED),
    ),
    Case("the author's law abroad", Code.STATUTE_DENIES, (ALL,), clinician(ST_LUKE, "HMARKT"), ClearRecord(RIGA)),
    Case("the reader's law abroad", Code.STATUTE_DENIES, (rule(1),), clinician(RIGA, "HMARKT")),
    Case("deny over permit", Code.PATIENT_DENIES, (ALL, rule(2, DENY))),
    Case("deny by label", Code.PATIENT_DENIES, (ALL, NO_PSY), record=ClearRecord(terms=frozenset({PSY}))),
    Case("deny by author", Code.PATIENT_DENIES, (ALL, rule(2, DENY, authors=(MERCY,)))),
    Case("deny by type", Code.PATIENT_DENIES, (ALL, rule(2, DENY, fhir_types=("Observation",)))),
    Case(
        "deny by role",
        Code.PATIENT_DENIES,
        (ALL, rule(2, DENY, readers=(Reader(role="nurse"),))),
        clinician(ST_LUKE, "TREAT", "nurse"),
    ),
    Case("deny by person", Code.PATIENT_DENIES, (ALL, rule(2, DENY, readers=(Reader(credential=CREDENTIAL),)))),
    Case("deny for anyone", Code.PATIENT_DENIES, (ALL, rule(2, DENY, readers=(ANYONE,)))),
    Case("deny by proxy", Code.PATIENT_DENIES, (rule(1, DENY, readers=(Reader(handle=MOTHER),)),), proxy()),
    Case(
        "deny of an ancestor's purpose",
        Code.PATIENT_DENIES,
        (ALL, rule(2, DENY, purposes=("TREAT",))),
        clinician(ST_LUKE, "CLINTRL"),
    ),
    Case("deny over the author's default", Code.PATIENT_DENIES, (rule(2, DENY),), clinician(MERCY)),
    Case(
        "exception by label",
        Code.PATIENT_DENIES,
        (replace(ALL, exceptions=(NO_PSY,)),),
        record=ClearRecord(terms=frozenset({PSY})),
    ),
    Case("sibling exceptions", Code.PATIENT_DENIES, (replace(ALL, exceptions=(rule(2, DENY), rule(3))),)),
    Case(
        "exception of an exception of an exception",
        Code.PATIENT_DENIES,
        (replace(ALL, exceptions=(rule(2, DENY, exceptions=(rule(3, exceptions=(rule(4, DENY),)),)),)),),
    ),
    Case(
        "a deny lifted by no permit stands",
        Code.PATIENT_DENIES,
        (ALL, rule(2, DENY), rule(3, DENY, supersedes=rule(2).rule_id)),
    ),
    Case(
        "a deny set aside sets nothing aside",
        Code.PATIENT_DENIES,
        (
            rule(2, DENY),
            rule(3, DENY, supersedes=rule(2).rule_id),
            rule(4, supersedes=rule(3).rule_id),
        ),
    ),
    Case(
        "a superseding permit that is over",
        Code.PATIENT_DENIES,
        (rule(2, DENY), rule(3, until=AT, supersedes=rule(2).rule_id)),
    ),
    Case(
        "undated data and a deny in time",
        Code.PATIENT_DENIES,
        (ALL, rule(2, DENY, data_since=ClearRecord().day)),
        record=ClearRecord(day=None),
    ),
    Case("deny without tokens", Code.RULE_LACKS_TOKENS, (ALL, NO_PSY), writers=("st-luke",)),
    Case(
        "deny without tokens, its permits aside",
        Code.RULE_LACKS_TOKENS,
        (replace(NO_PSY, exceptions=(rule(3),)),),
        writers=(),
    ),
    Case(
        "a refusal inside a permit without tokens",
        Code.RULE_LACKS_TOKENS,
        (ALL, rule(2, terms=((PSY,),), exceptions=(rule(3, DENY),))),
        writers=(),
    ),
    Case("named by nobody", Code.NOT_NAMED, (ALL,), record=ClearRecord(explicit=frozenset({PSY}))),
    Case(
        "named by half",
        Code.NOT_NAMED,
        (ALL, rule(2, terms=((PSY, "a"),))),
        record=ClearRecord(terms=frozenset({PSY, HIV}), explicit=frozenset({PSY, HIV})),
    ),
    Case(
        "named by a deny only",
        Code.NOT_NAMED,
        (ALL, rule(2, DENY, terms=((PSY,), ("other",)))),
        record=ClearRecord(terms=frozenset({PSY}), explicit=frozenset({PSY})),
    ),
    Case("a default names nothing for proxies", Code.NOT_NAMED, (), proxy(), ClearRecord(explicit=frozenset({PSY}))),
    Case("silence", Code.NOBODY_PERMITS),
    Case("silence in Europe", Code.NOBODY_PERMITS, (), clinician(RIGA), ClearRecord(ST_LUKE)),
    Case("a permit for someone else", Code.NOBODY_PERMITS, (ALL,), clinician(RIGA)),
    Case(
        "a member's permit is not for a proxy who comes through it",
        Code.IDENTITY_SILENT,
        (ALL,),
        proxy(purpose="TREAT"),
    ),
    Case("a permit that is over", Code.NOBODY_PERMITS, (replace(ALL, until=AT),)),
    Case("a permit to come", Code.NOBODY_PERMITS, (replace(ALL, since=AT + 1),)),
    Case("a permit for other data", Code.NOBODY_PERMITS, (replace(ALL, terms=((PSY,),)),)),
    Case(
        "all groups of terms must match",
        Code.NOBODY_PERMITS,
        (replace(ALL, terms=((PSY,), (HIV,))),),
        record=ClearRecord(terms=frozenset({PSY})),
    ),
    Case(
        "a permit without tokens",
        Code.NOBODY_PERMITS,
        (replace(ALL, terms=((PSY,),)),),
        record=ClearRecord(terms=frozenset({PSY})),
        writers=("st-luke",),
    ),
    Case(
        "undated data and a permit in time",
        Code.NOBODY_PERMITS,
        (replace(ALL, data_since=ClearRecord().day),),
        record=ClearRecord(day=None),
    ),
    *(
        Case(f"treatment is not {purpose}", Code.NOBODY_PERMITS, (TREATMENT,), clinician(ST_LUKE, purpose))
        for purpose in ("ETREAT", "ERTREAT", "CLINTRL", "POPHLTH", "HRESCH", "HPAYMT", "HMARKT", "PurposeOfUse")
    ),
    Case("the author's research", Code.NOBODY_PERMITS, (), clinician(MERCY, "HRESCH")),
    Case(
        "the author's payment and a restricted record",
        Code.NOBODY_PERMITS,
        (),
        clinician(MERCY, "HPAYMT"),
        ClearRecord(bits=Bits.RESTRICTED),
    ),
]

PERMITS = [
    Case("own record", Code.OWN_RECORD, (rule(1, DENY),), patient()),
    Case(
        "own record, whatever its bits",
        Code.OWN_RECORD,
        (),
        patient(),
        ClearRecord(explicit=frozenset({PSY}), bits=Bits(15)),
    ),
    Case(
        "own record by any European law", Code.OWN_RECORD, (), replace(patient(), jurisdiction="eu"), ClearRecord(RIGA)
    ),
    Case("broken glass", Code.BREAK_GLASS, (rule(1, DENY, purposes=("BTG",)),), broken_glass("emergency")),
    Case(
        "broken glass and what is not named",
        Code.BREAK_GLASS,
        (),
        broken_glass("emergency"),
        ClearRecord(explicit=frozenset({PSY})),
    ),
    Case("broken glass in Europe", Code.BREAK_GLASS, (), broken_glass("emergency", member=RIGA)),
    Case("treatment", Code.PATIENT_PERMITS, (TREATMENT,)),
    Case("coordination of care is treatment", Code.PATIENT_PERMITS, (TREATMENT,), clinician(ST_LUKE, "COC")),
    Case("abroad", Code.PATIENT_PERMITS, (rule(1, purposes=("TREAT",)),), clinician(RIGA)),
    Case(
        "an emergency past a deny of treatment",
        Code.PATIENT_PERMITS,
        (ALL, rule(2, DENY, purposes=("TREAT",))),
        clinician(ST_LUKE, "ETREAT"),
    ),
    Case("a deny for other data", Code.PATIENT_PERMITS, (ALL, NO_PSY)),
    Case("a deny that is over", Code.PATIENT_PERMITS, (ALL, rule(2, DENY, until=AT))),
    Case("a deny excepted", Code.PATIENT_PERMITS, (rule(2, DENY, exceptions=(ALL,)),)),
    Case("a deny superseded", Code.PATIENT_PERMITS, (rule(2, DENY), replace(ALL, supersedes=rule(2).rule_id))),
    Case(
        "named together",
        Code.PATIENT_PERMITS,
        (rule(1, terms=((PSY, "a"),)), rule(2, terms=((HIV,),))),
        record=ClearRecord(terms=frozenset({PSY, HIV}), explicit=frozenset({PSY, HIV})),
    ),
    Case(
        "named in an exception",
        Code.PATIENT_PERMITS,
        (rule(1, DENY, exceptions=(rule(2, terms=((PSY,),)),)),),
        record=ClearRecord(terms=frozenset({PSY}), explicit=frozenset({PSY})),
    ),
    Case("closed to proxies, open to clinicians", Code.PATIENT_PERMITS, (ALL,), record=ClearRecord(bits=Bits.NO_PROXY)),
    Case("the author treats", Code.DEFAULT_PERMITS, (), clinician(MERCY)),
    Case(
        "the author treats what must be named",
        Code.DEFAULT_PERMITS,
        (),
        clinician(MERCY),
        ClearRecord(explicit=frozenset({PSY})),
    ),
    Case(
        "a permit that names too little takes nothing away",
        Code.DEFAULT_PERMITS,
        (rule(1),),
        clinician(MERCY),
        ClearRecord(explicit=frozenset({PSY})),
    ),
    Case("a mother", Code.DEFAULT_PERMITS, (), proxy()),
    Case(
        "a member's deny is not for a proxy who comes through it",
        Code.DEFAULT_PERMITS,
        (rule(1, DENY, readers=TO_ST_LUKE),),
        proxy(),
    ),
]
