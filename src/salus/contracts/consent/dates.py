"""A period of the data's own time, compiled to terms that can be blinded and matched like any other.

A record dated to the day bears its year, month and day (`date:2019`, `date:2019-05`, `date:2019-05-03`); one dated less
exactly bears what is known and `date:undated` beside it, as does one without a date. So a period becomes any-of: whole
years, then whole months, then days.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from salus.contracts.consent.errors import PeriodError

YEAR_FIRST = 1900  # An open beginning starts here,
YEAR_END = 2100  # an open end stops before here: blinded terms cannot be compared, only listed.
UNDATED = "date:undated"


def date_terms(since: date | None, until: date | None) -> tuple[str, ...]:
    """The fewest terms that cover every day from `since` up to, not including, `until`; in order of time.

    Days outside the years 1900 to 2099 are dated by the sealing author as undated. At most 280 terms result.

    Raises:
        PeriodError: the period is empty, or begins or ends outside those years.
    """
    first, end = date(YEAR_FIRST, 1, 1), date(YEAR_END, 1, 1)
    day, stop = since or first, until or end
    if not first <= day < stop <= end:
        raise PeriodError(since_day=day.toordinal(), until_day=stop.toordinal())
    return tuple(_cover(day, stop))


def record_date_terms(text: str) -> tuple[str, ...]:
    """The terms that a record bears for its date, as FHIR writes it (`2019`, `2019-05`, `2019-05-03T…`), or for ''."""
    parts = text[:10].split("-")
    if not all(part.isascii() and part.isdigit() for part in parts) or not YEAR_FIRST <= int(parts[0]) < YEAR_END:
        return (UNDATED,)
    known = tuple("date:" + "-".join(parts[: count + 1]) for count in range(len(parts)))
    return known if len(parts) == 3 else (*known, UNDATED)


def _cover(day: date, stop: date) -> Iterator[str]:
    while day < stop:
        next_year, next_month = date(day.year + 1, 1, 1), (day.replace(day=1) + timedelta(days=31)).replace(day=1)
        if (day.month, day.day) == (1, 1) and next_year <= stop:
            yield f"date:{day:%Y}"
            day = next_year
        elif day.day == 1 and next_month <= stop:
            yield f"date:{day:%Y-%m}"
            day = next_month
        else:
            yield f"date:{day:%Y-%m-%d}"
            day += timedelta(days=1)
