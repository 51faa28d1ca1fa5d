"""Periods become few terms that meet exactly the days inside them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.contracts.consent import date_terms, record_date_terms
from salus.contracts.consent.errors import PeriodError

days = st.dates(date(1900, 1, 1), date(2099, 12, 31))


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (date(2019, 5, 3), date(2019, 5, 3)),
        (date(2019, 5, 3), date(2019, 5, 2)),
        (date(1899, 12, 31), None),
        (None, date(2100, 1, 2)),
        (date(2100, 1, 1), None),
    ],
)
def test_a_period_that_is_empty_or_out_of_range_is_refused(since: date | None, until: date | None) -> None:
    with pytest.raises(PeriodError):
        date_terms(since, until)


@pytest.mark.parametrize(
    ("since", "until", "terms"),
    [
        (date(2019, 5, 3), date(2019, 5, 4), ("date:2019-05-03",)),
        (date(2019, 5, 1), date(2019, 6, 1), ("date:2019-05",)),
        (date(2019, 1, 1), date(2021, 1, 1), ("date:2019", "date:2020")),
        (
            date(2019, 11, 30),
            date(2021, 2, 2),
            ("date:2019-11-30", "date:2019-12", "date:2020", "date:2021-01", "date:2021-02-01"),
        ),
        (date(2098, 12, 31), None, ("date:2098-12-31", "date:2099")),
        (None, date(1901, 1, 1), ("date:1900",)),
    ],
)
def test_a_period_becomes_years_then_months_then_days(
    since: date | None, until: date | None, terms: tuple[str, ...]
) -> None:
    assert date_terms(since, until) == terms


@given(days, days, days)
def test_a_day_matches_a_period_exactly_if_it_lies_inside(first: date, second: date, day: date) -> None:
    since, until = min(first, second), max(first, second) + timedelta(days=1)
    if until > date(2100, 1, 1):
        return
    met = not set(date_terms(since, until)).isdisjoint(record_date_terms(day.isoformat()))
    assert met == (since <= day < until)


def test_the_longest_list_is_known() -> None:
    assert len(date_terms(date(1900, 1, 2), date(2099, 12, 31))) == 280


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ("date:undated",)),
        ("soon", ("date:undated",)),
        ("1850-01-01", ("date:undated",)),
        ("2019", ("date:2019", "date:undated")),
        ("2019-05", ("date:2019", "date:2019-05", "date:undated")),
        ("2019-05-03", ("date:2019", "date:2019-05", "date:2019-05-03")),
        ("2019-05-03T23:59:59+02:00", ("date:2019", "date:2019-05", "date:2019-05-03")),
    ],
)
def test_a_record_bears_what_is_known_of_its_date(text: str, terms: tuple[str, ...]) -> None:
    assert record_date_terms(text) == terms
