"""The simulation of many hospitals: its queues are those of theory, every figure counts, what gives way is named."""

import json
from dataclasses import fields, replace

import pytest

from salus.cli.main import main
from salus.cli.scale.command import as_data
from salus.cli.scale.events import Events, Server, percentile
from salus.cli.scale.network import Play
from salus.cli.scale.parameters import Assumed, Costs, ParameterError, assumed_from, costs_from, shipped_costs
from salus.cli.scale.report import cost_of, holds, report

SMALL = Assumed(hospitals=8, encounters=200.0, consents=50.0)
SECONDS = 20.0
BLOCKS_OF_BYTES = 2_000.0  # So small that a block's limit is felt.


@pytest.mark.parametrize(
    "given",
    [{"delay": 3.0}, {"delay_ms": 0.0}, {"delay_ms": -1.0}, {"machine_us": 1.0, "seal_us": True}, {"": 1.0}],
)
def test_what_is_no_figure_of_it_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        assumed_from(given) if "delay_ms" in given else costs_from(given, shipped_costs())
    with pytest.raises(ParameterError):
        costs_from({"seal_us": 1.0})


def test_a_queue_is_as_long_as_theory_says() -> None:
    """M/D/1: the mean wait is s·ρ/(2(1-ρ)) (Pollaczek 1930, Khinchin 1932)."""
    play = Play(shipped_costs(), SMALL, seed=7)
    events, server, waits = play.events, Server(play.events), list[float]()
    work_s, share = 0.01, 0.7

    def arrive() -> None:
        began_s = events.now_s
        server.serve(work_s, lambda: waits.append(events.now_s - began_s - work_s))
        events.after(play.chance.expovariate(share / work_s), arrive)

    arrive()
    events.run(2_000.0)
    assert sum(waits) / len(waits) == pytest.approx(work_s * share / (2 * (1 - share)), rel=0.05)
    assert server.utilisation(2_000.0) == pytest.approx(share, rel=0.02)


def test_two_cores_serve_two_at_once() -> None:
    events, done = Events(), list[float]()
    server = Server(events, cores=2)
    for _ in range(4):
        server.serve(1.0, lambda: done.append(events.now_s))
    events.run(10.0)
    assert done == [1.0, 1.0, 2.0, 2.0]
    assert percentile(done, 0.5) == 2.0


def test_a_seed_plays_one_hour_and_another_seed_another() -> None:
    first, again, other = (as_data(report(shipped_costs(), SMALL, seed, loads=(1.0,))) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_as_many_are_seen_as_come() -> None:
    played = Play(shipped_costs(), SMALL, seed=3).run(200.0)
    expected = SMALL.hospitals * SMALL.encounters_per_s * 200.0
    assert len(played.read_s) == pytest.approx(expected, rel=0.1)
    assert played.backlog < 0.1 * expected


@pytest.mark.parametrize("name", [field.name for field in fields(Costs)])
def test_every_cost_counts(name: str) -> None:
    costs, busy = shipped_costs(), replace(SMALL, consents=500.0)
    assert _shown(costs, busy) != _shown(replace(costs, **{name: getattr(costs, name) * 3}), busy)


@pytest.mark.parametrize("name", [field.name for field in fields(Assumed)])
def test_every_assumption_counts(name: str) -> None:
    costs, busy = shipped_costs(), replace(SMALL, block_bytes=BLOCKS_OF_BYTES)
    changed = {"validators": 4, "gossip_peers": 2, "committee": 7}.get(name, getattr(busy, name) * 3)
    assert _shown(costs, busy) != _shown(costs, replace(busy, **{name: changed}))


@pytest.mark.parametrize(
    ("name", "cost_us", "expected"),
    [
        ("machine_us", 40_000.0, "machine"),
        ("vote_us", 100_000.0, "ordering engine"),
        ("answer_us", 8_000.0, "keeper and gateway"),
    ],
)
def test_what_gives_way_is_named(name: str, cost_us: float, expected: str) -> None:
    costs = shipped_costs()
    usual, slow = (report(one, SMALL, 1, loads=(1.0, 2.0)) for one in (costs, replace(costs, **{name: cost_us})))
    assert slow.bottleneck == expected
    assert slow.gave_way
    assert slow.holds_to < usual.holds_to
    assert not holds(slow.loads[-1][1])


def test_the_command_answers_in_data(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--hospitals", "4", "--committee", "4", "--set", "patients=2000"]
    assert main(["simulate-scale", *small, "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert network["loads"][0]["read_ms"]["p50"] > 0
    assert main(["simulate-scale", *small, "--set", "patience=1"]) == 4
    assert "[cli.scale_parameter]" in capsys.readouterr().err
    assert main(["simulate-scale", *small]) == 0
    assert "for a patient and year" in " ".join(capsys.readouterr().out.split())


def _shown(costs: Costs, assumed: Assumed) -> object:
    played = Play(costs, assumed, 1).run(SECONDS)
    return cost_of(costs, assumed, played), played.utilisation, played.wire_bytes_per_s, played.read_s, played.write_s
