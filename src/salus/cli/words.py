"""Consent as people speak: purposes, labels, readers and dates, from what is typed and back into plain sentences."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches

from salus.cli.errors import WordError
from salus.core.ids import FhirType, Purpose, TimeMs

PURPOSES: dict[str, str] = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "BTG": "breaking the glass",
    "HPAYMT": "payment",
    "HOPERAT": "running the hospital",
    "HRESCH": "research",
    "CLINTRL": "clinical trial",
    "CLINTRCH": "clinical trial research",
    "PATRQT": "the patient's request",
    "PUBHLTH": "public health",
    "POPHLTH": "population health",
    "COC": "coordination of care",
    "HMARKT": "marketing",
}
LABELS: dict[str, str] = {
    "PSY": "mental health",
    "PSYTHPN": "psychotherapy notes",
    "SUD": "substance use",
    "ETH": "alcohol and drugs",
    "HIV": "HIV",
    "SEX": "sexual and reproductive health",
    "SDV": "abuse and sexual violence",
    "VIO": "violence",
    "GDIS": "genetics",
    "MINOR": "a minor's own services",
}
_MORE_WORDS: dict[str, str] = {
    "psychiatry": "PSY",
    "psychiatric": "PSY",
    "mental": "PSY",
    "psychotherapy": "PSYTHPN",
    "addiction": "SUD",
    "alcohol": "ETH",
    "drugs": "ETH",
    "sexual health": "SEX",
    "reproductive health": "SEX",
    "pregnancy": "SEX",
    "abuse": "SDV",
    "domestic violence": "SDV",
    "genetic": "GDIS",
    "genes": "GDIS",
    "minor": "MINOR",
}
_TERM_KINDS = ("label:", "code:", "category:", "practitioner:", "confidentiality:")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?(?:-([0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class Whom:
    """To whom a consent speaks: a member, a person of it, or anyone."""

    member: str | None = None
    person: str | None = None


def purpose_of(text: str) -> Purpose:
    """A purpose by its code in HL7 v3 ActReason, or by a plain word.

    Raises:
        WordError: it is neither.
    """
    from salus.contracts.consent.purposes import PARENTS

    by_word = {word.lower(): code for code, word in PURPOSES.items()}
    code = Purpose(by_word.get(text.strip().lower(), text.strip().upper()))
    if code not in PARENTS:
        raise _unknown("purpose", text, [*PURPOSES, *PURPOSES.values(), *PARENTS])
    return code


def term_of(text: str) -> str:
    """A term: `label:PSY`, `PSY`, `mental health`, or a `code:`, `category:` or `practitioner:` as it is.

    Raises:
        WordError: a label nobody knows.
    """
    if text.startswith(_TERM_KINDS[1:]):
        return text
    word = text.removeprefix("label:").strip()
    by_word = {name.lower(): code for code, name in LABELS.items()} | _MORE_WORDS
    code = by_word.get(word.lower(), word.upper())
    if code not in LABELS:
        raise _unknown("label", word, [*LABELS, *LABELS.values(), *_MORE_WORDS])
    return f"label:{code}"


def whom(text: str) -> Whom:
    """`anyone`, a member's name, or a person such as `clinician@st-luke`."""
    if text.lower() in ("anyone", "anybody", "everyone"):
        return Whom()
    return Whom(member=text.split("@", 1)[1], person=text) if "@" in text else Whom(member=text)


def day_of(text: str) -> date:
    """A day: `2019`, `2019-05` and `2019-05-03` each mean the first day of what they name.

    Raises:
        WordError: it is no date.
    """
    found = _DATE.fullmatch(text.strip())
    try:
        if found is not None:
            return date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
    except ValueError:
        pass
    raise WordError(what="date", given=text, like="2019, 2019-05 or 2019-05-03")


def moment_of(text: str) -> TimeMs:
    """When a day begins, in UTC."""
    day = day_of(text)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def shown_time(time: TimeMs) -> str:
    """A moment as people read it, in UTC."""
    return datetime.fromtimestamp(time / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def shown_day(time: TimeMs) -> str:
    """The day of a moment, in UTC."""
    return datetime.fromtimestamp(time / 1000, tz=UTC).strftime("%Y-%m-%d")


def shown_purpose(code: str) -> str:
    """A purpose with its meaning."""
    return f"{code} ({PURPOSES[code]})" if code in PURPOSES else code


def shown_term(term: str) -> str:
    """A term with its meaning."""
    code = term.removeprefix("label:")
    return f"{term} ({LABELS[code]})" if term.startswith("label:") and code in LABELS else term


def _unknown(what: str, given: str, known: list[str]) -> WordError:
    lower = {word.lower(): word for word in known}
    close = [lower[match] for match in get_close_matches(given.lower(), list(lower), n=3)]
    like = close or known[:6]
    return WordError(what=what, given=given, like=", ".join(dict.fromkeys(like)))


def type_of(text: str) -> FhirType:
    """A FHIR R4 resource type.

    Raises:
        WordError: R4 has no such type.
    """
    from salus.fhir.tables import RESOURCE_TYPES

    by_lower = {name.lower(): name for name in RESOURCE_TYPES}
    if text.lower() not in by_lower:
        raise _unknown("type", text, sorted(RESOURCE_TYPES))
    return FhirType(by_lower[text.lower()])
