"""One promise, three places: a folder, a server that speaks S3 in memory, one that checks signatures."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from salus.core.ids import MemberId
from salus.vault.formats import FORMAT, NAME, VaultFormatError, prepare
from salus.vault.s3 import Bucket, CredentialsError, s3_storage
from salus.vault.storage import FolderStorage, Storage, StorageError
from salus.vault.vault import BlobStore
from tests.support.servers import S3Server, gofakes3, versitygw

MERCY = MemberId("mercy")
BATCH = bytes(16)
SERVERS = {"gofakes3": gofakes3, "versitygw": versitygw}


@pytest.fixture(scope="module", params=["folder", *SERVERS])
def place(request: pytest.FixtureRequest) -> Iterator[S3Server | None]:
    if request.param == "folder":
        yield None
        return
    with SERVERS[request.param]() as server:
        yield server


@pytest.fixture(scope="module")
def strict() -> Iterator[S3Server]:
    with versitygw() as server:
        yield server


def environment(server: S3Server) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": server.key, "AWS_SECRET_ACCESS_KEY": server.secret}


def bucket(server: S3Server, prefix: str | None = None, credentials: Path | None = None) -> Bucket:
    return Bucket(server.bucket, server.endpoint, prefix=prefix, credentials=credentials)


@pytest.fixture
def storage(place: S3Server | None, tmp_path: Path) -> Storage:
    """Empty storage at each place."""
    if place is None:
        return FolderStorage(tmp_path / "vault")
    return s3_storage(bucket(place, prefix=uuid4().hex), environment(place))


def blobs(*names: bytes) -> dict[bytes, bytes]:
    return {sha256(name * 100).digest(): name * 100 for name in names}


def test_what_is_absent_reads_as_none_lists_as_nothing_and_may_be_deleted(storage: Storage) -> None:
    assert storage.read("packs/a/b", 0, 10) is None
    assert list(storage.list("packs")) == []
    storage.delete("packs/a/b")


def test_ranges_are_read_and_end_where_the_object_ends(storage: Storage) -> None:
    storage.put("packs/a/b", b"0123456789")
    ranges = {(0, 10): b"0123456789", (3, 4): b"3456", (8, 10): b"89", (10, 5): b"", (99, 1): b"", (0, 0): b""}
    assert {place: storage.read("packs/a/b", *place) for place in ranges} == ranges


def test_an_object_takes_the_place_of_another_and_is_listed_once(storage: Storage) -> None:
    storage.put("packs/a/b", b"old" * 1000)
    storage.put("packs/a/b", b"new")
    storage.put("packs/a/c", b"")
    storage.put("other", b"x")
    assert storage.read("packs/a/b", 0, 99) == b"new"
    assert sorted(name for name, _ in storage.list("packs")) == ["packs/a/b", "packs/a/c"]
    storage.delete("packs/a/b")
    assert [name for name, _ in storage.list("packs")] == ["packs/a/c"]


def test_of_many_who_create_an_object_one_does(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: storage.create("one", b"%d" % number), range(8)))
    assert won.count(True) == 1
    assert storage.read("one", 0, 9) == b"%d" % won.index(True)


def test_a_vault_keeps_joins_reads_and_drops_there(storage: Storage) -> None:
    store = BlobStore(storage)
    first, more = blobs(b"a", b"b"), blobs(b"c")
    store.keep(MERCY, BATCH, first)
    store.keep(MERCY, BATCH, more)
    assert BlobStore(storage).read(MERCY, BATCH, [*first, *more, bytes(32)]) == [*first.values(), *more.values(), None]
    assert [(author, batch) for author, batch, _ in store.packs()] == [(MERCY, BATCH)]
    store.drop(MERCY, BATCH)
    assert list(store.packs()) == []
    assert store.read(MERCY, BATCH, list(first)) == [None, None]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "head"])
def test_a_damaged_pack_counts_as_lost_and_can_be_written_anew(storage: Storage, damage: str) -> None:
    kept = blobs(b"a", b"b")
    BlobStore(storage).keep(MERCY, BATCH, kept)
    name = f"packs/mercy/{BATCH.hex()}"
    data = bytearray(storage.read(name, 0, 10_000) or b"")
    data[{"head": 0}.get(damage, len(data) - 1)] ^= 1
    storage.put(name, bytes(data[: {"cut": len(data) - 150, "empty": 0}.get(damage, len(data))]))
    again = BlobStore(storage)
    assert None in again.read(MERCY, BATCH, list(kept))
    again.keep(MERCY, BATCH, kept)
    assert again.read(MERCY, BATCH, list(kept)) == list(kept.values())


class Once:
    """Fails once at one point."""

    def __init__(self, point: str) -> None:
        self.point = point

    def hit(self, point: str) -> None:
        if point == self.point:
            self.point = ""
            raise OSError


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_pack_that_failed_is_not_there_or_is_there_whole(storage: Storage, when: str) -> None:
    first, more = blobs(b"a"), blobs(b"b")
    store = BlobStore(storage, Once(f"vault.pack:{when}"))
    with pytest.raises(OSError):
        store.keep(MERCY, BATCH, first)
    found = [None] if when == "before" else list(first.values())
    assert store.read(MERCY, BATCH, list(first)) == BlobStore(storage).read(MERCY, BATCH, list(first)) == found
    store.keep(MERCY, BATCH, more)
    assert store.read(MERCY, BATCH, [*first, *more]) == [*found, *more.values()]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_drop_that_failed_dropped_nothing_or_all(storage: Storage, when: str) -> None:
    kept = blobs(b"a")
    store = BlobStore(storage, Once(f"vault.drop:{when}"))
    store.keep(MERCY, BATCH, kept)
    with pytest.raises(OSError):
        store.drop(MERCY, BATCH)
    assert store.read(MERCY, BATCH, list(kept)) == (list(kept.values()) if when == "before" else [None])


def test_first_lights_vault_is_marked_and_a_newer_one_refused(storage: Storage) -> None:
    kept = blobs(b"a")
    BlobStore(storage).keep(MERCY, BATCH, kept)
    storage.delete(NAME)  # As first light left it.
    assert BlobStore(storage).read(MERCY, BATCH, list(kept)) == list(kept.values())
    assert storage.read(NAME, 0, 9) == b"%d\n" % FORMAT
    for found in (b"99\n", b"what"):
        storage.put(NAME, found)
        with pytest.raises(VaultFormatError):
            BlobStore(storage).keep(MERCY, BATCH, kept)
        with pytest.raises(VaultFormatError):
            BlobStore(storage).read(MERCY, BATCH, list(kept))


def test_a_step_that_fails_is_begun_again_and_the_number_changes_last(storage: Storage) -> None:
    BlobStore(storage).keep(MERCY, BATCH, blobs(b"a"))
    done: list[int] = []

    def step(_storage: Storage) -> None:
        done.append(FORMAT)
        if len(done) == 1:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        prepare(storage, {FORMAT: step}, FORMAT + 1)
    assert storage.read(NAME, 0, 9) == b"%d\n" % FORMAT
    prepare(storage, {FORMAT: step}, FORMAT + 1)
    assert (done, storage.read(NAME, 0, 9)) == ([FORMAT, FORMAT], b"%d\n" % (FORMAT + 1))


def test_a_wrong_secret_is_refused_and_shown_to_nobody(strict: S3Server) -> None:
    wrong = environment(strict) | {"AWS_SECRET_ACCESS_KEY": "not-that-one"}
    store = BlobStore(s3_storage(bucket(strict), wrong))
    for act in (
        lambda: store.keep(MERCY, BATCH, blobs(b"a")),
        lambda: store.read(MERCY, BATCH, [bytes(32)]),
        lambda: store.drop(MERCY, BATCH),
        lambda: list(store.packs()),
    ):
        with pytest.raises(StorageError) as error:
            act()
        shown = f"{error.value}{error.value.__cause__}"
        assert "not-that-one" not in shown
        assert strict.key not in shown


def test_a_server_that_is_away_is_away_and_its_packs_are_not_taken_for_lost() -> None:
    with gofakes3() as server:
        storage = s3_storage(bucket(server), environment(server))
        store, kept = BlobStore(storage), blobs(b"a", b"b")
        store.keep(MERCY, BATCH, kept)
        store.read(MERCY, BATCH, list(kept))
    for one in (store, BlobStore(storage)):
        with pytest.raises(StorageError):
            one.read(MERCY, BATCH, list(kept))
        with pytest.raises(StorageError):
            one.keep(MERCY, BATCH, blobs(b"c"))


def test_keys_come_from_the_environment_or_a_file_that_its_owner_alone_reads(strict: S3Server, tmp_path: Path) -> None:
    for found in ({}, {"AWS_ACCESS_KEY_ID": "a"}, {"AWS_SECRET_ACCESS_KEY": "b"}):
        with pytest.raises(CredentialsError):
            s3_storage(bucket(strict), found)
    path = tmp_path / "keys.toml"
    with pytest.raises(CredentialsError):
        s3_storage(bucket(strict, credentials=path), {})
    path.write_text(f'access_key_id = "{strict.key}"\nsecret_access_key = "{strict.secret}"\n')
    os.chmod(path, 0o640)
    with pytest.raises(CredentialsError):
        s3_storage(bucket(strict, credentials=path), {})
    os.chmod(path, 0o600)
    storage = s3_storage(bucket(strict, prefix=uuid4().hex, credentials=path), {})
    storage.put("a", b"b")
    assert storage.read("a", 0, 1) == b"b"
    path.write_text("no toml")
    with pytest.raises(CredentialsError):
        s3_storage(bucket(strict, credentials=path), {})


def test_a_sector_that_cannot_be_read_is_lost_and_mended(tmp_path: Path) -> None:
    store, kept = BlobStore(tmp_path), blobs(b"a")
    store.keep(MERCY, BATCH, kept)
    path = tmp_path / "packs" / "mercy" / BATCH.hex()
    path.unlink()
    path.symlink_to("/proc/self/mem")  # Its first page is not mapped: reading it is EIO, as on a broken disk.
    assert FolderStorage(tmp_path).read(f"packs/mercy/{BATCH.hex()}", 0, 4) == b""
    again = BlobStore(tmp_path)
    assert again.read(MERCY, BATCH, list(kept)) == [None]
    again.keep(MERCY, BATCH, kept)
    assert again.read(MERCY, BATCH, list(kept)) == list(kept.values())


def test_a_folder_named_from_where_one_stands_keeps_what_is_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = FolderStorage(Path("vault"))
    storage.put("packs/mercy/one", b"held")
    assert storage.create("packs/mercy/two", b"held")
    assert storage.read("packs/mercy/one", 0, 4) == b"held"
