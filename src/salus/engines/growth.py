"""How the cost of a block grows with the size of the state: the figure behind "O(log n) pages".

Fills a store with random keys and times a block of further ones at each size, as a member would commit it: values and
tree in one durable transaction. For `salus bench growth`; `fill` also for `salus bench joining`.
"""

import time
from array import array
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median

from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import no_cyclic_collector
from salus.state import Prefixed, State, tree
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX

BLOCKS = 9  # Per size; the median counts.
VALUE_BYTES = 80  # About a batch's entry: root, author, committee, height.
_REGIONS = 256  # By the first byte of the key hash, so that one region's keys share their pages while they are filled.

Figures = dict[str, float]

_IO = Path("/proc/self/io")


def measure_growth(folder: Path, sizes: Sequence[int], keys_per_block: int) -> dict[str, object]:
    """Fill a fresh store in `folder` up to each size in turn and time blocks of new keys there.

    `sizes` ascend. Answers `sizes`, one row each: {keys, tree_ms, block_ms, block_ms_max, block_writes (calls that
    write a page or several that lie together), floor_ms and floor_writes (the same values made durable without a tree),
    bytes_per_key (key, value, tree and LMDB's own), tree_bytes_per_key, fill_keys_per_s}; and `ratio`: the tree's time
    at the last size over that at the first, `block_ratio` and `floor_ratio` likewise.
    """
    rows: list[Figures] = []
    with LmdbStore(folder) as store, no_cyclic_collector():
        held = 0
        for size in sizes:
            began = time.perf_counter()
            fill(store, held, size)
            filled_s = time.perf_counter() - began
            rate = (size - held) / filled_s if size > held else 0.0
            rows.append({"keys": size, "fill_keys_per_s": round(rate)} | _sized(store, size))
            held = size + BLOCKS * keys_per_block
            rows[-1] |= _timed(store, size, keys_per_block) | _floor(store, held, keys_per_block)
    ratios = {name: rows[-1][f"{name}_ms"] / rows[0][f"{name}_ms"] for name in ("tree", "block", "floor")}
    return {
        "keys_per_block": keys_per_block,
        "sizes": rows,
        "ratio": round(ratios["tree"], 2),
        "block_ratio": round(ratios["block"], 2),
        "floor_ratio": round(ratios["floor"], 2),
    }


def _timed(store: LmdbStore, first: int, keys_per_block: int) -> Figures:
    """Commit blocks of new keys: the tree's share of the time, and all of it with fsync, in milliseconds."""
    trees, blocks = [], []
    written = _writes()
    for block in range(BLOCKS):
        start = first + block * keys_per_block
        changes = {_key(number): _value(number) for number in range(start, start + keys_per_block)}
        began = time.perf_counter()
        with store.write():
            values = Prefixed(store, VALUES_PREFIX)
            for key in sorted(changes):
                values.put(key, changes[key])
            before_tree = time.perf_counter()
            tree.update(Prefixed(store, PAGES_PREFIX), changes)
            trees.append(1000 * (time.perf_counter() - before_tree))
        blocks.append(1000 * (time.perf_counter() - began))
    return {
        "tree_ms": round(median(trees), 2),
        "block_ms": round(median(blocks), 2),
        "block_ms_max": round(max(blocks), 2),
        "block_writes": (_writes() - written) // BLOCKS,
    }


def _floor(store: LmdbStore, first: int, keys_per_block: int) -> Figures:
    """What the disk and LMDB take for the same values alone, in milliseconds. They are taken out again."""
    values = Prefixed(store, VALUES_PREFIX)
    took, written = [], []
    for block in range(BLOCKS):
        numbers = range(first + block * keys_per_block, first + (block + 1) * keys_per_block)
        rows = sorted((_key(number), _value(number)) for number in numbers)
        before, began = _writes(), time.perf_counter()
        with store.write():
            for key, value in rows:
                values.put(key, value)
        took.append(1000 * (time.perf_counter() - began))
        written.append(_writes() - before)
        with store.write():
            for key, _ in rows:
                values.delete(key)
    return {"floor_ms": round(median(took), 2), "floor_writes": median(written)}


def fill(store: LmdbStore, first: int, last: int) -> None:
    """Add keys `first` to `last`, region by region of the tree: far fewer pages are written twice."""
    regions = [array("Q") for _ in range(_REGIONS)]
    for number in range(first, last):
        regions[sha256(_key(number)).digest()[0]].append(number)
    for numbers in regions:
        if numbers:
            state = State(store)
            for number in numbers:
                state.put(_key(number), _value(number))
            with store.write():
                state.commit()


def _sized(store: LmdbStore, keys: int) -> Figures:
    with store.snapshot() as view:
        tree_bytes = sum(len(key) + len(page) for key, page in Prefixed(view, PAGES_PREFIX).scan(b""))
    return {
        "bytes_per_key": round(store.size_bytes() / max(keys, 1), 1),
        "tree_bytes_per_key": round(tree_bytes / max(keys, 1), 1),
    }


def _key(number: int) -> bytes:
    return b"records/batch/" + sha256(b"key%d" % number).digest()[:16]


def _value(number: int) -> bytes:
    return (sha256(b"value%d" % number).digest() * 3)[:VALUE_BYTES]


def _writes() -> int:
    """How often this process has written to a file so far; 0 where the system does not tell."""
    try:
        told = _IO.read_text()
    except OSError:
        return 0
    return int(told.partition("syscw:")[2].split()[0])
