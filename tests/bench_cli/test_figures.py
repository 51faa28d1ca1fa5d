"""What a figure, a target and a percentile mean."""

import pytest

from salus.cli.bench.command import together
from salus.cli.bench.figures import Outcome, at_least, at_most, percentile, percentiles

CEILING, MINIMUM = at_most(2), at_least(2)


def test_a_target_without_its_figure_is_missed() -> None:
    assert not Outcome("x", {}, {"a_ms": CEILING}, {}).met


def test_words_reach_no_target() -> None:
    assert not Outcome("x", {"a_ms": "fast"}, {"a_ms": CEILING}, {}).met


@pytest.mark.parametrize(("figure", "under", "over"), [(1, True, False), (2, True, True), (2.1, False, True)])
def test_a_limit_itself_reaches_both_kinds_of_target(figure: float, under: bool, over: bool) -> None:
    assert CEILING.is_met(figure) is under
    assert MINIMUM.is_met(figure) is over


@pytest.mark.parametrize(("rank", "expected"), [(50, 20), (95, 40), (100, 40), (25, 10), (0, 10)])
def test_a_percentile_is_a_sample_that_occurred(rank: int, expected: int) -> None:
    assert percentile([40, 10, 30, 20], rank) == expected


def test_a_series_says_how_many_runs_it_had() -> None:
    assert percentiles("a", [1.0, 3.0]) == {"a_p50_ms": 1.0, "a_p95_ms": 3.0, "a_max_ms": 3.0, "a_runs": 2}


def test_all_together_is_met_only_if_each_is() -> None:
    good = Outcome("x", {"a": 1}, {"a": CEILING}, {"f": 1})
    bad = Outcome("y", {"a": 3}, {"a": CEILING}, {})
    whole = together([good, bad])
    assert (whole.met, together([good]).met) == (False, True)
    assert whole.figures == {"x.a": 1, "y.a": 3}
    assert whole.floors == {"x.f": 1}
