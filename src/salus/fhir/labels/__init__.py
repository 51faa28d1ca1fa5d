"""Sensitivity labels from codes: which records tell of mental health, substance use, HIV and the like.

The rules are data (`rules.json`, a source per value set); `harmless.json` lists what was looked at and needs no label.
A code in neither was never considered, and its record counts as restricted until somebody does: `report_unconsidered`
lists such codes. Labels are a high-water mark: those a record came with stay.
"""

from salus.fhir.labels.judge import (
    Rules,
    Verdict,
    ancestors_of,
    confidentiality,
    judge,
    labels_of,
    own_services,
    report_unconsidered,
    rules,
)

__all__ = [
    "Rules",
    "Verdict",
    "ancestors_of",
    "confidentiality",
    "judge",
    "labels_of",
    "own_services",
    "report_unconsidered",
    "rules",
]
