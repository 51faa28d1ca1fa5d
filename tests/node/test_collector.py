"""The collector of a process that serves: calm as long as any network runs, and as it was afterwards."""

import gc
from pathlib import Path

import pytest

from salus.node.collector import CalmCollector, calm_collector
from tests.node.stage import stage


def test_the_collector_is_set_back_when_the_last_one_ends_and_not_before() -> None:
    before, first, second = gc.get_threshold(), CalmCollector(), CalmCollector()
    first.begin()
    calm = gc.get_threshold()
    second.begin()
    first.end()
    assert (gc.get_threshold(), calm[0] > before[0]) == (calm, True)
    second.end()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_to_end_twice_or_without_beginning_changes_nothing() -> None:
    running, stranger = CalmCollector(), CalmCollector()
    running.begin()
    calm = gc.get_threshold()
    stranger.end()
    assert gc.get_threshold() == calm
    running.end()
    before = gc.get_threshold()
    running.end()
    assert gc.get_threshold() == before


async def test_a_network_calms_the_collector_while_it_runs(tmp_path: Path) -> None:
    before = gc.get_threshold()
    async with stage(tmp_path):
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before


def test_a_calm_block_ends_whatever_happens_in_it() -> None:
    before = gc.get_threshold()
    calm: list[int] = []

    def fail() -> None:
        with calm_collector():
            calm.append(gc.get_threshold()[0])
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert (gc.get_threshold(), calm[0] > before[0]) == (before, True)
