"""Every measurement runs in its short form and answers in the shape that is kept; how fast it was is not asked."""

import json

import pytest
import typer
from typer.testing import CliRunner

from salus.cli.bench import sealing
from salus.cli.bench.command import MODULES, bench, run
from salus.cli.bench.figures import Options, Outcome
from tests.support.apart import needs_cometbft

SHORT = Options(short=True, patients=2)
TARGETS = {
    "seal": {"records_per_s", "peak_rss_mib"},
    "read": {"first_1000_p95_ms", "first_100_p95_ms", "again_1000_p95_ms"},
    "consent": {"grant_p95_ms", "revoke_p95_ms"},
    "decide": {"cold_p95_ms", "memoised_p95_ms"},
    "ledger": {"one_signature_txs_per_s"},
    "growth": {"block_ratio"},
    "log": {"entries_1000_p95_ms"},
    "verify": {"receipts_per_s"},
    "size": {"full_batches_bytes_per_record", "bytes_per_consent_change"},
    "wire": set(),
    "network": {
        "up_s",
        "kvstore_ratio",
        "stock_kvstore_ratio",
        "finality_20_p50_ms",
        "finality_20_p95_ms",
        "finality_half_p95_ms",
        "records_per_s",
        "first_1000_p95_ms",
        "grant_p95_ms",
        "revoke_p95_ms",
        "return_s",
        "idle_cpu_percent",
    },
    "joining": {"state_sync_s"},
}
ALL = [pytest.param(name, marks=[needs_cometbft] if name in ("network", "joining") else []) for name in MODULES]


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(bench)
    return app


def test_an_unknown_measurement_is_refused_with_the_names_there_are() -> None:
    found = CliRunner().invoke(command(), ["speed", "--json"])
    assert found.exit_code == 2
    assert "size" in found.output


def test_every_measurement_has_its_targets_named_here() -> None:
    assert TARGETS.keys() == MODULES.keys()


@pytest.mark.parametrize("name", ALL)
def test_a_short_measurement_answers_in_the_shape_that_is_kept(name: str) -> None:
    outcome = run(name, SHORT)
    shown = json.loads(json.dumps(outcome.as_json()))
    assert list(shown) == ["name", "figures", "targets", "floors", "met"]
    assert shown["name"] == name
    assert shown["targets"].keys() == TARGETS[name]
    assert shown["targets"].keys() <= shown["figures"].keys()
    assert all(len(target) == 1 and target.keys() <= {"at_most", "at_least"} for target in shown["targets"].values())
    assert shown["floors"]
    assert all(isinstance(value, int | float) for value in [*shown["figures"].values(), *shown["floors"].values()])
    assert isinstance(shown["met"], bool)


def test_json_begins_with_the_machine_and_ends_with_one_object() -> None:
    found = CliRunner().invoke(command(), ["size", "--short", "--json"])
    assert found.exit_code == 0
    first, *_, last = [json.loads(line) for line in found.output.splitlines()]
    assert {"cores", "model", "python", "load_1_min"} <= first["machine"].keys()
    assert last["name"] == "size"


def test_sizes_follow_from_the_format_and_are_within_their_targets() -> None:
    assert run("size", SHORT).met


def test_people_see_a_table_with_targets_and_floors() -> None:
    found = CliRunner().invoke(command(), ["decide", "--short"])
    assert found.exit_code == 0
    assert "cold_p95_ms" in found.output
    assert "floor" in found.output


def test_a_missed_target_fails_the_command_unless_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Outcome("decide", {}, {}, {})
    monkeypatch.setattr("salus.cli.bench.command.run", lambda name, options: slow)
    monkeypatch.setattr(Outcome, "met", False)
    assert CliRunner().invoke(command(), ["decide", "--json"]).exit_code == 1
    assert CliRunner().invoke(command(), ["decide", "--json", "--short"]).exit_code == 0


def test_charts_are_repeated_under_patients_that_are_all_different(tmp_path_factory: pytest.TempPathFactory) -> None:
    charts = tmp_path_factory.mktemp("charts")
    written = sealing.write_charts(sealing.sample.FOLDER, charts, 5)
    ids = [one for path in charts.iterdir() for one in sealing.patient_ids(path.read_bytes())]
    assert written == len(ids) == len(set(ids)) == 5
