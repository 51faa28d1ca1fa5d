"""The report of codes that no sensitivity rule considered."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_report_names_each_code_of_the_sample_that_no_rule_considered() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tools.report_codes", "src/salus/cli/sample"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "http://loinc.org|11488-4" in run.stdout
    assert run.stdout.splitlines()[-1].endswith("codes that no rule considered")


def test_a_wrong_command_line_is_told_how_to_ask() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tools.report_codes"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 2
    assert "tools.report_codes FOLDER" in run.stderr
