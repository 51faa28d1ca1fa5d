"""`verify`: receipts checked offline, from their bytes to a verdict, as `salus verify` does.

Receipts of full blocks share a header whose votes are verified once; the figure for blocks of one transaction each is
reported beside it; `comet_…` are those of the CometBFT engine. Floor: Ed25519 verifications alone, by two threads.
"""

from salus.cli.bench.figures import Options, Outcome, at_least
from salus.engines.cometbft.measure import measure_comet_verify
from salus.engines.measure import measure_verify

NAME = "verify"
TARGETS = {"receipts_per_s": at_least(4_000)}
_RECEIPTS = 8_000
_RECEIPTS_SHORT = 128


def measure(options: Options) -> Outcome:
    """Needs no folder: a receipt is checked without one."""
    receipts = _RECEIPTS_SHORT if options.short else _RECEIPTS
    figures = measure_verify(receipts) | measure_comet_verify(receipts)
    floors = {name: figures.pop(name) for name in list(figures) if name.startswith("floor_")}
    return Outcome(NAME, figures, TARGETS, floors)
