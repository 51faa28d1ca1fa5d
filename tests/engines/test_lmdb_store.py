"""The store on disk: atomic, durable, alone in its folder, and plain about what is wrong."""

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from salus.core.errors import IntegrityError, UnavailableError
from salus.engines.growth import measure_growth
from salus.engines.lmdb_errors import (
    DiskFullError,
    FolderInUseError,
    NotWritableError,
    StoreCorruptError,
    StoreFormatError,
    StoreUnavailableError,
    translate,
)
from salus.engines.lmdb_store import STORE_FORMAT, LmdbStore, check_file
from salus.state import CorruptPageError, State
from salus.state.state import checked_root

SOURCE = Path(__file__).parents[2] / "src"
SMALL_MAP = 1 << 20


def run(code: str, *arguments: str, **options: object) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    head = "import sys; from pathlib import Path; from salus.engines.lmdb_store import LmdbStore\n"
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", head + code, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def filled(path: Path, **rows: str) -> None:
    with LmdbStore(path) as store, store.write():
        for key, value in rows.items():
            store.put(key.encode(), value.encode())


def test_a_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    with LmdbStore(tmp_path):
        other = run("LmdbStore(Path(sys.argv[1]))", str(tmp_path))
        _, said = other.communicate()
        assert other.returncode != 0
        assert "engines.folder_in_use" in said
        with pytest.raises(FolderInUseError) as caught:
            LmdbStore(tmp_path)
        assert isinstance(caught.value, UnavailableError)
    LmdbStore(tmp_path).close()


def test_who_reads_before_the_founder_has_committed_waits(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path), max_dbs=1).close()
    with pytest.raises(StoreUnavailableError):
        LmdbStore(tmp_path, read_only=True)


def test_another_format_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, a="1")
    with lmdb.open(str(tmp_path), max_dbs=1) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"salus-store-format", b"7")
    with pytest.raises(StoreFormatError) as caught:
        LmdbStore(tmp_path)
    assert isinstance(caught.value, IntegrityError)
    assert caught.value.facts == {"found": 7, "expected": STORE_FORMAT}


def test_the_store_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"theirs", b"1")
    with pytest.raises(StoreFormatError):
        LmdbStore(tmp_path)
    with lmdb.open(str(tmp_path)) as environment, environment.begin() as transaction:
        assert list(transaction.cursor()) == [(b"theirs", b"1")]


@pytest.mark.parametrize("damage", ["text", "short", "empty pages", "meta pages"])
def test_a_damaged_file_is_an_integrity_error(tmp_path: Path, damage: str) -> None:
    with LmdbStore(tmp_path) as store, store.write():
        for number in range(1000):
            store.put(b"key%d" % number, bytes(100))
    file = tmp_path / "data.mdb"
    data = file.read_bytes()
    file.write_bytes(
        {
            "text": b"not a store at all " * 1000,
            "short": data[: len(data) // 2],
            "empty pages": data[:8192] + bytes(len(data) - 8192),
            "meta pages": bytes(8192) + data[8192:],
        }[damage]
    )
    with pytest.raises(StoreCorruptError), LmdbStore(tmp_path) as store:
        store.get(b"key1")


def test_a_folder_that_cannot_be_made_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotWritableError):
            LmdbStore(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_write_permission_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NotWritableError):
        LmdbStore(tmp_path)


def test_a_full_disk_is_said_so_and_keeps_the_last_commit(tmp_path: Path) -> None:
    filled(tmp_path, a="1")
    code = """
import signal
from salus.engines.lmdb_errors import DiskFullError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = LmdbStore(Path(sys.argv[1]))
try:
    with store.write():
        store.put(b"a", b"2")
        store.put(b"b", bytes(1 << 20))
except DiskFullError as error:
    print(error.code, store.get(b"a").decode(), store.get(b"b"))
"""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))  # noqa: E731
    said, wrong = run(code, str(tmp_path), preexec_fn=limit).communicate()
    assert (said, wrong) == ("engines.disk_full 1 None\n", "")
    with LmdbStore(tmp_path) as store:
        assert dict(store.scan(b"")) == {b"a": b"1"}


def test_a_full_map_is_said_so_and_has_grown_at_the_next_try(tmp_path: Path) -> None:
    with LmdbStore(tmp_path, map_size_bytes=SMALL_MAP) as store:

        def write() -> None:
            with store.write():
                for number in range(20):
                    store.put(b"%d" % number, bytes(SMALL_MAP // 10))

        with pytest.raises(DiskFullError):
            write()
        assert store.get(b"0") is None
        with pytest.raises(DiskFullError):
            write()
        write()
        assert len(list(store.scan(b""))) == 20


def test_the_map_grows_before_it_is_full(tmp_path: Path) -> None:
    with LmdbStore(tmp_path, map_size_bytes=SMALL_MAP) as store:
        for number in range(60):
            with store.write():
                store.put(b"%d" % number, bytes(SMALL_MAP // 20))
        assert len(list(store.scan(b""))) == 60


@pytest.mark.parametrize(
    ("number", "expected"),
    [(5, StoreUnavailableError), (13, NotWritableError), (28, DiskFullError), (30, NotWritableError)],
)
def test_the_errors_of_the_system_have_ours(number: int, expected: type[Exception]) -> None:
    assert type(translate(OSError(number, "said by the system"))) is expected


def test_writing_needs_a_transaction_on_this_thread(tmp_path: Path) -> None:
    with LmdbStore(tmp_path) as store:
        with pytest.raises(RuntimeError):
            store.put(b"a", b"1")
        refused = []

        def write_elsewhere() -> None:
            try:
                store.delete(b"a")
            except RuntimeError:
                refused.append(True)

        with store.write():
            thread = threading.Thread(target=write_elsewhere)
            thread.start()
            thread.join()
        assert refused == [True]


def test_writers_on_several_threads_take_turns(tmp_path: Path) -> None:
    with LmdbStore(tmp_path) as store:

        def count() -> None:
            for _ in range(20):
                with store.write():
                    store.put(b"n", b"%d" % (int(store.get(b"n") or b"0") + 1))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.get(b"n") == b"80"
        with store.write(), pytest.raises(RuntimeError), store.write():
            pass


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    filled(tmp_path, a="1")
    with LmdbStore(tmp_path) as store:

        def fail_within() -> None:
            with store.write():
                store.put(b"a", b"2")
                store.delete(b"a")
                store.put(b"b", b"3")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_within()
        assert dict(store.scan(b"")) == {b"a": b"1"}


@pytest.mark.parametrize(("at", "kept"), [("within", {b"a": b"1"}), ("after", {b"a": b"2", b"b": b"3"})])
def test_a_process_killed_within_a_transaction_keeps_the_old_state_and_after_it_the_new(
    tmp_path: Path, at: str, kept: dict[bytes, bytes]
) -> None:
    filled(tmp_path, a="1")
    code = """
store = LmdbStore(Path(sys.argv[1]))
def pause(): print("here", flush=True); sys.stdin.readline()
with store.write():
    store.put(b"a", b"2")
    store.put(b"b", b"3")
    if sys.argv[2] == "within": pause()
pause()
"""
    process = run(code, str(tmp_path), at)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with LmdbStore(tmp_path) as store:
        assert dict(store.scan(b"")) == kept


def test_the_writer_sees_its_own_writes_and_other_threads_the_last_commit(tmp_path: Path) -> None:
    filled(tmp_path, a="1", c="3")
    with LmdbStore(tmp_path) as store:
        seen: list[object] = []
        with store.write():
            store.put(b"b", b"2")
            store.delete(b"c")
            assert (store.get(b"b"), store.get(b"c")) == (b"2", None)
            assert list(store.scan(b"")) == [(b"a", b"1"), (b"b", b"2")]
            thread = threading.Thread(target=lambda: seen.extend([store.get(b"b"), dict(store.scan(b""))]))
            thread.start()
            thread.join()
        assert seen == [None, {b"a": b"1", b"c": b"3"}]
        assert (store.get(b"b"), store.get(b"c")) == (b"2", None)


def test_a_scan_and_a_snapshot_stay_at_their_moment(tmp_path: Path) -> None:
    filled(tmp_path, a="1", b="2")
    with LmdbStore(tmp_path) as store, store.snapshot() as moment:
        scanned = store.scan(b"")
        assert next(scanned) == (b"a", b"1")
        with store.write():
            store.delete(b"b")
        assert list(scanned) == [(b"b", b"2")]
        assert moment.get(b"b") == b"2"
        assert [key for key, _ in moment.scan(b"")] == [b"a", b"b"]
        assert store.get(b"b") is None
        with pytest.raises(RuntimeError):
            moment.put(b"a", b"9")


def test_scan_takes_a_prefix_and_a_start(tmp_path: Path) -> None:
    filled(tmp_path, a="0", b1="1", b2="2", b3="3", c="4")
    with LmdbStore(tmp_path) as store:
        assert [key for key, _ in store.scan(b"b")] == [b"b1", b"b2", b"b3"]
        assert [key for key, _ in store.scan(b"b", b"2")] == [b"b2", b"b3"]
        assert list(store.scan(b"d")) == []


def test_a_ledger_s_state_lives_on_disk_as_in_memory(tmp_path: Path) -> None:
    roots = []
    for block in range(3):
        with LmdbStore(tmp_path) as store:
            state = State(store)
            for number in range(0, 60, block + 1):
                state.put(b"key%d" % number, b"%d" % block)
            state.delete(b"key%d" % block)
            with store.write():
                roots.append(state.commit())
            assert state.root() == roots[-1] == checked_root(store)
    assert len(set(roots)) == 3


def test_a_flipped_byte_is_found_before_it_does_harm(tmp_path: Path) -> None:
    with LmdbStore(tmp_path) as store:
        state = State(store)
        for number in range(200):
            state.put(b"key%d" % number, bytes(20))
        with store.write():
            root = state.commit()
    check_file(tmp_path)
    file = tmp_path / "data.mdb"
    data = file.read_bytes()
    found = 0
    for place in range(11, len(data), len(data) // 80):
        file.write_bytes(data[:place] + bytes((data[place] ^ 0x41,)) + data[place + 1 :])
        try:
            check_file(tmp_path)
            with LmdbStore(tmp_path) as store:
                assert checked_root(store) == State(store).root() == root  # The byte lay in no page that is in use.
        except (StoreCorruptError, StoreFormatError, CorruptPageError):
            found += 1
    assert found > 20


def test_the_check_of_a_file_takes_the_folder_and_finds_a_missing_file(tmp_path: Path) -> None:
    filled(tmp_path, a="1")
    with LmdbStore(tmp_path), pytest.raises(FolderInUseError):
        check_file(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"")
    with pytest.raises(StoreCorruptError):
        check_file(tmp_path)


def test_growth_is_measured_at_each_size(tmp_path: Path) -> None:
    figures = measure_growth(tmp_path, [100, 1000], keys_per_block=20)
    rows = figures["sizes"]
    assert isinstance(rows, list)
    assert [row["keys"] for row in rows] == [100, 1000]
    for row in rows:
        assert row["block_ms"] >= row["tree_ms"] > 0
        assert row["floor_ms"] > 0
        assert row["bytes_per_key"] > 80
