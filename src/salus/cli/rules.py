"""A patient's rules, from what was typed to `ClearRule`s, back into sentences, and away again."""

from collections.abc import Sequence
from dataclasses import dataclass

from salus.cli.errors import PastError
from salus.cli.words import shown_day, shown_purpose, shown_term
from salus.contracts.consent import ClearRule, Effect, Reader, date_terms
from salus.contracts.consent.blinding import clear_groups
from salus.core.ids import FhirType, MemberId, Purpose, TimeMs
from salus.core.wire import replace
from salus.sdk.gateway import new_id


@dataclass(frozen=True, slots=True)
class Said:
    """One grant or denial as typed. Empty fields do not constrain."""

    effect: Effect
    readers: tuple[Reader, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    only: tuple[str, ...] = ()  # Terms: any of them.
    excepts: tuple[str, ...] = ()  # Terms: none of them.
    data_since: str | None = None
    data_until: str | None = None
    begins: TimeMs | None = None
    ends: TimeMs | None = None
    types: tuple[FhirType, ...] = ()
    authors: tuple[MemberId, ...] = ()


def rule_of(said: Said) -> ClearRule:
    """The rule that this says: each exception answers the other way, and is the narrower, so it wins.

    Raises:
        WordError: a date is none.
    """
    from salus.cli.words import day_of

    other = Effect.DENY if said.effect is Effect.PERMIT else Effect.PERMIT
    return ClearRule(
        rule_id=new_id(),
        effect=said.effect,
        readers=said.readers,
        purposes=said.purposes,
        terms=(said.only,) if said.only else (),
        data_since=None if said.data_since is None else day_of(said.data_since),
        data_until=None if said.data_until is None else day_of(said.data_until),
        fhir_types=said.types,
        authors=said.authors,
        since=said.begins,
        until=said.ends,
        exceptions=tuple(ClearRule(rule_id=new_id(), effect=other, terms=((term,),)) for term in said.excepts),
    )


def sentence(rule: ClearRule) -> str:
    """A rule in plain words."""
    verb = "may use" if rule.effect is Effect.PERMIT else "may not use"
    parts = [f"{_readers(rule.readers)} {verb} {_what(rule)}"]
    if rule.authors:
        parts.append(f"written by {_either(rule.authors)}")
    if rule.purposes:
        parts.append(f"for {_either([shown_purpose(purpose) for purpose in rule.purposes])}")
    if rule.data_since is not None:
        parts.append(f"with data since {rule.data_since}")
    if rule.data_until is not None:
        parts.append(f"with data before {rule.data_until}")
    text = " ".join(parts)
    if rule.since is not None:
        text += f", from {shown_day(rule.since)}"
    if rule.until is not None:
        text += f", until {shown_day(rule.until)}"
    excepted = [_what(exception) for exception in rule.exceptions]
    return text + (f", except {_either(excepted)}" if excepted else "") + "."


def without(rules: tuple[ClearRule, ...], gone: ClearRule, *, keeps_refusals: bool) -> tuple[ClearRule, ...]:
    """The rules without one. `keeps_refusals`: what it refused in its exceptions stays refused, as a custodian must."""
    left = tuple(rule for rule in rules if rule.rule_id != gone.rule_id)
    return (*left, *_refusals(gone)) if keeps_refusals and gone.effect is Effect.PERMIT else left


def _refusals(rule: ClearRule) -> tuple[ClearRule, ...]:
    """As `contracts.consent.narrowing`, before blinding: the same tokens come of it."""
    found: list[ClearRule] = []
    for exception in rule.exceptions:
        within = _within(exception, rule)
        found += [replace(within, exceptions=())] if exception.effect is Effect.DENY else _refusals(within)
    return tuple(found)


def _within(exception: ClearRule, rule: ClearRule) -> ClearRule:
    speaks = bool(clear_groups(exception))
    terms = exception.terms if speaks else clear_groups(rule)
    return replace(
        exception,
        readers=exception.readers or rule.readers,
        purposes=exception.purposes or rule.purposes,
        terms=terms,
        fhir_types=exception.fhir_types or rule.fhir_types,
        authors=exception.authors or rule.authors,
        since=rule.since if exception.since is None else exception.since,
        until=rule.until if exception.until is None else exception.until,
    )


def check_period(said: Said, now: TimeMs) -> None:
    """Refuse an empty period of the data, or a rule that is over, before anything is asked of the network.

    Raises:
        WordError: a date is none.
        PastError: it would be in force until a day that is over.
        PeriodError: the period is empty or out of range.
    """
    rule = rule_of(said)
    if said.ends is not None and said.ends <= now:
        raise PastError(until=shown_day(said.ends), today=shown_day(now))
    if rule.data_since is not None or rule.data_until is not None:
        date_terms(rule.data_since, rule.data_until)


def _readers(readers: Sequence[Reader]) -> str:
    return _either([_reader(reader) for reader in readers]) if readers else "Anyone"


def _reader(reader: Reader) -> str:
    if reader.credential is not None:
        return f"One person of {reader.member or 'a member'} (credential {reader.credential.hex()[:8]})"
    if reader.role is not None:
        return f"Every {reader.role} {'at ' + reader.member if reader.member else 'anywhere'}"
    if reader.member is not None:
        return reader.member
    return "Anyone"


def _what(rule: ClearRule) -> str:
    terms = [_either([shown_term(term) for term in group]) for group in rule.terms]
    kinds = f"{_either(list(rule.fhir_types))} records" if rule.fhir_types else "records"
    return f"{kinds} of {' and '.join(terms)}" if terms else ("all records" if kinds == "records" else kinds)


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
