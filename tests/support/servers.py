"""Outside servers that a test starts for itself and stops again: PostgreSQL, and two that speak S3.

Each listens on 127.0.0.1 at a free port, is waited for within bounds, and is ended by its own process id. A test that
needs one skips, loudly, where it is not installed.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

NOBODY = 65534  # PostgreSQL refuses to run as root.
WAIT_S = 30.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the server takes connections. Fails if it ends or takes too long."""
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        assert process.poll() is None, "the server ended by itself"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the server did not come up")


@contextmanager
def running(command: list[str], port: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until the block ends."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(command, **{**quiet, **options})  # type: ignore[call-overload]
    try:
        wait_for(port, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


# PostgreSQL.


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; each test makes databases of its own."""

    port: int
    password: str
    folder: Path
    bin: Path

    def url(self, database: str) -> str:
        """Where a store finds a database."""
        return f"postgresql+psycopg://app:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty schema in a database that sorts as people in Germany do: no order may hang on that."""
        import psycopg

        name = f"s_{uuid4().hex}"
        with psycopg.connect(self.url("salus").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('salus')}?options=-csearch_path%3D{name}"

    def found(self) -> None:
        """Make the database."""
        import psycopg

        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CREATE DATABASE salus TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'")

    def restart(self) -> None:
        """Stop at once, as a crash would, and start again."""
        self.stop("immediate")
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("start", "-l", str(self.folder / "log"), "-o", settings)

    def stop(self, how: str = "fast") -> None:
        """Stop, in order unless told otherwise."""
        self._control("stop", "-m", how)

    def _control(self, word: str, *more: str) -> None:
        command = [*as_nobody(self.folder), str(self.bin / "pg_ctl"), "-D", str(self.folder / "d"), "-w", *more, word]
        subprocess.run(command, check=True, timeout=60, cwd=self.folder, stdout=subprocess.DEVNULL)


def as_nobody(home: Path) -> list[str]:
    """What to put before a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return ["setpriv", *ids, "env", f"HOME={home}"]


def postgres_bin() -> Path:
    """Where PostgreSQL's programs are; skips where they are not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("NOT TESTED: PostgreSQL is not installed (apt-get install postgresql-15)")
    return found[-1].parent


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A temporary server, gone with its folder when the block ends."""
    programs = postgres_bin()
    with TemporaryDirectory(prefix="salus-postgres-") as name:
        yield from _served(Path(name), programs)


def _served(folder: Path, programs: Path) -> Iterator[Postgres]:
    password = uuid4().hex
    (folder / "pw").write_text(password)
    if os.geteuid() == 0:
        for path in (folder, folder / "pw"):
            os.chown(path, NOBODY, NOBODY)
    first = ["-A", "scram-sha-256", "-U", "app", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    command = [*as_nobody(folder), str(programs / "initdb"), "-D", str(folder / "d"), f"--pwfile={folder / 'pw'}"]
    subprocess.run([*command, *first], check=True, timeout=60, cwd=folder, stdout=subprocess.DEVNULL)
    server = Postgres(free_port(), password, folder, programs)
    server.start()
    try:
        server.found()
        yield server
    finally:
        server.stop("immediate")  # Nothing of it is kept.


# S3.


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server with one bucket, and whose keys it takes."""

    kind: str
    endpoint: str
    bucket: str
    key: str
    secret: str
    process: subprocess.Popen[bytes]


def program(name: str, module: str) -> str:
    """Where a Go program is; skips where it is not."""
    found = shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))
    if found is None:
        pytest.skip(f"NOT TESTED: {name} is not installed (go install {module})")
    return found


@contextmanager
def gofakes3() -> Iterator[S3Server]:
    """S3 in memory. It checks no signatures."""
    command = program("gofakes3", "github.com/johannesboyne/gofakes3/cmd/gofakes3@latest")
    port = free_port()
    options = ["-backend", "memory", "-host", f"127.0.0.1:{port}", "-initialbucket", "vault"]
    with running([command, *options], port) as process:
        yield S3Server("gofakes3", f"http://127.0.0.1:{port}", "vault", "any", "any", process)


@contextmanager
def versitygw() -> Iterator[S3Server]:
    """S3 over files. It refuses a wrong secret."""
    command = program("versitygw", "github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    port = free_port()
    with TemporaryDirectory(prefix="salus-versitygw-") as name:
        data, beside = Path(name) / "data", Path(name) / "meta"
        (data / "vault").mkdir(parents=True)
        beside.mkdir()
        options = ["-p", f"127.0.0.1:{port}", "-a", "tester", "-s", "hush-hush", "-q"]
        with running([command, *options, "posix", "--sidecar", str(beside), str(data)], port) as process:
            yield S3Server("versitygw", f"http://127.0.0.1:{port}", "vault", "tester", "hush-hush", process)
