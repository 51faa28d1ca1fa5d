"""Random patients, packs, readers and records out of a small vocabulary, so that rules meet often."""

import random
from datetime import date
from hashlib import sha256
from itertools import combinations
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st

from salus.contracts.consent import ClearRule, Effect, Pack, Reader, ReadKind, ReadRequest
from salus.contracts.consent.pack import BitName, Layer, PackRule
from salus.contracts.records.header import Bits
from salus.core.ids import FhirType, Purpose, TimeMs
from salus.core.wire import replace
from tests.contracts.consent.world import (
    CREDENTIAL,
    MEMBERS,
    MOTHER,
    PACKS,
    PHONE,
    PLACES,
    STRANGER,
    ClearRecord,
    clinician,
    patient,
    proxy,
)

TERMS = ("label:PSY", "label:HIV", "label:SUD", "code:a|1")
PURPOSES = (
    *(Purpose(code) for code in ("PurposeOfUse", "TREAT", "TREAT", "TREAT", "COC", "ETREAT", "ERTREAT", "BTG")),
    *(Purpose(code) for code in ("CLINTRL", "POPHLTH", "HRESCH", "CLINTRCH", "HPAYMT", "ELIGDTRM", "PATRQT", "FAMRQT")),
)
TYPES = (FhirType("Observation"), FhirType("Condition"))
ROLES = ("nurse", "emergency")
DAYS = (None, date(2019, 5, 3), date(2019, 5, 31), date(2020, 1, 1), date(2021, 12, 31))
EDGES = (date(2019, 5, 3), date(2019, 6, 1), date(2020, 1, 1), date(2021, 12, 31))
TIMES = (None, None, None, 40, 50, 60)

T = TypeVar("T")

effects = st.sampled_from(Effect)


class Meeting(NamedTuple):
    """One reader wants one record at one moment."""

    request: ReadRequest
    record: ClearRecord
    at: TimeMs


def few(values: tuple[T, ...], most: int = 2) -> st.SearchStrategy[tuple[T, ...]]:
    """Usually nothing, which does not constrain; else a few of these."""
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(tuple)
    return st.one_of(st.just(()), st.just(()), chosen)


readers = st.builds(
    Reader,
    member=st.sampled_from((None, None, *MEMBERS)),
    role=st.sampled_from((None, None, *ROLES)),
    credential=st.sampled_from((None, None, CREDENTIAL)),
    handle=st.sampled_from((None, None, None, MOTHER)),
)
groups = st.lists(st.lists(st.sampled_from(TERMS), min_size=1, max_size=3, unique=True).map(tuple), max_size=2)


@st.composite
def clear_rules(draw: st.DrawFn, depth: int = 3, effect: Effect | None = None) -> ClearRule:
    """A rule with exceptions, its ids still to be given."""
    edges = draw(
        st.one_of(st.just((None, None)), st.lists(st.sampled_from(EDGES), min_size=2, max_size=2, unique=True))
    )
    first, last = sorted(edges) if edges[0] is not None else edges
    since, until = draw(st.sampled_from(TIMES)), draw(st.sampled_from(TIMES))
    nested = draw(st.lists(clear_rules(depth=depth - 1), max_size=2)) if depth and draw(st.booleans()) else []
    return ClearRule(
        rule_id=bytes(16),
        effect=effect or draw(effects),
        readers=draw(st.one_of(st.just(()), st.lists(readers, max_size=2).map(tuple))),
        purposes=draw(few(PURPOSES, 3)),
        terms=tuple(draw(st.one_of(st.just([]), groups))),
        data_since=first,
        data_until=draw(st.sampled_from((last, None))),
        fhir_types=draw(few(TYPES, 1)),
        authors=draw(few(MEMBERS)),
        since=since,
        until=until if since is None or until is None or since < until else None,
        exceptions=tuple(nested),
    )


@st.composite
def wordy_rules(draw: st.DrawFn, depth: int = 2) -> ClearRule:
    """A rule about terms and little else, as are its exceptions: where tokens are lacking, all of it is in doubt."""
    nested = draw(st.lists(wordy_rules(depth=depth - 1), max_size=2)) if depth else []
    about = draw(st.one_of(st.just([]), groups))
    readers = draw(st.sampled_from(((), (Reader(member=MEMBERS[1]),))))
    return ClearRule(bytes(16), draw(effects), readers=readers, terms=tuple(about), exceptions=tuple(nested))


@st.composite
def rule_sets(
    draw: st.DrawFn, most: int = 4, each: st.SearchStrategy[ClearRule] | None = None
) -> tuple[ClearRule, ...]:
    """Some rules with ids; now and then one supersedes another."""
    drawn = draw(st.lists(clear_rules() if each is None else each, max_size=most))
    numbered = [_numbered(rule, f"{n}") for n, rule in enumerate(drawn)]
    ids = [rule.rule_id for rule in numbered]
    for n, rule in enumerate(numbered):
        others = [None, None, *(i for i in ids if i != rule.rule_id)]
        numbered[n] = replace(rule, supersedes=draw(st.sampled_from(others)))
    return tuple(numbered)


def _numbered(rule: ClearRule, path: str) -> ClearRule:
    inner = tuple(_numbered(exception, f"{path}.{n}") for n, exception in enumerate(rule.exceptions))
    return replace(rule, rule_id=sha256(path.encode()).digest()[:16], exceptions=inner)


bit_sets = st.integers(0, 15).map(Bits)

records = st.builds(
    ClearRecord,
    author=st.sampled_from(MEMBERS),
    fhir_type=st.sampled_from(TYPES),
    terms=st.frozensets(st.sampled_from(TERMS), max_size=3),
    day=st.sampled_from(DAYS),
    explicit=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(TERMS), max_size=2)),
    bits=st.one_of(st.just(Bits(0)), bit_sets),
)


@st.composite
def requests(draw: st.DrawFn) -> ReadRequest:
    """Mostly a member's person; sometimes the patient, or who acts for them."""
    kind = draw(st.sampled_from((ReadKind.CLINICIAN,) * 6 + (ReadKind.PROXY, ReadKind.PATIENT)))
    member = draw(st.sampled_from(MEMBERS))
    handles = {ReadKind.CLINICIAN: (None,), ReadKind.PROXY: (MOTHER, STRANGER), ReadKind.PATIENT: (PHONE, STRANGER)}
    return ReadRequest(
        member=member,
        roles=draw(few(ROLES)) if kind is ReadKind.CLINICIAN else (),
        credential=draw(st.sampled_from((CREDENTIAL, CREDENTIAL, CREDENTIAL, None))),
        jurisdiction=PLACES[member],
        kind=kind,
        handle=draw(st.sampled_from(handles[kind])),
        purpose=draw(st.sampled_from(PURPOSES)),
        reason=draw(st.sampled_from(("unconscious", " "))),
        held=draw(st.sampled_from((False, False, True))),
    )


def _meetings() -> tuple[Meeting, ...]:
    """Readers, records and moments, thinned by a fixed seed; most are what meets daily: staff who want to treat."""
    chance = random.Random(4)
    daily = [clinician(member, "TREAT", role) for member in MEMBERS for role in ROLES]
    staff = [clinician(m, code, *ROLES, reason="unconscious") for m in MEMBERS for code in sorted(set(PURPOSES))]
    others = [patient(), patient(STRANGER), patient(held=True), proxy(), proxy(STRANGER), proxy(held=True)]
    words = [frozenset(terms) for n in range(4) for terms in combinations(TERMS, n)]
    explicit = [frozenset[str]()] * 6 + [frozenset({term}) for term in TERMS] + [frozenset(TERMS[:2])]
    return tuple(
        Meeting(
            chance.choice(chance.choice((daily, daily, daily, staff, others))),
            ClearRecord(
                author=chance.choice(MEMBERS),
                fhir_type=chance.choice(TYPES),
                terms=chance.choice(words),
                day=chance.choice(DAYS),
                explicit=chance.choice(explicit),
                bits=Bits(chance.choice((0, 0, 0, chance.randrange(16)))),
            ),
            chance.choice((39, 40, 49, 50, 50, 50, 55, 60, 1000)),
        )
        for _ in range(150)
    )


MEETINGS = _meetings()


@st.composite
def pack_rules(draw: st.DrawFn) -> PackRule:
    """A rule of law that nobody enacted."""
    where = draw(st.sampled_from(Layer))
    effect, own = draw(effects), draw(st.sampled_from((None, True, False)))
    return PackRule(
        id="made-up",
        layer=where,
        effect=effect,
        citation="none",
        sentence="none",
        kinds=draw(few(tuple(ReadKind))),
        roles=draw(few(ROLES, 1)),
        members=draw(few(MEMBERS)),
        own=own,
        purposes=draw(few(PURPOSES)),
        fhir_types=draw(few(TYPES, 1)),
        with_bits=draw(few(tuple(BitName), 1)),
        without_bits=draw(few(tuple(BitName), 1)),
        since=draw(st.sampled_from((None, None, 45, 50))),
        until=draw(st.sampled_from((None, None, 55, 60))),
        names_explicit=where is Layer.DEFAULT and effect is Effect.PERMIT and own is True and draw(st.booleans()),
    )


@st.composite
def packs(draw: st.DrawFn) -> dict[str, Pack]:
    """The shipped packs, or those with rules added."""
    out: dict[str, Pack] = {}
    for name, pack in PACKS.items():
        added = draw(st.lists(pack_rules(), max_size=2))
        out[name] = replace(
            pack, rules=(*pack.rules, *(replace(rule, id=f"made-up-{n}") for n, rule in enumerate(added)))
        )
    return out
