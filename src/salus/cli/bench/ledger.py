"""`ledger`: signed transactions through `submit` into durable blocks, with one signature and with two.

The target is for one member, whose disk and processor are this machine's; four simulated members, which all apply,
sign and make durable every block here, are reported beside it. The collector is as calm as in a running member.
Floors: Ed25519 alone, and the same bytes stored alone.
"""

import tempfile
from pathlib import Path

from salus.cli.bench.figures import Figure, Options, Outcome, at_least
from salus.engines.measure import measure_ledger
from salus.node.collector import calm_collector

NAME = "ledger"
TARGETS = {"one_signature_txs_per_s": at_least(4_000)}
_SECONDS = 5.0
_SECONDS_SHORT = 0.2
_GIVEN = ("members", "signatures")
_CASES = (("one_signature", 1, 1), ("two_signatures", 1, 2), ("four_members", 4, 1))


def measure(options: Options) -> Outcome:
    """Each case on a fresh ledger."""
    seconds = _SECONDS_SHORT if options.short else _SECONDS
    figures: dict[str, Figure] = {}
    floors: dict[str, Figure] = {}
    for name, members, signatures in _CASES:
        with tempfile.TemporaryDirectory(prefix="salus-bench-", dir=options.folder) as folder, calm_collector():
            found = measure_ledger(Path(folder), seconds, members=members, signatures=signatures)
        for key, value in found.items():
            if key not in _GIVEN:
                (floors if key.startswith("floor_") else figures)[f"{name}_{key.removeprefix('floor_')}"] = value
    return Outcome(NAME, figures, TARGETS, floors)
