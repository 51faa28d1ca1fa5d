"""How a test says that a rule refuses: with exactly this error, leaving the state as it was."""

from collections.abc import Callable

import pytest

from salus.core.errors import RefusalError
from salus.state.state import State


def everything(state: State) -> dict[bytes, bytes]:
    """All that the state says."""
    return dict(state.scan(b""))


def assert_refused(state: State, act: Callable[[], object], error: type[RefusalError]) -> None:
    """The act raises this very class, and the state says what it said before."""
    before = everything(state)
    with pytest.raises(RefusalError) as caught:
        act()
    assert type(caught.value) is error
    assert everything(state) == before
