"""Shared data, found beside the repository or where `SALUS_TEST_DATA` says; tests skip where it is absent."""

import lzma
import os
import tarfile
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SALUS_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


def _require(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"shared data is absent: {name}")
    return path


@pytest.fixture(scope="session")
def synthea_2020() -> Path:
    return _require("synthea-r4-2020")


@pytest.fixture(scope="session")
def synthea_uscore() -> Path:
    return _require("synthea-r4-uscore")


@pytest.fixture(scope="session")
def core_archive() -> Path:
    return _require("fhir-r4-core.tar.xz")


@pytest.fixture(scope="session")
def examples() -> dict[str, bytes]:
    """HL7's own example resources by file name."""
    with tarfile.open(_require("fhir-r4-examples.tar.xz")) as tar:
        return {Path(m.name).name: tar.extractfile(m).read() for m in tar if m.isfile()}


@pytest.fixture(scope="session")
def one_patient(synthea_2020: Path) -> bytes:
    """One whole transaction bundle."""
    return lzma.open(sorted(synthea_2020.glob("*.json.xz"))[0]).read()
