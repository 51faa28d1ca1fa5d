"""The page about many hospitals says what was played, with the costs and assumptions that are shipped."""

import json
from dataclasses import asdict

from salus.cli.scale.command import as_data
from salus.cli.scale.parameters import Assumed, assumed_from, shipped_costs, shipped_machine, shipped_sources
from salus.cli.scale.report import report
from tools import make_scale

PLAYED = json.loads(make_scale.PLAYED.read_text())
PAGE = make_scale.PAGE.read_text()


def test_page_and_charts_are_those_of_what_was_played() -> None:
    assert make_scale.filled(PAGE, make_scale.tables(PLAYED)) == PAGE, "Run python -m tools.make_scale."
    for name, drawn in make_scale.charts(PLAYED).items():
        assert (make_scale.FOLDER / name).read_text() == drawn
        assert f"(scale/{name})" in PAGE


def test_it_was_played_with_what_is_shipped() -> None:
    assert PLAYED["costs"] == asdict(shipped_costs()), "Run python -m tools.make_scale --play."
    assert PLAYED["assumed"] == asdict(Assumed())
    assert set(shipped_sources()) == set(PLAYED["costs"])
    assert shipped_machine() in PAGE


def test_playing_it_again_gives_the_same() -> None:
    told = next(one for one in PLAYED["delays"] if one["hospitals"] == 100 and one["delay_ms"] == Assumed().delay_ms)
    costs, assumed = shipped_costs(), assumed_from({"hospitals": 100, "committee": told["committee"]})
    again = as_data(report(costs, assumed, PLAYED["seed"], loads=(1.0,)))
    assert {"delay_ms": Assumed().delay_ms, **json.loads(json.dumps(again))} == told


def test_another_figure_gives_another_page() -> None:
    (first, *_) = PLAYED["sizes"]
    changed = {**PLAYED, "sizes": [{**first, "holds_to": first["holds_to"] + 1}, *PLAYED["sizes"][1:]]}
    assert make_scale.filled(PAGE, make_scale.tables(changed)) != PAGE
