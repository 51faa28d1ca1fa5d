"""Writes docs/reference from the code: errors.md, findings.md, and operator-api.json.

Run `.venv/bin/python -m tools.make_reference`; a test compares the files with what this gives.
"""

import importlib
import io
import json
import pkgutil
from pathlib import Path

import salus
from salus.core.errors import IntegrityError, MalformedError, RefusalError, SalusError, UnavailableError
from salus.node.observing.findings import KINDS
from salus.node.observing.logs import Logs
from salus.node.observing.operating import Operating
from salus.node.observing.traces import Tracer

FILE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "errors.md"
FINDINGS = FILE.with_name("findings.md")
OPERATOR_API = FILE.with_name("operator-api.json")
FAMILIES: dict[type[SalusError], tuple[str, str]] = {
    RefusalError: ("refused", "the sender asks otherwise"),
    MalformedError: ("malformed", "the sender mends the bytes"),
    UnavailableError: ("unavailable", "wait, try again"),
    IntegrityError: ("integrity", "the operator looks; the node stops"),
}


def error_classes() -> list[type[SalusError]]:
    """Every error of the package, by code."""
    for module in pkgutil.walk_packages(salus.__path__, "salus."):
        importlib.import_module(module.name)
    found: list[type[SalusError]] = []
    pending: list[type[SalusError]] = [SalusError]
    while pending:
        for one in pending.pop().__subclasses__():
            if one.__module__.startswith("salus."):
                found.append(one)
                pending.append(one)
    return sorted(set(found), key=lambda one: (one.code, one.__name__))


def family_of(error: type[SalusError]) -> str:
    """The word for an error's family."""
    return next(word for family, (word, _) in FAMILIES.items() if issubclass(error, family))


def text() -> str:
    """The page."""
    lines = [
        "# Error codes",
        "",
        "Made by `tools/make_reference.py`. A code is stable and never reused. An error carries ids, codes and",
        "numbers, never a person's data.",
        "",
        "| family | who acts |",
        "| --- | --- |",
        *(f"| {word} | {who} |" for word, who in FAMILIES.values()),
        "",
        "| code | family | says |",
        "| --- | --- | --- |",
    ]
    for error in error_classes():
        said = " ".join((error.__doc__ or "").strip().split("\n\n")[0].split())
        lines.append(f"| `{error.code}` | {family_of(error)} | {said} |")
    return "\n".join(lines) + "\n"


def findings_text() -> str:
    """The page of what `salus doctor` and `salus status` find."""
    lines = [
        "# Findings",
        "",
        "Made by `tools/make_reference.py`. What `salus doctor` and `salus status` may find. A code is stable and",
        "never reused. Words in braces are facts: members, numbers, codes, files of the member's own folder. An",
        "*error* does not serve or is not safe; a *warning* will be so unless somebody acts; a *note* is left to do.",
        "",
        "| code | severity | says | what to do |",
        "| --- | --- | --- | --- |",
        *(f"| `{code}` | {kind.severity} | {kind.says} | {kind.to_do} |" for code, kind in KINDS.items()),
    ]
    return "\n".join(lines) + "\n"


def operator_api_text() -> str:
    """The operator's port as OpenAPI 3.1: the document that each process serves at `/openapi.json`."""
    document = Operating("ledger", Logs(io.StringIO()), Tracer()).document
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text())
    FINDINGS.write_text(findings_text())
    OPERATOR_API.write_text(operator_api_text())
    print(f"wrote {FILE.name}, {FINDINGS.name}, {OPERATOR_API.name}")
