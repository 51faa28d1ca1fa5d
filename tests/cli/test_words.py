"""Words of a consent, in and out."""

from datetime import date

import pytest

from salus.cli.errors import UnknownPersonError, WordError
from salus.cli.identity import PatientName, StaffName, patient_number, who
from salus.cli.words import LABELS, day_of, moment_of, purpose_of, shown_day, term_of, type_of, whom
from salus.fhir.labels import rules as label_rules


@pytest.mark.parametrize(
    "text", ["", "19", "2019-13", "2019-02-30", "2019-1-1", "yesterday", "2019-05-03T10:00", "２０１９"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(WordError):
        day_of(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [("2019", date(2019, 1, 1)), ("2019-05", date(2019, 5, 1)), ("2019-05-03", date(2019, 5, 3))],
)
def test_a_date_may_be_a_year_a_month_or_a_day(text: str, day: date) -> None:
    assert day_of(text) == day


def test_a_day_begins_at_midnight_utc() -> None:
    assert moment_of("1970-01-02") == 86_400_000
    assert shown_day(moment_of("2027-05-01")) == "2027-05-01"


@pytest.mark.parametrize("text", ["", "TREATS", "treatmnt", "PSY"])
def test_an_unknown_purpose_is_refused_with_others_that_are_close(text: str) -> None:
    with pytest.raises(WordError) as caught:
        purpose_of(text)
    assert caught.value.facts["like"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("TREAT", "TREAT"), ("treat", "TREAT"), ("treatment", "TREAT"), ("research", "HRESCH"), ("BIORCH", "BIORCH")],
)
def test_a_purpose_is_a_code_or_a_plain_word(text: str, code: str) -> None:
    assert purpose_of(text) == code


@pytest.mark.parametrize("text", ["", "label:", "label:XYZ", "mental helth", "date:2019"])
def test_an_unknown_label_is_refused(text: str) -> None:
    with pytest.raises(WordError):
        term_of(text)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("label:PSY", "label:PSY"),
        ("psy", "label:PSY"),
        ("Mental Health", "label:PSY"),
        ("substance use", "label:SUD"),
        ("alcohol", "label:ETH"),
        ("hiv", "label:HIV"),
        ("code:http://loinc.org|1234-5", "code:http://loinc.org|1234-5"),
        ("practitioner:Practitioner/1", "practitioner:Practitioner/1"),
    ],
)
def test_a_label_is_a_code_or_a_plain_word(text: str, term: str) -> None:
    assert term_of(text) == term


def test_every_label_that_imports_give_has_a_word() -> None:
    given = {group.label for group in label_rules.sets} | set(label_rules.ancestors) | {label_rules.minor.label}
    assert given <= set(LABELS)


def test_a_type_is_found_however_it_is_written() -> None:
    assert type_of("observation") == "Observation"
    with pytest.raises(WordError) as caught:
        type_of("Observatoin")
    assert "Observation" in str(caught.value.facts["like"])


def test_whom_a_consent_speaks_to() -> None:
    assert whom("anyone").member is None
    assert whom("st-luke").member == "st-luke"
    assert whom("clinician@st-luke").person == "clinician@st-luke"


@pytest.mark.parametrize(
    "text",
    ["", "clinician", "@mercy", "doctor@mercy", "clinician@", "clinician@Mercy", "patient:0", "patient:", "patient:x"],
)
def test_who_cannot_be_named_is_refused(text: str) -> None:
    with pytest.raises(UnknownPersonError):
        who(text)


def test_a_clinician_is_not_a_patient() -> None:
    with pytest.raises(UnknownPersonError):
        patient_number("clinician@mercy")


def test_people_are_read_by_their_names() -> None:
    assert who("patient:12") == PatientName(12)
    second = who("emergency-2@st-luke")
    assert isinstance(second, StaffName)
    assert (second.name, second.member, second.roles) == ("emergency-2", "st-luke", ("clinician", "emergency"))
    assert (str(second), str(PatientName(3))) == ("emergency-2@st-luke", "patient:3")
    assert patient_number("3") == patient_number("patient:3") == 3
