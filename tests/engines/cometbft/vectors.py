"""The public light client vectors, read where they lie."""

import json
import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tools.check_quiet import ROOT

FILE = "light-client-single-step.tar.xz"


@cache
def single_steps() -> dict[str, Any]:
    """All cases by name."""
    place = Path(os.environ.get("SALUS_TEST_DATA", ROOT.parent / "shared" / "data")) / FILE
    if not place.exists():
        pytest.fail(f"{FILE} is missing: set SALUS_TEST_DATA to the folder that holds it")
    with tarfile.open(place) as archive:
        return {
            member.name: json.load(found)
            for member in sorted(archive.getmembers(), key=lambda one: one.name)
            if (found := archive.extractfile(member)) is not None
        }
