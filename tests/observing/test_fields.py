"""The allow-list: what has another name or another shape is left out."""

import pytest

from salus.core.errors import IntegrityError, SalusError
from salus.keeper.errors import PersonError, StaleError
from salus.node.observing.fields import OTHER, allowed, code_of, family_of, is_allowed, tag_of_request


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reason", "found unconscious"),  # No such fields.
        ("number", 17),
        ("subject", "00" * 16),
        ("request_id", b"\1" * 16),
        ("given", "Exampleton"),
        ("message", "anything"),
        ("member", "Mercy Hospital of Exampleton"),  # Another shape.
        ("member", "m" * 33),
        ("peer", b"mercy"),
        ("part", "patient"),
        ("code", "jane.doe"),
        ("code", "keeper.person of Jane Doe"),
        ("request", "jane.doe/1"),
        ("error", "ValueError: Jane Doe"),
        ("place", "Jane Doe, born 1970-01-01; line 3"),
        ("place", "a" * 513),
        ("logger", "jane doe"),
        ("trace", "jane"),
        ("span", "0" * 17),
        ("asked", "1970"),
        ("asked", 1 << 60),
        ("asked", float("nan")),
        ("ready", "yes"),
        ("version", "1.0-jane"),
    ],
)
def test_what_is_not_allowed_is_left_out(name: str, value: object) -> None:
    assert not is_allowed(name, value)
    assert allowed({name: value, "height": 3}) == ({"height": 3}, 1)


def test_what_is_allowed_stays() -> None:
    said = {
        "member": "st-luke",
        "part": "keeper",
        "code": PersonError.code,
        "request": "keeper.ask/1",
        "family": "refused",
        "error": "ValueError",
        "place": "salus/node/parts.py:17 base_events.py:600",
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "height": 12,
        "seconds": 0.25,
        "ready": True,
    }
    assert allowed(said) == (said, 0)


def test_a_code_or_tag_that_a_peer_made_up_becomes_other() -> None:
    assert code_of("jane.doe_born_in_exampleton") == OTHER
    assert code_of(StaleError.code) == StaleError.code
    assert tag_of_request("jane.doe/1") == OTHER
    assert tag_of_request("keeper.ask/1") == "keeper.ask/1"


def test_families_are_words() -> None:
    errors = (PersonError(), StaleError(), IntegrityError(), ValueError("Jane Doe"), SalusError())
    assert [family_of(error) for error in errors] == ["refused", "unavailable", "integrity", "fault", "fault"]
