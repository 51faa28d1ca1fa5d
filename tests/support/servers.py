"""Outside servers that a test starts for itself and stops again: PostgreSQL, and two that speak S3.

Each listens on 127.0.0.1 at a free port, is waited for within bounds, and is ended by its own process id. A test that
needs one skips, loudly, where it is not installed.
"""

import os
import shutil
import signal
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
BUCKET = "vault"


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
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._control("start", "-l", str(self.folder / "log"), "-o", settings)

    def stop(self, how: str = "fast") -> None:
        """Stop, in order unless told otherwise."""
        self._control("stop", "-m", how)

    def kill(self) -> None:
        """SIGKILL, for the server and whoever works for its clients: nothing is flushed, no client is told."""
        process_id = self.process_id
        assert process_id is not None, "It does not run."
        os.kill(process_id, signal.SIGSTOP)  # So that it begins no further worker.
        session = {process_id, *workers_of(process_id)}
        for one in session:
            os.kill(one, signal.SIGKILL)
        ends = time.monotonic() + WAIT_S
        while any(is_alive(one) for one in session):
            assert time.monotonic() < ends, "it outlives SIGKILL"
            time.sleep(0.02)
        (self.folder / "d" / "postmaster.pid").unlink()  # Else the next one waits until somebody asks about this one.

    @property
    def process_id(self) -> int | None:
        """Of the server; None where it does not run."""
        try:
            process_id = int((self.folder / "d" / "postmaster.pid").read_text().split()[0])
        except OSError:
            return None
        return process_id if is_alive(process_id) else None

    def _control(self, word: str, *more: str) -> None:
        command = [*as_nobody(self.folder), str(self.bin / "pg_ctl"), "-D", str(self.folder / "d"), "-w", *more, word]
        subprocess.run(command, check=True, timeout=60, cwd=self.folder, stdout=subprocess.DEVNULL)


def workers_of(process_id: int) -> set[int]:
    """The processes that a process has begun itself."""
    found = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return {int(child) for child in found.split()}


def is_alive(process_id: int) -> bool:
    """Whether a process still runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


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
        if server.process_id is not None:
            server.stop("immediate")  # Nothing of it is kept.


# S3.


class S3Server:
    """A server with one bucket, and whose keys it takes."""

    def __init__(self, kind: str, command: list[str], *, port: int, key: str, secret: str) -> None:
        self.kind = kind
        self.endpoint = f"http://127.0.0.1:{port}"
        self.bucket = BUCKET
        self.key, self.secret = key, secret
        self._command, self._port = command, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        wait_for(self._port, self._process)

    def kill(self) -> None:
        """SIGKILL. What it has only in memory is gone."""
        assert self._process is not None, "It never ran."
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """Stop, in order if it does so in time."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running(server: S3Server) -> Iterator[S3Server]:
    """A server, until the block ends."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def program(name: str, module: str) -> str:
    """Where a Go program is; skips where it is not."""
    found = shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))
    if found is None:
        pytest.skip(f"NOT TESTED: {name} is not installed (go install {module})")
    return found


@contextmanager
def gofakes3() -> Iterator[S3Server]:
    """S3 in memory. It checks no signatures."""
    command = program("gofakes3", "github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0")
    port = free_port()
    options = ["-backend", "memory", "-host", f"127.0.0.1:{port}", "-initialbucket", BUCKET]
    with running(S3Server("gofakes3", [command, *options], port=port, key="any", secret="any")) as server:
        yield server


@contextmanager
def versitygw() -> Iterator[S3Server]:
    """S3 over files, which outlive it. It refuses a wrong secret."""
    command = program("versitygw", "github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    port = free_port()
    with TemporaryDirectory(prefix="salus-versitygw-") as name:
        data, beside = Path(name) / "data", Path(name) / "meta"
        (data / BUCKET).mkdir(parents=True)
        beside.mkdir()
        options = ["-p", f"127.0.0.1:{port}", "-a", "tester", "-s", "hush-hush", "-q"]
        line = [command, *options, "posix", "--sidecar", str(beside), str(data)]
        with running(S3Server("versitygw", line, port=port, key="tester", secret="hush-hush")) as server:
            yield server
