"""What all tests share: processes they start run these very sources; stores are tested on two kinds of database."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from salus.keeper.postgres import postgres_engine
from salus.keeper.store import sqlite_engine
from salus.node.stores import DATABASES, SETTINGS_FILE
from tests.node import stage
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


@pytest.fixture(params=["sqlite", "postgresql"])
def kept_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Members of a stage keep their stores in files, or on a server."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres_server")
        monkeypatch.setattr(stage, "where_stores_are", lambda member: keep_on(server, member))
    return str(request.param)


def keep_on(server: Postgres, member: Path) -> None:
    """Let a member that was just founded keep its stores on a server."""
    settings = "".join(f'[{name}]\nurl = "{server.new_database()}"\n' for name in DATABASES)
    path = member / SETTINGS_FILE
    path.touch(0o600)
    path.write_text(settings)
