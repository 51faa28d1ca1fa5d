"""The purposes of use that a request may state and a rule may name, as a tree.

Source: HL7 v3 code system ActReason, `PurposeOfUse` and all its descendants, as published with FHIR R4 4.0.1
(http://terminology.hl7.org/CodeSystem/v3-ActReason, version 2018-08-12). A purpose usually reaches its descendants;
four of them are so far from what a patient means by "treatment" that only their own name permits them.
"""

from functools import cache

from salus.contracts.consent.rules import Effect
from salus.core.ids import Purpose

TREAT = Purpose("TREAT")
ETREAT = Purpose("ETREAT")
BTG = Purpose("BTG")

_TREE = """
PurposeOfUse
  HMARKT
  HOPERAT
    CAREMGT
    DONAT
    FRAUD
    GOV
    HACCRED
    HCOMPL
    HDECD
    HDIRECT
    HDM
    HLEGAL
    HOUTCOMS
    HPRGRP
    HQUALIMP
    HSYSADMIN
      LABELING
      METAMGT
    MEMADMIN
    MILCDM
    PATADMIN
    PATSFTY
    PERFMSR
    RECORDMGT
    SYSDEV
      HTEST
    TRAIN
  HPAYMT
    CLMATTCH
    COVAUTH
    COVERAGE
      ELIGDTRM
      ELIGVER
      ENROLLM
      MILDCRG
    REMITADV
  HRESCH
    BIORCH
    CLINTRCH
      CLINTRCHNPC
      CLINTRCHPC
      PRECLINTRCH
    DSRCH
    POARCH
    TRANSRCH
  PATRQT
    FAMRQT
    PWATRNY
    SUPNWK
  PUBHLTH
    DISASTER
    THREAT
  TREAT
    CLINTRL
    COC
    ETREAT
      BTG
      ERTREAT
    POPHLTH
"""


def _parents(tree: str) -> dict[Purpose, Purpose | None]:
    parents: dict[Purpose, Purpose | None] = {}
    path: list[Purpose] = []
    for line in tree.strip().splitlines():
        code = Purpose(line.strip())
        del path[(len(line) - len(code)) // 2 :]
        parents[code] = path[-1] if path else None
        path.append(code)
    return parents


PARENTS: dict[Purpose, Purpose | None] = _parents(_TREE)

# An ancestor's effect stops above these; whatever hangs below them is out of its reach too.
_STOPS = {
    Effect.PERMIT: frozenset({ETREAT, BTG, Purpose("CLINTRL"), Purpose("POPHLTH")}),
    Effect.DENY: frozenset({ETREAT, BTG}),
}


@cache
def reached_by(asked: Purpose, effect: Effect) -> frozenset[Purpose]:
    """The purposes that a rule of this effect may name to reach `asked`; none if `asked` is unknown."""
    named: set[Purpose] = set()
    at: Purpose | None = asked if asked in PARENTS else None
    while at is not None:
        named.add(at)
        at = None if at in _STOPS[effect] else PARENTS[at]
    return frozenset(named)
