"""Attacks on consent: what a patient refused by label, author, type or period; other purposes; what must be named.

Each time a permit is in force and shown to work for other documents, so that what stays closed does so for one reason.
Keepers say nothing of it to the reader; the reason is in their logs, which the patient reads.
"""

from datetime import date

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.world import DOCUMENTS_A, Document, World, deny, permit, sources
from salus.contracts.consent import ClearRule
from salus.core.errors import RefusalError
from salus.core.ids import FhirType, MemberId, Purpose

SETTLE = "salus.contracts.consent.plan.Plan.settle"
REACHED = "salus.contracts.consent.answers.reached_by"
TREAT = Purpose("TREAT")
CLINICIAN = "clinician@st-luke"


@attack("denied by label", guard=SETTLE)
async def denied_by_label(world: World) -> Outcome:
    """Read a psychiatric note although the patient refused mental health."""
    return await _denied(world, deny(terms=(("label:PSY",),)), "psychiatry")


@attack("denied by author", guard=SETTLE)
async def denied_by_author(world: World) -> Outcome:
    """Read what lakeside wrote although the patient refused lakeside's records."""
    return await _denied(world, deny(authors=(MemberId("lakeside"),)), "laboratory")


@attack("denied by type", guard=SETTLE)
async def denied_by_type(world: World) -> Outcome:
    """Read a report although the patient refused diagnostic reports."""
    return await _denied(world, deny(fhir_types=(FhirType("DiagnosticReport"),)), "laboratory")


@attack("denied by period", guard=SETTLE)
async def denied_by_period(world: World) -> Outcome:
    """Read an old visit although the patient refused what was written before 2015."""
    return await _denied(world, deny(data_until=date(2015, 1, 1)), "old-visit")


@attack("outside a permit's period", guard="salus.contracts.consent.answers.answer")
async def outside_period(world: World) -> Outcome:
    """Read an old visit on a permit for what was written from 2019 on."""
    rule = permit("st-luke", purposes=(TREAT,), data_since=date(2019, 1, 1))
    return await _read(world, (rule,), "old-visit", "nobody_permits")


@attack("sensitive record not named", guard=SETTLE)
async def not_named(world: World) -> Outcome:
    """Read a substance-use episode on a permit for everything, which does not name it (42 CFR 2.31)."""
    return await _read(world, (permit("st-luke", purposes=(TREAT,)),), "substance-use", "not_named")


@attack("wrong purpose", guard=REACHED)
async def wrong_purpose(world: World) -> Outcome:
    """Read for marketing on a permit for treatment."""
    return await _read(world, (permit("st-luke", purposes=(TREAT,)),), "visit", "nobody_permits", purpose="HMARKT")


@attack("treatment permit used for research", guard=REACHED)
async def research(world: World) -> Outcome:
    """Read for a clinical trial, which the tree of purposes has beneath treatment, on a permit for treatment."""
    rules = (permit("st-luke", purposes=(TREAT,)),)
    who = "researcher@st-luke"
    return await _read(world, rules, "visit", "nobody_permits", who=who, purpose="CLINTRL")


@attack("permit for another member", guard="salus.contracts.consent.answers._is_reader")
async def other_member(world: World) -> Outcome:
    """Read at northgate on a permit for st-luke."""
    rules = (permit("st-luke", purposes=(TREAT,)),)
    return await _read(world, rules, "visit", "nobody_permits", who="clinician@northgate")


@attack("break-glass without the role", guard="salus.keeper.answers.Answers._check_break_glass")
async def break_glass_without_role(world: World) -> Outcome:
    """Break the glass as a clinician who is no emergency doctor."""
    patient = await world.new_patient(DOCUMENTS_A)
    await world.employ("st-luke", "emergency")  # Someone new: three times a day is the most that one person may.
    emergency = await world.read("emergency@st-luke", patient, "BTG", "unconscious")
    must("visit" in sources(patient, emergency), "an emergency doctor may")
    try:
        view = await world.read(CLINICIAN, patient, "BTG", "unconscious")
    except RefusalError as refusal:
        return verdict(False, getattr(refusal, "said", refusal.code), "keeper.break_glass")
    return verdict("visit" in sources(patient, view), "an answer", "keeper.break_glass")


@attack("break-glass into a closed record", guard="salus.contracts.consent.plan._break_glass")
async def break_glass_into_closed(world: World) -> Outcome:
    """Break the glass as an emergency doctor for psychotherapy notes, which the law closes even to emergencies."""
    notes = Document("therapy", FhirType("DocumentReference"), "2021-07-12", ("PSYTHPN",))
    patient = await world.new_patient({"mercy": (*DOCUMENTS_A["mercy"], notes)})
    await world.employ("st-luke", "emergency")
    view = await world.read("emergency@st-luke", patient, "BTG", "unconscious")
    must("visit" in sources(patient, view), "all else opens")
    said = ", ".join(sorted(world.withheld(patient)))
    return verdict("therapy" in sources(patient, view), said, "closed_to_break_glass")


async def _denied(world: World, rule: ClearRule, target: str) -> Outcome:
    return await _read(world, (permit("st-luke", purposes=(TREAT,)), rule), target, "patient_denies")


async def _read(
    world: World,
    rules: tuple[ClearRule, ...],
    target: str,
    expected: str,
    *,
    who: str = CLINICIAN,
    purpose: str = "TREAT",
) -> Outcome:
    """Whether a document can be read under these rules, which let the clinician read another one."""
    patient = await world.new_patient(DOCUMENTS_A)
    await world.allow(patient, *rules)
    must("visit" in sources(patient, await world.read(CLINICIAN, patient)), "the permit works")
    view = await world.read(who, patient, purpose)
    reasons = world.withheld(patient)
    said = expected if expected in reasons else ", ".join(sorted(reasons))
    return verdict(target in sources(patient, view), said, expected)
