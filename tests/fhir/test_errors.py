"""Every code of this room is in its README, once."""

import re
from pathlib import Path

from salus.core.errors import MalformedError
from salus.fhir import errors


def test_the_readme_lists_exactly_the_codes_there_are() -> None:
    page = (Path(errors.__file__).parent / "README.md").read_text()
    listed = re.findall(r"^\| `(fhir\.\w+)`", page, re.MULTILINE)
    classes = [c.code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.FhirInputError)]
    notes = [value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)]
    assert sorted(listed) == sorted(classes + notes)
    assert issubclass(errors.FhirInputError, MalformedError)
    assert errors.WARNINGS.issubset(notes)
