"""The child, fifteen in 2026: check-ups, vaccines, asthma, a peanut allergy, a broken arm, and her own affair."""

from tools.sample.chart import Chart, Reference, identifier, label
from tools.sample.codes import coding, concept
from tools.sample.people import open_chart

STAFF = ("emergency", "midwifery", "lungs", "orthopaedics", "children", "sexual-health")

PATIENT = {
    "identifier": [identifier("mercy", "MG-188302"), identifier("lakeside", "LF-3310")],
    "active": True,
    "name": [{"use": "official", "family": "Fenwater", "given": ["Nora", "Isabel"]}],
    "telecom": [{"system": "phone", "value": "555-0177", "use": "home"}],
    "gender": "female",
    "birthDate": "2011-05-09",
    "address": [
        {"use": "home", "line": ["3 Sample Lane"], "city": "Exampleton", "postalCode": "00000", "country": "US"}
    ],
    "contact": [
        {"relationship": [concept("role:MTH")], "name": {"family": "Fenwater", "given": ["Edda"]}},
    ],
}

# Day, kg, cm, head cm, vaccines. Ages from two months to fifteen years.
CHECK_UPS = (
    ("2011-07-11", "5.20", "58.0", "38.9", ("08", "20", "49", "10", "133", "119")),
    ("2011-11-14", "7.70", "66.5", "42.8", ("08", "20", "49", "10", "133", "119")),
    ("2012-05-14", "9.40", "75.0", "45.1", ("03", "21", "83", "49", "133")),
    ("2012-11-12", "10.90", "82.0", "46.4", ("20", "83")),
    ("2015-05-11", "16.4", "103.0", None, ("03", "21", "20", "10")),
    ("2017-05-15", "20.9", "116.5", None, ()),
    ("2020-06-08", "30.2", "134.0", None, ("140",)),
    ("2022-05-16", "37.8", "146.5", None, ("115", "114", "165")),
    ("2024-05-13", "47.10", "158.0", None, ("165",)),
    ("2026-05-11", "53.6", "163.5", None, ("140",)),
)


def child() -> Chart:
    """The child's whole chart."""
    chart = open_chart("child", PATIENT, STAFF)
    _birth(chart)
    for day, weight, height, head, vaccines in CHECK_UPS:
        _check_up(chart, day, weight, height, head, vaccines)
    _allergy(chart)
    _asthma(chart)
    _broken_arm(chart)
    _own_affair(chart)
    return chart


def _birth(chart: Chart) -> None:
    start = "2011-05-09T04:35:00-04:00"
    birth = chart.visit("birth", start, 2 * 24 * 60, "midwifery", "sct:32485007", setting="IMP")
    chart.procedure(birth, "sct:3950001")
    chart.measures(birth, l29463_7="3.410", l8302_2="50.0", l9843_4="34.5", l9272_6="8", l9274_2="10", l8867_4="142")
    chart.immunise(birth, "08")


def _check_up(chart: Chart, day: str, weight: str, height: str, head: str | None, vaccines: tuple[str, ...]) -> None:
    visit = chart.visit(f"check-up {day}", f"{day}T10:00:00-04:00", 30, "children", "sct:410620009")
    chart.measures(visit, l29463_7=weight, l8302_2=height)
    if head is not None:
        chart.measure(visit, "9843-4", head)
    else:
        chart.pressure(visit, "104", "64")
    if day == "2012-05-14":
        chart.report(visit, "5671-3", chart.measures(visit, l5671_3="1.2", l718_7="12.1"))
    chart.immunise(visit, *vaccines)


def _allergy(chart: Chart) -> None:
    hives = chart.visit("hives", "2014-03-22T18:10:00-04:00", 240, "emergency", "sct:50849002", setting="EMER")
    chart.measures(hives, l8867_4="132", l9279_1="28", l2708_6="96", l8310_5="37.0", l29463_7="14.1")
    chart.problem(hives, "sct:126485001", status="resolved", until="2014-03-23", chronic=False)

    seen = chart.visit("allergy", "2014-04-15T11:00:00-04:00", 45, "lungs", "sct:11429006")
    level = chart.measure(seen, "6206-7", "14.60")
    chart.report(seen, "6206-7", [level], said="Antibodies to peanut clearly raised.")
    peanut = chart.problem(seen, "sct:91935009")
    chart.add(
        "AllergyIntolerance",
        "peanut",
        {
            "clinicalStatus": concept("allergy:active"),
            "verificationStatus": concept("allergy-verified:confirmed"),
            "type": "allergy",
            "category": ["food"],
            "criticality": "high",
            "code": concept("sct:762952008"),
            "patient": chart.patient,
            "encounter": seen.reference,
            "onsetDateTime": "2014-03-22",
            "recordedDate": "2014-04-15",
            "recorder": seen.clinician,
            "reaction": [{"manifestation": [concept("sct:126485001")], "severity": "moderate"}],
        },
    )
    chart.prescribe(
        seen, "1870230", "Inject into the outer thigh at once when breathing or blood pressure suffers", reason=peanut
    )
    said = "Hives and cough within minutes of a peanut biscuit. No peanuts; pen at home and school; parents shown.\n"
    chart.document(seen, "11488-4", "Allergy consult note", said.encode())


def _asthma(chart: Chart) -> None:
    first = chart.visit("asthma", "2017-11-07T09:00:00-05:00", 45, "lungs", "sct:11429006", why=("icd:J45.30",))
    asthma = chart.problem(first, "sct:195967001", "icd:J45.30")
    _breath(chart, "asthma 2017", first.start, first=True)
    chart.prescribe(first, "745679", "Two puffs when breath is short, up to four times a day", reason=asthma)
    chart.prescribe(first, "895994", "Two puffs twice a day through a spacer", reason=asthma)
    chart.plan(
        first, "sct:699728000", [asthma], "Green: go on. Yellow: reliever every four hours. Red: reliever and call."
    )

    attack = chart.visit(
        "attack", "2019-02-03T21:15:00-05:00", 360, "emergency", "sct:50849002", setting="EMER", why=("icd:J45.31",)
    )
    chart.measures(attack, l2708_6="90", l9279_1="36", l8867_4="136", l8310_5="37.4", l29463_7="25.30")
    chart.problem(attack, "icd:J45.31", status="resolved", until="2019-02-07", chronic=False)
    chart.prescribe(attack, "312615", "Two tablets once a day for three days", reason=asthma, status="completed")
    said = "Short of breath after three days of a cold. Better after three rounds of reliever. Prednisone at home.\n"
    chart.document(attack, "18842-5", "Emergency discharge summary", said.encode())
    for start in ("2019-03-12T09:00:00-04:00", "2021-09-14T09:00:00-04:00", "2025-09-16T09:00:00-04:00"):
        _breath(chart, f"lungs {start[:4]}", start)


def _breath(chart: Chart, key: str, start: str, *, first: bool = False) -> None:
    figures = {"2017": ("1.02", "1.40", "73"), "2019": ("1.21", "1.58", "77"), "2021": ("1.88", "2.30", "82")}
    forced, vital, ratio = figures.get(start[:4], ("2.90", "3.40", "85"))
    hour = start.replace("T09:00", "T09:50") if first else start
    visit = chart.visit(key, hour, 30, "lungs", "sct:390906007", why=("icd:J45.30",))
    chart.measures(visit, l20150_9=forced, l19868_9=vital, l19926_5=ratio, l2708_6="98")


def _broken_arm(chart: Chart) -> None:
    fall = chart.visit(
        "fall", "2023-09-12T16:05:00-04:00", 180, "emergency", "sct:50849002", setting="EMER", why=("icd:S52.522A",)
    )
    chart.measures(fall, l8867_4="96", l2708_6="99", l29463_7="43.5")
    broken = chart.problem(fall, "sct:65966004", "icd:S52.522A", status="resolved", until="2023-10-24", chronic=False)
    chart.add(
        "ServiceRequest",
        "wrist",
        {
            "status": "completed",
            "intent": "order",
            "code": concept("sct:60027007"),
            "subject": chart.patient,
            "encounter": fall.reference,
            "authoredOn": fall.start,
            "requester": fall.clinician,
            "reasonReference": [broken],
        },
    )
    chart.procedure(fall, "sct:60027007", reason=broken)
    chart.procedure(fall, "sct:274474001", reason=broken)
    chart.prescribe(
        fall,
        "310965",
        "One tablet by mouth every six hours with food, when it hurts",
        reason=broken,
        status="completed",
    )
    said = "Fell from her bicycle on the left hand. Nerves and vessels whole. Splint; fracture clinic in a week.\n"
    chart.document(fall, "18842-5", "Emergency discharge summary", said.encode())
    for number, start in enumerate(("2023-09-19T10:00:00-04:00", "2023-10-24T10:00:00-04:00"), start=1):
        visit = chart.visit(
            f"fracture clinic {number}", start, 20, "orthopaedics", "sct:390906007", why=("icd:S52.522A",)
        )
        chart.procedure(visit, "sct:274474001" if number == 1 else "sct:60027007", reason=broken)
        said = ("In place; splint for five more weeks.\n", "Healed. Wrist moves freely. Sport again in a month.\n")[
            number - 1
        ]
        chart.document(visit, "11506-3", f"Fracture clinic note {number}", said.encode())


def _own_affair(chart: Chart) -> None:
    """What a minor may ask for herself: her parents' access as proxies ends here."""
    chart.labels = [label("confidentiality", "R")]
    why = ("icd:Z30.09", "icd:Z11.3")
    visit = chart.visit("own affair", "2026-06-16T15:30:00-04:00", 40, "sexual-health", "sct:11429006", why=why)
    chart.pressure(visit, "108", "66")
    advice = chart.procedure(visit, "sct:13197004")
    results = [chart.finding(visit, code, text="Not detected") for code in ("21613-5", "24111-7", "2106-3")]
    chart.report(visit, "21613-5", results[:2], said="Neither chlamydia nor gonorrhoea found.")
    asked = chart.problem(visit, "icd:Z30.09", status="resolved", until="2026-06-16", chronic=False)
    chart.prescribe(visit, "748962", "One tablet by mouth every day at the same hour", reason=asked)
    said = (
        "Came alone and asks that her parents are not told. Understands what was explained. Wishes contraception.\n"
        "Tests offered and taken. No pressure from anyone. Progestin pill; return in three months.\n"
    )
    chart.document(visit, "11488-4", "Adolescent clinic consult note", said.encode())
    _recorded(chart, [advice, *results], visit.end, visit.clinician)

    later = chart.visit("own affair 2", "2026-09-15T15:30:00-04:00", 20, "sexual-health", "sct:390906007", why=why[:1])
    chart.pressure(later, "110", "66")
    chart.measure(later, "29463-7", "54.2")
    chart.finding(later, "2106-3", text="Not detected")
    chart.labels = []


def _recorded(chart: Chart, targets: list[Reference], when: str, who: Reference) -> None:
    agent = {"who": who, "onBehalfOf": chart.hospital("northgate")}
    activity = {"coding": [coding("confidentiality", "R")]}
    chart.add("Provenance", "own affair", {"target": targets, "recorded": when, "agent": [agent], "activity": activity})
