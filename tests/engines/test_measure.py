"""The measurements run and count what they say; how fast this machine is, no test asks."""

from pathlib import Path

import pytest

from salus.engines.measure import measure_ledger, measure_verify


@pytest.mark.parametrize(("members", "signatures"), [(1, 1), (4, 2)])
def test_measure_ledger_gives_figures_beside_their_floors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int, signatures: int
) -> None:
    monkeypatch.setattr("salus.engines.measure._WARM_S", 0.05)
    monkeypatch.setattr("salus.engines.measure.CALLERS", 50)
    figures = measure_ledger(tmp_path, 0.1, members=members, signatures=signatures)
    assert (figures["members"], figures["signatures"], figures["refused"]) == (members, signatures, 0)
    assert figures["txs"] >= 50
    assert all(value > 0 for name, value in figures.items() if name != "refused")


def test_measure_verify_gives_figures_beside_their_floor() -> None:
    figures = measure_verify(70)
    assert all(value > 0 for value in figures.values())
