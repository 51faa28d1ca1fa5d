"""`growth`: a block of 500 new keys in a state of 10,000, 1,000,000 and 5,000,000 keys, made durable.

What must not grow is the cost of a block; bytes per key are reported. Floor: the same values made durable in the same
store without a tree, whose own growth is that of LMDB and the disk. Beside the times stand the writes of a block:
random keys share their pages while there are few, and lie alone when there are many, whatever tree is kept over them.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from salus.cli.bench.figures import Figure, Options, Outcome, at_most
from salus.engines.growth import measure_growth

NAME = "growth"
TARGETS = {"block_ratio": at_most(2)}
_SIZES = (10_000, 1_000_000, 5_000_000)
_SIZES_SHORT = (500, 20_000)
_KEYS_PER_BLOCK = 500
_FLOORS = {"floor_ms": "bare_ms", "floor_writes": "bare_writes"}


def measure(options: Options) -> Outcome:
    """Takes minutes: five million keys are laid down first."""
    sizes = _SIZES_SHORT if options.short else _SIZES
    with tempfile.TemporaryDirectory(prefix="salus-bench-", dir=options.folder) as folder:
        found = measure_growth(Path(folder), sizes, _KEYS_PER_BLOCK)
    figures: dict[str, Figure] = {}
    floors: dict[str, Figure] = {}
    for row in cast(list[Mapping[str, float]], found["sizes"]):
        name = f"keys_{row['keys']:.0f}"
        floors |= {f"{name}_{told}": row[key] for key, told in _FLOORS.items()}
        figures |= {f"{name}_{key}": value for key, value in row.items() if key != "keys" and key not in _FLOORS}
    figures |= {name: cast(float, found[name]) for name in ("block_ratio", "ratio")}
    figures["tree_ratio"] = figures.pop("ratio")
    floors["bare_ratio"] = cast(float, found["floor_ratio"])
    return Outcome(NAME, figures, TARGETS, floors)
