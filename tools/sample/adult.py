"""The adult, ten years at four hospitals: diabetes, hypertension, an alcohol programme, a depression, a pneumonia."""

from typing import NamedTuple

from tools.sample.chart import Chart, Reference, Visit, identifier, label
from tools.sample.codes import concept
from tools.sample.people import open_chart
from tools.sample.text import pdf, png, retina

STAFF = ("emergency", "ward", "endocrinology", "psychiatry", "family", "addiction", "sexual-health")
HEIGHT_CM = 178

PATIENT = {
    "identifier": [identifier("mercy", "MG-104417"), identifier("lakeside", "LF-2093")],
    "active": True,
    "name": [{"use": "official", "family": "Ashdown", "given": ["Martin", "Elias"]}],
    "telecom": [
        {"system": "phone", "value": "555-0142", "use": "home"},
        {"system": "email", "value": "martin.ashdown@example.org"},
    ],
    "gender": "male",
    "birthDate": "1968-03-14",
    "address": [
        {"use": "home", "line": ["14 Sample Street"], "city": "Exampleton", "postalCode": "00000", "country": "US"}
    ],
}


class Review(NamedTuple):
    """One visit for diabetes: kg, mm[Hg], %, mg/dL, mg/dL, mmol/L, as the laboratory wrote them."""

    start: str
    who: str
    weight: str
    pressure: tuple[str, str]
    sugar: str
    glucose: str
    creatinine: str
    potassium: str


# The potassium of November 2025 was typed wrongly: the laboratory had measured 4.1.
REVIEWS = (
    Review("2018-11-15T09:00:00-05:00", "endocrinology", "97.4", ("144", "88"), "7.8", "164", "0.92", "4.4"),
    Review("2019-05-16T09:30:00-04:00", "family", "95.1", ("138", "86"), "7.10", "148", "0.94", "4.2"),
    Review("2022-10-13T09:15:00-04:00", "endocrinology", "98.6", ("146", "90"), "8.4", "189", "0.99", "4.5"),
    Review("2025-05-15T08:45:00-04:00", "endocrinology", "91.5", ("132", "80"), "7.2", "142", "1.00", "4.3"),
    Review("2025-11-18T09:10:00-05:00", "family", "90.80", ("130", "78"), "7.00", "136", "1.03", "7.1"),
    Review("2026-05-14T09:00:00-04:00", "family", "90.1", ("128", "78"), "6.9", "131", "1.01", "4.2"),
)


def adult() -> Chart:
    """The adult's whole chart."""
    chart = open_chart("adult", PATIENT, STAFF)
    pressure, sugar = _diagnoses(chart)
    for number, seen in enumerate(REVIEWS):
        _review(chart, seen, fats=number % 3 == 2)
    _eyes_and_feet(chart, sugar)
    _vaccines(chart)
    _hiv_test(chart)
    _alcohol(chart)
    _depression(chart)
    _pneumonia(chart)
    _goal(chart, sugar, pressure)
    return chart


def _diagnoses(chart: Chart) -> tuple[Reference, Reference]:
    first = chart.visit("first", "2016-04-12T10:00:00-04:00", 30, "family", "sct:185349003")
    chart.pressure(first, "152", "94")
    chart.measures(first, l29463_7="99.2", l8302_2=str(HEIGHT_CM), l39156_5="31.3", l8867_4="78")
    chart.finding(first, "72166-2", code="sct:8517006")
    chart.report(first, "24321-2", chart.measures(first, l2345_7="108", l2160_0="0.90", l2823_3="4.3", l2951_2="140"))
    pressure = chart.problem(first, "sct:59621000", "icd:I10")
    chart.prescribe(first, "314076", "One tablet by mouth every morning", reason=pressure)
    chart.immunise(first, "115")

    second = chart.visit("diabetes", "2018-05-03T09:20:00-04:00", 30, "family", "sct:390906007")
    chart.pressure(second, "142", "88")
    chart.measures(second, l29463_7="98.9", l39156_5="31.2")
    results = chart.measures(second, l4548_4="8.2", l2345_7="182", l2160_0="0.91", l9318_7="12")
    chart.report(second, "24321-2", results)
    fats = chart.measures(second, l2093_3="228", l2571_8="210", l2085_9="38")
    chart.report(second, "24331-1", fats, said="Raised cholesterol and triglycerides.")
    sugar = chart.problem(second, "sct:44054006", "icd:E11.9")
    chart.prescribe(second, "861007", "One tablet by mouth twice a day with meals", reason=sugar, status="stopped")
    chart.prescribe(second, "617310", "One tablet by mouth in the evening", reason=sugar)
    return pressure, sugar


def _review(chart: Chart, seen: Review, *, fats: bool) -> None:
    visit = chart.visit(f"review {seen.start[:7]}", seen.start, 25, seen.who, "sct:390906007", why=("icd:E11.9",))
    chart.pressure(visit, *seen.pressure)
    chart.measure(visit, "29463-7", seen.weight)
    results = chart.measures(
        visit, l4548_4=seen.sugar, l2345_7=seen.glucose, l2160_0=seen.creatinine, l2823_3=seen.potassium
    )
    chart.report(visit, "24321-2", results)
    if fats:
        chart.report(visit, "24331-1", chart.measures(visit, l2093_3="176", l2571_8="148", l2085_9="44"))


def _eyes_and_feet(chart: Chart, sugar: Reference) -> None:
    feet = chart.visit("feet", "2018-06-20T14:00:00-04:00", 40, "endocrinology", "sct:11429006", why=("icd:E11.9",))
    chart.procedure(feet, "sct:401191002", reason=sugar)
    chart.plan(feet, "sct:698360004", [sugar], "Meals, walking half an hour a day, glucose before breakfast.")
    chart.prescribe(feet, "861004", "One tablet by mouth twice a day with meals", reason=sugar)
    said = "Seen for newly found type 2 diabetes. Feet: pulses and feeling intact. Metformin raised to 1000 mg.\n"
    chart.document(feet, "11488-4", "Endocrinology consult note", said.encode())

    eyes = chart.visit("eyes", "2026-02-12T13:30:00-05:00", 30, "endocrinology", "sct:390906007", why=("icd:E11.9",))
    exam = chart.procedure(eyes, "sct:722161008", reason=sugar)
    picture = png(retina(48))
    chart.document(eyes, "18748-4", "Eye ground, left", picture, "image/png")
    chart.report(eyes, "18748-4", [], said="No sign of diabetic retinopathy in either eye.")
    chart.add(
        "Provenance",
        "eyes",
        {
            "target": [exam],
            "recorded": eyes.end,
            "agent": [{"who": eyes.clinician, "onBehalfOf": chart.hospital("st-luke")}],
        },
    )


def _vaccines(chart: Chart) -> None:
    for number, day in enumerate(("2021-03-11", "2021-04-08"), start=1):
        visit = chart.visit(f"covid {number}", f"{day}T11:00:00-05:00", 15, "ward", "sct:185349003")
        chart.immunise(visit, "208")
    autumn = chart.visit("autumn 2024", "2024-10-10T08:30:00-04:00", 15, "family", "sct:185349003")
    chart.immunise(autumn, "140", "33", "187")
    winter = chart.visit("autumn 2026", "2026-10-08T08:30:00-04:00", 15, "family", "sct:185349003")
    chart.immunise(winter, "140", "113")


def _hiv_test(chart: Chart) -> None:
    why = ("icd:Z11.4",)
    test = chart.visit("hiv test", "2021-11-09T16:00:00-05:00", 30, "sexual-health", "sct:11429006", why=why)
    counselling = chart.procedure(test, "sct:313077009")
    result = chart.finding(test, "56888-1", text="Not detected")
    chart.report(test, "56888-1", [result], said="No HIV-1 p24 antigen and no HIV-1 or HIV-2 antibody found.")
    chart.problem(test, "icd:Z71.7", status="resolved", until="2021-11-09", chronic=False)
    chart.add(
        "Provenance",
        "hiv test",
        {
            "target": [result, counselling],
            "recorded": test.end,
            "agent": [{"who": test.clinician, "onBehalfOf": chart.hospital("northgate")}],
        },
    )
    said = (
        "Asked for a test after a change of partner. Counselled before and after. Negative; no further test needed.\n"
    )
    chart.document(test, "11488-4", "Sexual health consult note", said.encode())


def _alcohol(chart: Chart) -> None:
    drunk = chart.visit("intoxication", "2022-02-12T23:40:00-05:00", 420, "emergency", "sct:50849002", setting="EMER")
    chart.pressure(drunk, "156", "96")
    chart.measures(drunk, l8867_4="104", l9279_1="16", l2708_6="96", l5640_8="268", l2345_7="171")
    chart.problem(drunk, "sct:25702006", "icd:F10.129", status="resolved", until="2022-02-13", chronic=False)

    # A federally assisted programme: its records carry its labels (42 CFR Part 2).
    chart.labels = [label("confidentiality", "R"), label("act", "ETH")]
    intake = _programme_visit(chart, "intake", "2022-02-21T09:00:00-05:00", "9")
    dependence = chart.problem(intake, "sct:66590003", "icd:F10.21", status="remission")
    chart.prescribe(intake, "1483744", "One tablet by mouth once a day", reason=dependence, status="completed")
    chart.add(
        "EpisodeOfCare",
        "alcohol",
        {
            "status": "finished",
            "diagnosis": [{"condition": dependence}],
            "patient": chart.patient,
            "managingOrganization": chart.hospital("northgate"),
            "period": {"start": "2022-02-21", "end": "2022-05-20"},
            "careManager": intake.clinician,
        },
    )
    chart.procedure(intake, "sct:20093000", reason=dependence, until="2022-05-20T12:00:00-04:00")
    middle = _programme_visit(chart, "week six", "2022-04-04T09:00:00-04:00", "4")
    said = "Six weeks without alcohol. Sleeps better. Wife came along. Goes on with naltrexone and the Tuesday group.\n"
    chart.document(middle, "11506-3", "Programme progress note", said.encode())
    end = _programme_visit(chart, "last day", "2022-05-20T10:00:00-04:00", "1")
    said = "Finished the twelve weeks. No drink since 12 February. Naltrexone ends in August. Group once a month.\n"
    chart.document(end, "18842-5", "Programme discharge summary", said.encode())
    chart.labels = []


def _programme_visit(chart: Chart, key: str, start: str, score: str) -> Visit:
    visit = chart.visit(f"programme {key}", start, 60, "addiction", "sct:390906007", why=("icd:F10.20",))
    chart.procedure(visit, "sct:763302001")
    chart.measure(visit, "75626-2", score)
    return visit


def _depression(chart: Chart) -> None:
    why = ("icd:F32.1",)
    first = chart.visit("psychiatry", "2023-01-17T15:00:00-05:00", 50, "psychiatry", "sct:11429006", why=why)
    chart.procedure(first, "sct:171207006")
    chart.measures(first, l44261_6="16", l70274_6="9")
    low = chart.problem(first, "sct:370143000", "icd:F32.1", status="resolved", until="2023-12-05")
    chart.prescribe(first, "312941", "One tablet by mouth every morning", reason=low, status="completed")
    said = (
        "PSYCHIATRY CONSULT\n\nReferred by his family doctor. Low mood, poor sleep, loss of interest since October,\n"
        "when his brother died. Eats little. No thoughts of ending his life, no voices. No alcohol since\n"
        "February.\n\n"
        "Assessment: moderate depressive episode in the course of grief.\n"
        "Plan: sertraline 50 mg, talking therapy weekly, review in three months.\n"
    )
    chart.document(first, "34788-0", "Psychiatry consult note", said.encode())
    for number, (start, score) in enumerate(
        (("2023-04-18T15:00:00-04:00", "9"), ("2023-12-05T15:00:00-05:00", "3")), start=1
    ):
        later = chart.visit(f"psychiatry {number}", start, 50, "psychiatry", "sct:390906007", why=why)
        chart.measure(later, "44261-6", score)
        chart.procedure(later, "sct:75516001", reason=low)


def _pneumonia(chart: Chart) -> None:
    why, start = ("icd:J18.9",), "2023-09-12T17:20:00-04:00"
    stay = chart.visit("pneumonia", start, 4 * 24 * 60, "ward", "sct:32485007", setting="IMP", why=why)
    chart.pressure(stay, "118", "70")
    chart.measures(stay, l8310_5="39.10", l8867_4="108", l9279_1="24", l2708_6="91")
    blood = chart.measures(stay, l6690_2="15.80", l718_7="13.9")
    chart.report(stay, "58410-2", blood)
    chart.measures(stay, l1988_5="142.0", l2951_2="133", l2823_3="3.9", l2160_0="1.12")
    lungs = chart.problem(stay, "sct:233604007", "icd:J18.9", status="resolved", until="2023-09-26", chronic=False)
    chart.procedure(stay, "sct:399208008", reason=lungs)
    chart.report(stay, "36643-5", [], said="Shadowing in the right lower lobe. No fluid. Heart of usual size.")
    chart.prescribe(
        stay, "308191", "Two capsules by mouth three times a day for seven days", reason=lungs, status="completed"
    )
    chart.prescribe(
        stay, "308460", "Two tablets on day one, then one a day for four days", reason=lungs, status="completed"
    )
    letter = [
        "Mercy General Hospital",
        "",
        "Discharge letter",
        "Patient: Martin Ashdown, born 1968-03-14. In hospital 2023-09-12 to 2023-09-16.",
        "",
        "Diagnosis: community-acquired pneumonia, right lower lobe.",
        "Known: type 2 diabetes, high blood pressure.",
        "Course: fever fell on the second day, oxygen for one day.",
        "At home: amoxicillin for three more days; metformin, lisinopril, atorvastatin as before.",
        "Please check chest and blood sugar in two weeks.",
        "",
        "Dr. Anton Brevik",
    ]
    chart.document(stay, "18842-5", "Discharge letter", pdf(letter), "application/pdf")
    said = (
        "Radiograph of the left wrist, two views. Girl of twelve, fell from her bicycle.\n"
        "Torus fracture of the lower end of the radius, not displaced. The ulna is whole.\n"
    )
    chart.document(
        stay, "18748-4", "Radiograph of the left wrist", said.encode()
    )  # Of the child, filed here by mistake.


def _goal(chart: Chart, sugar: Reference, pressure: Reference) -> None:
    fields = {
        "lifecycleStatus": "active",
        "achievementStatus": concept("goal:improving"),
        "description": {"text": "HbA1c below 7.0 % and blood pressure below 130/80"},
        "subject": chart.patient,
        "startDate": "2025-05-15",
        "expressedBy": chart.staff("endocrinology"),
        "addresses": [sugar, pressure],
    }
    chart.add("Goal", "sugar", fields)
