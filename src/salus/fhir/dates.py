"""FHIR dates as text: whether the calendar has them, their terms, and a person's age on a day.

A date keeps the precision it was given with (`2019`, `2019-05`, a day, or an instant) and the day of its own time zone.
"""

import re
from datetime import UTC, date, datetime
from functools import lru_cache

from salus.contracts.consent import record_date_terms

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[-+]\d\d:\d\d)?)?)?)?")


@lru_cache(maxsize=65536)
def is_date(text: str) -> bool:
    """Whether a FHIR date, dateTime or instant names a day that exists. Missing seconds or zone are forgiven."""
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups()[:6])
    try:
        date(year or 0, 1 if month is None else month, 1 if day is None else day)
    except ValueError:
        return False
    return (hour or 0) <= 24 and (minute or 0) <= 59 and (second or 0) <= 60


@lru_cache(maxsize=65536)
def date_terms(text: str | None) -> tuple[str, ...]:
    """What consent may name of a clinical date: year, month and day, and `date:undated` where the day is not exact."""
    return record_date_terms(text or "")


def instant_ms(text: str) -> int | None:
    """The first moment of a FHIR date or dateTime, in milliseconds since 1970; a date without a zone is UTC's."""
    if not is_date(text) or len(text) < len("2026-01-01"):
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def age_years(birth: str, at: str) -> int:
    """Completed years of age on a day, the lower where a date is only a month or year: a doubt protects."""
    born = birth[:10] + "-12-31"[len(birth[:10]) - 4 :]
    today = at[:10] + "-01-01"[len(at[:10]) - 4 :]
    return int(today[:4]) - int(born[:4]) - (today[5:] < born[5:])
