"""The small world of these tests: three members under two packs, one patient, records in clear and as keepers see."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path

import salus.contracts.consent as consent
from salus.contracts.consent import (
    ClearRule,
    Device,
    Pack,
    PolicySet,
    Proxy,
    ReadKind,
    ReadRequest,
    Rule,
    Writer,
    blind_rule,
    read_pack,
    record_date_terms,
)
from salus.contracts.records.header import Bits, Header, RecordId
from salus.core.ids import ChainId, FhirType, MemberId, Purpose, TimeMs, Token
from salus.crypto.digests import blind

AT: TimeMs = 50
OBSERVATION, NO_BITS = FhirType("Observation"), Bits(0)
SUBJECT, OTHER_SUBJECT = b"subject-subject!", b"another-subject!"
PHONE, MOTHER, STRANGER = b"handle-phone----", b"handle-mother---", b"handle-stranger-"
CREDENTIAL = b"credential-------"[:16]
MERCY, ST_LUKE, RIGA = MemberId("mercy"), MemberId("st-luke"), MemberId("riga")
MEMBERS = (MERCY, ST_LUKE, RIGA)
PLACES: dict[MemberId, str] = {MERCY: "us", ST_LUKE: "us", RIGA: "eu"}
KEYS = {member: (sha256(member.encode()).digest(),) for member in MEMBERS}


def pack_bytes(name: str) -> bytes:
    """The shipped pack of a jurisdiction."""
    return (Path(consent.__file__).parent / "packs" / f"{name}.json").read_bytes()


PACKS: dict[str, Pack] = {name: read_pack(pack_bytes(name)) for name in ("us", "eu")}


@dataclass(frozen=True)
class ClearRecord:
    """A record as its author knows it."""

    author: MemberId = MERCY
    fhir_type: FhirType = OBSERVATION
    terms: frozenset[str] = frozenset()
    day: date | None = date(2019, 5, 3)
    explicit: frozenset[str] = frozenset()
    bits: Bits = NO_BITS


def header_of(record: ClearRecord, *, index: int = 0, padding: bytes = b"padding") -> Header:
    """The same record as keepers see it, with two tokens of padding."""
    key = KEYS[record.author][0]
    words = record.terms | frozenset(record_date_terms(record.day.isoformat() if record.day else ""))
    noise = [sha256(padding + bytes([i])).digest()[:16] for i in range(2)]
    return Header(
        subject=SUBJECT,
        record=RecordId(author=record.author, batch_id=bytes(16), index=index),
        replaces=None,
        blobs=(bytes(32),),
        size_bytes=1,
        key_com=bytes(32),
        fhir_type=record.fhir_type,
        terms=_sorted([*(blind(key, word) for word in words), *noise]),
        explicit=_sorted(blind(key, word) for word in record.explicit),
        bits=int(record.bits),
    )


def policy_of(
    *rules: ClearRule, writers: Iterable[MemberId] = MEMBERS, custodian: MemberId | None = None, proxy_until: int = 1000
) -> PolicySet:
    """A policy of these rules, with tokens for these writers."""
    keys = {member: KEYS[member] for member in writers}
    return policy_with(tuple(blind_rule(rule, keys) for rule in rules), custodian=custodian, proxy_until=proxy_until)


def policy_with(rules: tuple[Rule, ...], *, custodian: MemberId | None = None, proxy_until: TimeMs = 1000) -> PolicySet:
    """A policy of rules that are blinded already."""
    return PolicySet(
        chain=ChainId("test"),
        cell=bytes(16),
        version=1,
        salt=bytes(32),
        subject=SUBJECT,
        rules=rules,
        writers=tuple(Writer(member) for member in MEMBERS),
        devices=(Device(bytes(32), PHONE),),
        proxies=(Proxy(bytes(31) + b"\x01", MOTHER, proxy_until),),
        guardians=(),
        custodian=custodian,
        jurisdiction="us",
    )


def clinician(member: MemberId = ST_LUKE, purpose: str = "TREAT", *roles: str, reason: str = "") -> ReadRequest:
    """A member's person with an active credential."""
    return ReadRequest(
        member, roles, CREDENTIAL, PLACES[member], ReadKind.CLINICIAN, None, Purpose(purpose), reason=reason
    )


def patient(handle: bytes = PHONE, *, held: bool = False, purpose: str = "PATRQT") -> ReadRequest:
    """The patient, through St. Luke's gateway."""
    return ReadRequest(ST_LUKE, (), None, "us", ReadKind.PATIENT, handle, Purpose(purpose), held=held)


def proxy(handle: bytes = MOTHER, *, held: bool = False, purpose: str = "FAMRQT") -> ReadRequest:
    """Who acts for the patient, through St. Luke's gateway."""
    return ReadRequest(ST_LUKE, (), None, "us", ReadKind.PROXY, handle, Purpose(purpose), held=held)


def packs_for(request: ReadRequest, author: MemberId) -> tuple[Pack, ...]:
    """The author's and the reader's packs."""
    return tuple(PACKS[place] for place in sorted({request.jurisdiction, PLACES[author]}))


def _sorted(tokens: Iterable[Token]) -> tuple[Token, ...]:
    return tuple(sorted(tokens))
