"""`salus ledger check` finds whatever was changed in a member's store, and says at which block."""

from collections.abc import Callable
from pathlib import Path

import pytest

from salus.core.errors import UnavailableError
from salus.core.ids import MemberId
from salus.core.wire import decode, encode, replace
from salus.engines.check import Report, check_folder, check_ledger
from salus.engines.layout import (
    BLOCKS_PREFIX,
    GENESIS_KEY,
    INDEX_PREFIX,
    NEWEST_KEY,
    StoredBlock,
    block_at,
    block_key,
)
from salus.engines.lmdb_store import LmdbStore
from salus.engines.receipts import Vote
from salus.machine.block import Header, header_id
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX
from tests.engines.cluster import opened, running
from tests.support.network import network

MERCY = MemberId("mercy")
NET = network(4)
OTHER = network(4, seed=b"another network")

Harm = Callable[[LmdbStore], None]


async def history(folder: Path) -> Path:
    """Seven blocks in mercy's folder: a heartbeat, then one transaction each, of which one is refused."""
    async with running(folder, NET) as cluster:
        for name, sponsor in zip("abcdae", ("mercy", "st-luke", "mercy", "mercy", "lakeside", "mercy"), strict=True):
            await cluster.engine.submit(cluster.create(name, sponsor))
    return folder / "mercy"


def flipped(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def flip(prefix: bytes, number: int = 0, at: int = -1) -> Harm:
    """Change one byte of the value of some key with this prefix."""

    def harm(store: LmdbStore) -> None:
        key, value = list(store.scan(prefix))[number]
        store.put(key, flipped(value, at))

    return harm


def drop(prefix: bytes, number: int = 0) -> Harm:
    def harm(store: LmdbStore) -> None:
        store.delete(list(store.scan(prefix))[number][0])

    return harm


def stored(store: LmdbStore, height: int) -> StoredBlock:
    found = block_at(store, height)
    assert found is not None
    return found


def rewrite(height: int, change: Callable[[StoredBlock], StoredBlock]) -> Harm:
    def harm(store: LmdbStore) -> None:
        store.put(block_key(height), encode(change(stored(store, height))))

    return harm


def swap_blocks(store: LmdbStore) -> None:
    second, third = store.get(block_key(2)), store.get(block_key(3))
    assert second is not None
    assert third is not None
    store.put(block_key(2), third)
    store.put(block_key(3), second)


def cut_tail(store: LmdbStore) -> None:
    last = max(store.scan(BLOCKS_PREFIX))[0]
    store.delete(last)


def other_header(each: StoredBlock) -> StoredBlock:
    """A header signed by all, as if all had lied together."""
    header = replace(each.header, app_hash=flipped(each.header.app_hash))
    return signed(replace(each, header=header))


def signed(each: StoredBlock) -> StoredBlock:
    votes = tuple(Vote(p.member, p.validator.sign(header_id(each.header))) for p in NET.parties)
    return replace(each, votes=votes)


def other_results(each: StoredBlock) -> StoredBlock:
    return replace(each, results=tuple(replace(result, code="x") for result in each.results))


def other_chain(each: StoredBlock) -> StoredBlock:
    return signed(replace(each, block=replace(each.block, chain="other"), header=replace(each.header, chain="other")))


def other_tx(each: StoredBlock) -> StoredBlock:
    return replace(each, block=replace(each.block, txs=(flipped(each.block.txs[0]), *each.block.txs[1:])))


HARMS: list[tuple[str, Harm, str, int]] = [
    ("a byte of a stored block", flip(BLOCKS_PREFIX, 2, at=1), "block", 3),
    ("a byte of a transaction in a block", rewrite(3, other_tx), "header", 3),
    ("a missing block", drop(BLOCKS_PREFIX, 3), "block", 4),
    ("two blocks in each other's place", swap_blocks, "chain", 2),
    ("a block of another chain", rewrite(4, other_chain), "chain", 4),
    ("votes cut to two of four", rewrite(3, lambda each: replace(each, votes=each.votes[:2])), "votes", 3),
    ("one vote three times", rewrite(3, lambda each: replace(each, votes=each.votes[:1] * 3)), "votes", 3),
    ("a header that all signed and none computed", rewrite(3, other_header), "header", 3),
    ("other results", rewrite(3, other_results), "block", 3),
    ("the last block cut off", cut_tail, "newest", 6),
    ("another newest header", flip(NEWEST_KEY), "newest", 7),
    ("a byte of a value", flip(VALUES_PREFIX, 3), "value", 7),
    ("a missing value", drop(VALUES_PREFIX, 3), "value", 7),
    ("a value too many", lambda store: store.put(VALUES_PREFIX + b"cells/x", b"x"), "value", 7),
    ("a byte of a page", flip(PAGES_PREFIX), "page", 7),
    ("a missing page", drop(PAGES_PREFIX), "page", 7),
    ("a page too many", lambda store: store.put(PAGES_PREFIX + b"4fff", b"x"), "page", 7),
    ("a byte of the index", flip(INDEX_PREFIX), "index", 7),
    ("a missing row of the index", drop(INDEX_PREFIX), "index", 7),
    ("a key of nobody's", lambda store: store.put(b"m", b"x"), "stray", 7),
    ("a byte of the genesis", flip(GENESIS_KEY), "genesis", 0),
]


@pytest.mark.parametrize(("why", "harm", "what", "height"), HARMS, ids=[row[0] for row in HARMS])
async def test_check_finds_it(tmp_path: Path, why: str, harm: Harm, what: str, height: int) -> None:
    folder = await history(tmp_path)
    with LmdbStore(folder) as store, store.write():
        harm(store)
    report = check_folder(folder, MERCY, NET.genesis)
    assert [(each.what, each.height) for each in report.differences] == [(what, height)], why


async def test_check_finds_the_ledger_of_another_network(tmp_path: Path) -> None:
    report = check_folder(await history(tmp_path), MERCY, OTHER.genesis)
    assert [each.what for each in report.differences] == ["genesis"]


async def test_check_finds_flipped_bytes_in_the_file(tmp_path: Path) -> None:
    folder = await history(tmp_path)
    file = folder / "data.mdb"
    whole = file.read_bytes()
    with LmdbStore(folder) as store:
        contents = [value for prefix in (VALUES_PREFIX, BLOCKS_PREFIX) for _, value in list(store.scan(prefix))[-2:]]
    for content in contents:
        assert content in whole
        file.write_bytes(whole.replace(content, flipped(content, len(content) // 2)))
        assert not check_folder(folder, MERCY, NET.genesis).is_sound
    file.write_bytes(whole[: len(whole) // 2])
    assert [each.what for each in check_folder(folder, MERCY, NET.genesis).differences] == ["file"]


async def test_check_of_a_folder_in_use_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, NET):
        with pytest.raises(UnavailableError):
            check_folder(tmp_path / "mercy", MERCY, NET.genesis)


async def test_check_of_a_sound_ledger_counts_what_it_saw(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    async with running(tmp_path, NET) as cluster:
        for name in "aab":
            await cluster.engine.submit(cluster.create(name, "mercy"))
        replica = cluster.engine.replica(MERCY)
        report = check_ledger(replica, lambda done, total: told.append((done, total)))
        assert report == Report(
            member=MERCY,
            height=3,
            transactions=2,
            votes=12,
            values=len(list(replica.values_and_tree.scan(VALUES_PREFIX))),
            app_hash=replica.header.app_hash,
        )
        assert report.is_sound
        assert told == [(3, 3)]
        assert decode(Header, replica.values_and_tree.get(NEWEST_KEY) or b"").height == 3
        assert (await cluster.engine.submit(cluster.create("c"))).height == 4


def test_check_of_a_ledger_without_blocks_is_sound(tmp_path: Path) -> None:
    opened(tmp_path, NET).close()
    assert check_folder(tmp_path / "mercy", MERCY, NET.genesis).is_sound
