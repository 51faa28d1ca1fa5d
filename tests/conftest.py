"""What all tests share: processes they start run these very sources; stores are tested on two kinds of database."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from salus.keeper.postgres import postgres_engine
from salus.keeper.store import sqlite_engine
from tests.support.servers import Postgres, postgres

ROOT = Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])  # Whatever is installed beside them.


@dataclass(frozen=True, slots=True)
class Database:
    """A database that a test opens as often as it likes."""

    kind: str
    place: str  # A path, or a URL.

    def engine(self) -> Engine:
        """Opened for its owner."""
        return sqlite_engine(Path(self.place)) if self.kind == "sqlite" else postgres_engine(self.place)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for all tests of a process."""
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Database("sqlite", str(tmp_path / "keeper.db"))
    server: Postgres = request.getfixturevalue("postgres_server")
    return Database("postgresql", server.new_database())
