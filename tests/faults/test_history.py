"""The history checker finds what it looks for: each rule is broken once on purpose."""

import pytest

from tests.faults.history import DONE, REFUSED, UNKNOWN, History, Operation, broken, ended, enough_happened

ALL = ("a", "b")


def story(*steps: tuple[str, str, dict[str, object]]) -> History:
    """Operations one after another, each a second long; `during` makes one begin before the step before it ended."""
    history = History()
    for at, (kind, outcome, facts) in enumerate(steps):
        facts = dict(facts)
        began = at * 2.0 - float(facts.pop("earlier_s", 0.0))  # type: ignore[arg-type]
        made = history.begin(kind, 1, began, facts.pop("sources", ()))  # type: ignore[arg-type]
        ended(made, at * 2.0 + 1.0, outcome, **facts)
    return history


WRITTEN = ("import", DONE, {"sources": ALL})
GRANT = ("grant", DONE, {"height": 5})
REVOKE = ("revoke", DONE, {"height": 7})
SHOWN = ("read", DONE, {"sources": ALL, "height": 9})
NOTHING = ("read", DONE, {"sources": (), "height": 9})


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((WRITTEN, GRANT, REVOKE, SHOWN), "without a grant after the revoke"),
        ((WRITTEN, SHOWN), "without a grant"),
        ((WRITTEN, GRANT, ("freeze", DONE, {}), SHOWN), "without a thaw after the freeze"),
        ((WRITTEN, GRANT, ("revoke", DONE, {}), ("grant", REFUSED, {}), SHOWN), "without a grant after the revoke"),
        ((WRITTEN, GRANT, NOTHING), "is permitted"),
        ((WRITTEN, ("own-read", DONE, {"sources": ("a",)})), "lacks ['b']"),
        ((WRITTEN, GRANT, ("own-read", DONE, {"sources": ALL, "height": 4})), "older than 5"),
        ((WRITTEN, GRANT, ("read", DONE, {"sources": ALL, "height": 4})), "older than 5"),
    ],
)
def test_what_breaks_a_rule_is_found(steps: tuple[tuple[str, str, dict[str, object]], ...], said: str) -> None:
    found = broken(story(*steps), {"mercy": {1: list(ALL)}})
    assert len(found) == 1
    assert said in found[0]


def test_what_is_lost_doubled_or_invented_is_found() -> None:
    found = broken(story(WRITTEN), {"mercy": {1: ["a", "a", "c"]}, "st-luke": {1: list(ALL)}})
    assert sorted(found) == [
        "mercy shows a 2 times",
        "mercy shows c, which nobody wrote",
        "operation 0 was acknowledged, and mercy does not show ['b']",
    ]


@pytest.mark.parametrize(
    "steps",
    [
        (WRITTEN, GRANT, SHOWN, REVOKE, NOTHING),
        (
            WRITTEN,
            GRANT,
            REVOKE,
            ("read", DONE, {"sources": ALL, "earlier_s": 1.5, "height": 6}),
        ),  # It began before the answer.
        (WRITTEN, GRANT, ("revoke", UNKNOWN, {}), NOTHING),
        (WRITTEN, GRANT, ("revoke", UNKNOWN, {}), SHOWN),
        (WRITTEN, ("grant", UNKNOWN, {}), SHOWN),
        (WRITTEN, GRANT, ("read", DONE, {"sources": ("a",), "gaps": 1, "height": 6})),
        (WRITTEN, GRANT, ("freeze", DONE, {}), NOTHING, ("thaw", DONE, {}), SHOWN),
        (WRITTEN, ("own-read", DONE, {"sources": (), "is_stale": True})),
        (("import", UNKNOWN, {"sources": ("c",)}), WRITTEN, ("own-read", DONE, {"sources": (*ALL, "c")})),
    ],
)
def test_what_may_happen_is_not_found(steps: tuple[tuple[str, str, dict[str, object]], ...]) -> None:
    assert broken(story(*steps), {"mercy": {1: list(ALL)}}) == []


def test_a_run_in_which_nothing_was_done_or_nothing_failed_shows_nothing() -> None:
    steps = [(kind, UNKNOWN, {"sources": ("a",)}) for kind in ("import", "grant", "read", "own-read")] * 30
    assert len(list(enough_happened(story(*steps), 0, 2.0))) == 5
    done = story(*((kind, DONE, facts) for kind, _, facts in steps))
    assert list(enough_happened(done, 4, 2.0)) == []
    assert list(enough_happened(done, 3, 2.0)) == ["only 3 faults in 2 minutes"]


def test_an_operation_without_an_answer_never_ends() -> None:
    assert Operation(0, "read", 1, 0.0).ended_s == float("inf")
