"""Writes `decisions.json`: decisions as bytes in and bytes out, for any other implementation of consent.

Run from the repository's root: `python -m tests.vectors.generate_decisions`. Nothing is drawn by chance.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

from salus.contracts.consent import ClearRule, Effect, Reader, blind_rule, commitment, date_terms, decide, pack_root
from salus.core.ids import MemberId
from salus.core.wire import encode
from tests.contracts.consent.cases import PERMITS, REFUSALS, Case
from tests.contracts.consent.world import KEYS, MEMBERS, PACKS, PLACES, header_of, packs_for

TARGET = Path(__file__).parent / "decisions.json"
ABOUT = (
    "Each case: decide(policy, packs, request, header, at) gives decision. Hexadecimal is canonical MessagePack as in "
    "src/salus/core/wire.py; packs are the files in src/salus/contracts/consent/packs, by jurisdiction."
)


def vectors() -> dict[str, Any]:
    """All vectors, ready for JSON."""
    return {
        "about": ABOUT,
        "packs": {name: pack_root(pack).hex() for name, pack in PACKS.items()},
        "periods": [_period(*ends) for ends in PERIODS],
        "blinding": [_blinding(rule) for rule in RULES],
        "decisions": [_decision(case) for case in (*REFUSALS, *PERMITS)],
    }


PERIODS = (
    (date(2019, 5, 3), date(2019, 5, 4)),
    (date(2019, 11, 30), date(2021, 2, 2)),
    (None, date(1902, 1, 1)),
    (date(2096, 2, 28), None),
)
RULES = (
    ClearRule(b"1" * 16, Effect.PERMIT, readers=(Reader(member=MEMBERS[1]),), since=5, until=9),
    ClearRule(b"2" * 16, Effect.DENY, terms=(("label:PSY", "label:HIV"),), data_since=date(2019, 12, 30)),
    ClearRule(b"3" * 16, Effect.PERMIT, exceptions=(ClearRule(b"4" * 16, Effect.DENY, terms=(("label:PSY",),)),)),
)


def _period(since: date | None, until: date | None) -> dict[str, Any]:
    return {
        "since": since and since.isoformat(),
        "until": until and until.isoformat(),
        "terms": date_terms(since, until),
    }


def _blinding(rule: ClearRule) -> dict[str, Any]:
    keys: dict[MemberId, tuple[bytes, ...]] = {member: KEYS[member] for member in MEMBERS[:2]}
    shown = {member: [key.hex() for key in held] for member, held in keys.items()}
    return {"clear": encode(rule).hex(), "keys": shown, "rule": encode(blind_rule(rule, keys)).hex()}


def _decision(case: Case) -> dict[str, Any]:
    header, packs = header_of(case.record), packs_for(case.request, case.record.author)
    decision = decide(case.policy, packs, case.request, header, case.at)
    return {
        "name": case.name,
        "policy": encode(case.policy).hex(),
        "commitment": commitment(case.policy).hex(),
        "packs": sorted({case.request.jurisdiction, PLACES[case.record.author]}),
        "request": encode(case.request).hex(),
        "header": encode(header).hex(),
        "at": case.at,
        "effect": decision.effect.value,
        "obligations": decision.obligations,
        "reasons": [[reason.code.value, reason.rule] for reason in decision.reasons],
        "decision": encode(decision).hex(),
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
