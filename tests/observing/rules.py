"""What the shipped dashboard and alert rules name."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCRAPES = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "salus.json"
RUNBOOK = ROOT / "docs" / "runbook.md"
_NAME = re.compile(r"\b(?:salus|process)_[a-z_]+")


def alerts() -> list[dict[str, Any]]:
    """All alert rules. The file is JSON, which YAML includes."""
    return [rule for group in json.loads(ALERTS.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> list[str]:
    """Every expression of rules and panels."""
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [*(rule["expr"] for rule in alerts()), *panels]


def figures_named() -> set[str]:
    """Every figure they name, as a scrape shows it."""
    return {name for query in queries() for name in _NAME.findall(query)}


def names_in(scrape: str) -> set[str]:
    """Names of all samples in a scrape."""
    return {re.split(r"[{ ]", line)[0] for line in scrape.splitlines() if line and not line.startswith("#")}
