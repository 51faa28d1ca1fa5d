"""Dashboard, alert rules and runbook: they read, name what there is, and belong together."""

import json
import re

import pytest

from salus.node.observing.families import FAMILIES, HISTOGRAM
from tests.observing.rules import RUNBOOK, SCRAPES, alerts, dashboard, figures_named, queries

_DURATION = re.compile(r"\d+(ms|[smhdwy])")
_FUNCTIONS = {"rate", "increase", "changes", "min", "max", "sum", "by", "on", "or", "histogram_quantile"}
_PAIRS = {")": "(", "]": "[", "}": "{"}


def balanced(query: str) -> bool:
    """Whether brackets and quotes of an expression close in their order."""
    open_: list[str] = []
    for char in re.sub(r'"[^"]*"', "", query):
        if char in "([{":
            open_.append(char)
        elif (char in _PAIRS and (not open_ or open_.pop() != _PAIRS[char])) or char == '"':
            return False
    return not open_


@pytest.mark.parametrize("query", ["sum(rate(x[5m])", "x{a='b'", 'x{a="b}', "x)(", "x[5m)"])
def test_the_check_of_expressions_finds_what_does_not_close(query: str) -> None:
    assert not balanced(query)


@pytest.mark.parametrize("query", queries())
def test_every_expression_reads(query: str) -> None:
    assert balanced(query)
    bare = re.sub(r'"[^"]*"', "", query)
    called = set(re.findall(r"([a-z_]+)\s*\(", bare))
    assert called <= _FUNCTIONS
    for span in re.findall(r"\[([^\]]*)\]", bare):
        assert _DURATION.fullmatch(span)
    for name, labels in re.findall(r"\b(salus_[a-z_]+)\{([^}]*)\}", bare):
        family = FAMILIES[re.sub(r"_bucket$", "", name)]
        assert set(re.findall(r"([a-z]+)=", labels)) <= {*family.labels, "le"}


def test_every_figure_that_is_named_is_one_of_the_table() -> None:
    shown = {*FAMILIES, "process_start_time_seconds"}
    shown |= {f"{name}_bucket" for name, family in FAMILIES.items() if family.kind == HISTOGRAM}
    assert figures_named() - shown == set()


def test_every_alert_says_what_it_is_how_bad_and_where_to_read_on() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) > 15
    for rule in alerts():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert "for" not in rule or _DURATION.fullmatch(rule["for"])
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"].endswith(".")


def test_every_alert_has_its_entry_in_the_runbook_and_no_entry_is_left_over() -> None:
    entries = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert entries == [rule["alert"] for rule in alerts()]
    for text in RUNBOOK.read_text().split("\n## ")[1:]:
        for part in ("Likely causes:\n", "Look:\n\n```sh\n", "Do:\n"):
            assert part in text, text.splitlines()[0]


def test_every_command_of_salus_in_the_runbook_is_one() -> None:
    from typer.main import get_group

    from salus.cli.app import app

    known = set(get_group(app).commands)
    named = re.findall(r"(?:^|`)salus ([a-z-]+)", RUNBOOK.read_text(), re.MULTILINE)
    assert {"status", "up", "ledger"} <= set(named) <= known


def test_every_panel_has_a_place_a_query_and_a_unit() -> None:
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    places = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        places.add((place["x"], place["y"]))
    assert len(places) == len(panels)


def test_every_gauge_counter_and_histogram_of_the_table_is_shown_or_alerted_on_but_for_a_few() -> None:
    named = {re.sub(r"_bucket$", "", name) for name in figures_named()}
    assert set(FAMILIES) - named == {"salus_build_info", "salus_refusals_last_minute"}


def test_prometheus_reads_every_process_of_a_member() -> None:
    (job,) = json.loads(SCRAPES.read_text())["scrape_configs"]
    assert job["job_name"] == "salus"
    assert len(job["static_configs"][0]["targets"]) == 3
