"""The measurement runs and counts what it says; how fast this machine is, no test asks."""

from salus.engines.cometbft.measure import measure_comet_verify


def test_measure_comet_verify_gives_figures() -> None:
    figures = measure_comet_verify(70)
    assert set(figures) == {"comet_receipts_per_s", "comet_receipts_of_own_blocks_per_s", "comet_receipt_bytes"}
    assert all(value > 0 for value in figures.values())
