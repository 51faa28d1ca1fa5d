"""From what a person says to what keepers hold: every term becomes tokens, one set for each writer."""

from collections.abc import Mapping

from salus.contracts.consent.dates import UNDATED, date_terms
from salus.contracts.consent.rules import AuthorTerms, ClearRule, Effect, Rule
from salus.core.ids import MemberId, Token
from salus.crypto.digests import blind

TermKeys = Mapping[MemberId, tuple[bytes, ...]]  # A writer has several after a claim: one for each age of records.


def blind_rule(clear: ClearRule, keys: TermKeys) -> Rule:
    """The rule as keepers hold it, with tokens for every writer in `keys`.

    Raises:
        PeriodError: the time of the data is empty or out of range.
    """
    groups = clear_groups(clear)
    return Rule(
        rule_id=clear.rule_id,
        effect=clear.effect,
        readers=clear.readers,
        purposes=clear.purposes,
        terms=tuple(_blinded(author, groups, keys[author]) for author in sorted(keys)) if groups else None,
        fhir_types=clear.fhir_types,
        authors=clear.authors,
        since=clear.since,
        until=clear.until,
        obligations=clear.obligations,
        exceptions=tuple(blind_rule(exception, keys) for exception in clear.exceptions),
        supersedes=clear.supersedes,
    )


def clear_groups(clear: ClearRule) -> tuple[tuple[str, ...], ...]:
    """The rule's terms with the time of the data as one more group; a deny names what is undated too."""
    if clear.data_since is None and clear.data_until is None:
        return clear.terms
    dates = date_terms(clear.data_since, clear.data_until)
    return (*clear.terms, dates if clear.effect is Effect.PERMIT else (*dates, UNDATED))


def _blinded(author: MemberId, groups: tuple[tuple[str, ...], ...], keys: tuple[bytes, ...]) -> AuthorTerms:
    return AuthorTerms(author=author, groups=tuple(_tokens(group, keys) for group in groups))


def _tokens(group: tuple[str, ...], keys: tuple[bytes, ...]) -> tuple[Token, ...]:
    return tuple(sorted({blind(key, term) for term in group for key in keys}))
