"""The patches take out what they name, and say so where there is nothing to take out."""

import pytest

from salus.contracts.consent.purposes import PARENTS
from salus.core import wire
from salus.core.errors import MalformedError
from tests.drill.patches import answering, apply, rewritten, without

LONG_ZERO = b"\xcc\x00"


def test_a_check_that_is_not_there_cannot_be_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="no such check"):
        apply(monkeypatch, [without("salus.core.wire.decode", "NoSuchError")])


def test_words_that_are_not_there_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="does not say"):
        apply(monkeypatch, [rewritten("salus.core.wire.decode", "no such words", "")])


def test_only_the_check_is_taken_out_and_only_until_the_end_of_the_test() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        apply(monkeypatch, [without("salus.core.wire.decode", "_encoder.encode(value) != data")])
        assert wire.decode(int, LONG_ZERO) == 0
        with pytest.raises(MalformedError):
            wire.decode(int, b"\xa1a")
    with pytest.raises(MalformedError):
        wire.decode(int, LONG_ZERO)


def test_a_function_imported_before_is_without_its_guard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    imported_before = wire.encode
    apply(monkeypatch, [answering("salus.core.wire.encode", lambda value: b"other")])
    assert imported_before(len(PARENTS)) == b"other"
