import inspect
from pathlib import Path

from salus.core.errors import MalformedError
from salus.crypto import errors

ROOM = Path(errors.__file__).parent


def test_every_error_is_malformed_and_its_code_is_in_the_readme() -> None:
    named = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__]
    classes = [one for one in named if issubclass(one, MalformedError)]
    assert classes == named
    listed = (ROOM / "README.md").read_text()
    assert len({one.code for one in classes}) == len(classes) == 5
    assert all(f"| `{one.code}` |" in listed for one in classes)
