"""Every way to be refused, in the order in which it is considered, then what is permitted and why."""

import pytest

from salus.contracts.consent import Decider, Effect, Pack, ReadKind, decide
from salus.contracts.consent.pack import BitName, Layer, PackRule
from salus.contracts.consent.reasons import ReasonCode as Code
from salus.contracts.records.header import Bits
from salus.core.ids import Purpose
from salus.core.wire import replace
from tests.contracts.consent.cases import ALL, DENY, PERMIT, PERMITS, PSY, REFUSALS, Case, broken_glass, rule
from tests.contracts.consent.world import (
    AT,
    MERCY,
    OTHER_SUBJECT,
    PACKS,
    PLACES,
    ST_LUKE,
    ClearRecord,
    clinician,
    header_of,
    packs_for,
    patient,
    policy_of,
    proxy,
)

COC = Purpose("COC")


def judge(case: Case) -> tuple[Effect, set[Code]]:
    policy = case.policy
    packs = packs_for(case.request, case.record.author)
    fresh = decide(policy, packs, case.request, header_of(case.record), case.at)
    assert Decider(policy, PACKS, PLACES).decide(case.request, header_of(case.record), case.at) == fresh
    return fresh.effect, {reason.code for reason in fresh.reasons}


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_decide_refuses(case: Case) -> None:
    assert judge(case) == (DENY, {case.code})


@pytest.mark.parametrize("case", PERMITS, ids=lambda case: case.name)
def test_decide_permits(case: Case) -> None:
    assert judge(case) == (PERMIT, {case.code})


def test_another_patients_record_is_refused_before_all_else() -> None:
    header = replace(header_of(ClearRecord()), subject=OTHER_SUBJECT)
    decision = decide(policy_of(), (), replace(patient(), purpose="CURIOSITY"), header, AT)
    assert [reason.code for reason in decision.reasons] == [Code.WRONG_SUBJECT]
    assert Decider(policy_of(), {}, {}).decide(patient(), header, AT) == decision


@pytest.mark.parametrize("packs", [{}, {"eu": PACKS["eu"]}], ids=["none", "another's"])
def test_nobody_but_the_patient_reads_where_a_pack_is_missing(packs: dict[str, Pack]) -> None:
    decider, header = Decider(policy_of(ALL), packs, PLACES), header_of(ClearRecord())
    assert [reason.code for reason in decider.decide(clinician(), header, AT).reasons] == [Code.NO_PACK]
    assert decider.decide(patient(), header, AT).permitted


def test_an_author_whose_place_is_unknown_has_no_pack() -> None:
    decision = Decider(policy_of(ALL), PACKS, {ST_LUKE: "us"}).decide(clinician(), header_of(ClearRecord()), AT)
    assert [reason.code for reason in decision.reasons] == [Code.NO_PACK]


def with_law(**fields: object) -> tuple[Pack, ...]:
    law = PackRule(id="made-up", layer=Layer.IDENTITY, effect=DENY, citation="none", sentence="none")
    return (replace(PACKS["us"], rules=(*PACKS["us"].rules, replace(law, **fields))),)


def test_identity_yields_to_nothing_not_even_to_broken_glass() -> None:
    packs = with_law(kinds=(ReadKind.CLINICIAN,))
    decision = decide(policy_of(ALL), packs, broken_glass("emergency"), header_of(ClearRecord()), AT)
    assert [(r.code, r.rule) for r in decision.reasons] == [(Code.IDENTITY_DENIES, "us/made-up")]


def test_a_statutes_deny_yields_to_broken_glass_alone() -> None:
    packs, header = with_law(layer=Layer.STATUTE), header_of(ClearRecord())
    assert decide(policy_of(ALL), packs, broken_glass("emergency"), header, AT).permitted
    assert not decide(policy_of(ALL), packs, clinician(), header, AT).permitted


@pytest.mark.parametrize(
    ("bits", "permitted"),
    [(Bits.RESTRICTED, True), (Bits.RESTRICTED | Bits.NO_PROXY, False), (Bits(15), True)],
)
def test_a_pack_rule_wants_all_of_its_bits_and_none_of_the_others(bits: Bits, permitted: bool) -> None:
    wanted, unwanted = (BitName.RESTRICTED, BitName.NO_PROXY), (BitName.NO_REDISCLOSURE,)
    packs = with_law(layer=Layer.STATUTE, with_bits=wanted, without_bits=unwanted)
    assert decide(policy_of(ALL), packs, clinician(), header_of(ClearRecord(bits=bits)), AT).permitted is permitted


def test_the_patients_permit_beats_a_defaults_deny() -> None:
    packs, header = with_law(layer=Layer.DEFAULT), header_of(ClearRecord())
    assert decide(policy_of(ALL), packs, clinician(), header, AT).permitted
    refused = decide(policy_of(), packs, clinician(MERCY), header, AT)
    assert [reason.code for reason in refused.reasons] == [Code.DEFAULT_DENIES]


def test_the_patients_deny_beats_a_statutes_permit_which_beats_silence() -> None:
    packs, header = with_law(layer=Layer.STATUTE, effect=PERMIT), header_of(ClearRecord())
    assert not decide(policy_of(rule(1, DENY)), packs, clinician(), header, AT).permitted
    allowed = decide(policy_of(), packs, clinician(), header, AT)
    assert [reason.code for reason in allowed.reasons] == [Code.STATUTE_PERMITS]
    named = header_of(ClearRecord(explicit=frozenset({PSY})))
    assert [r.code for r in decide(policy_of(), packs, clinician(), named, AT).reasons] == [Code.NOT_NAMED]


def test_a_permit_carries_every_obligation_that_the_law_and_its_rules_set() -> None:
    permit = rule(1, obligations=("REDACT",), exceptions=(rule(2, obligations=("AUDIT",)),))
    header = header_of(ClearRecord(bits=Bits.NO_REDISCLOSURE))
    packs = with_law(effect=PERMIT, obligations=("law",))
    assert decide(policy_of(permit), packs, clinician(), header, AT).obligations == (
        "AUDIT",
        "NORDSCLCD",
        "REDACT",
        "law",
    )
    assert decide(policy_of(permit), packs, broken_glass("emergency"), header, AT).obligations == (
        "NORDSCLCD",
        "law",
        "review",
        "tell-patient",
    )
    assert decide(policy_of(permit), packs, patient(), header, AT).obligations == ()


def test_reasons_name_every_rule_that_decided() -> None:
    policy = policy_of(ALL, rule(5, DENY), rule(4, DENY))
    decision = decide(policy, (PACKS["us"],), clinician(), header_of(ClearRecord()), AT)
    assert [reason.rule for reason in decision.reasons] == [rule(4).rule_id.hex(), rule(5).rule_id.hex()]


def test_a_remembered_decision_ends_when_a_rule_a_law_or_a_proxy_does() -> None:
    law = PackRule(
        id="from-70", layer=Layer.STATUTE, effect=DENY, citation="none", sentence="none", purposes=(COC,), since=70
    )
    packs = {**PACKS, "us": replace(PACKS["us"], rules=(*PACKS["us"].rules, law))}
    decider = Decider(policy_of(replace(ALL, since=40, until=80), proxy_until=90), packs, PLACES)
    header = header_of(ClearRecord())
    for request, held in (
        (clinician(), range(40, 80)),
        (clinician(ST_LUKE, "COC"), range(40, 70)),
        (proxy(), range(90)),
    ):
        for at in (39, 40, 69, 70, 79, 80, 89, 90, 39, 40):
            assert decider.decide(request, header, at).permitted is (at in held)
