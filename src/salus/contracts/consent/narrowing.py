"""Does a new policy version only take access away? A custodian's narrowing works at once, anything else waits.

Narrowing is a permit removed or a plain top-level deny added; all else is widening. A permit's exceptions may refuse
what another permit would reach: such a permit counts as removed only if its refusals stay, as plain denies.
"""

from salus.contracts.consent.policy import PolicySet
from salus.contracts.consent.rules import Effect, Rule, RuleId
from salus.core.wire import replace


def narrows(old: PolicySet, new: PolicySet) -> bool:
    """Whether nothing that `old` refused is permitted by `new`, judged by form alone; a policy narrows itself."""
    # The memo holds the rules in clear for their owner: it decides nothing.
    if replace(new, version=old.version, salt=old.salt, memo=old.memo, rules=old.rules) != old:
        return False
    superseded = {rule.supersedes for rule in new.rules}
    added = [rule for rule in new.rules if rule not in old.rules]
    if not all(_is_plain_deny(rule) and rule.rule_id not in superseded for rule in added):
        return False
    removed = [rule for rule in old.rules if rule not in new.rules]
    return all(rule.effect is Effect.PERMIT and set(_refusals(rule)) <= set(new.rules) for rule in removed)


def without(rules: tuple[Rule, ...], rule_id: RuleId) -> tuple[Rule, ...]:
    """The rules with one permit taken back by a custodian: what it refused in its exceptions stays refused."""
    gone = tuple(rule for rule in rules if rule.rule_id == rule_id)
    left = tuple(rule for rule in rules if rule.rule_id != rule_id)
    return (*left, *(refusal for rule in gone for refusal in _refusals(rule)))


def _is_plain_deny(rule: Rule) -> bool:
    return rule.effect is Effect.DENY and not rule.exceptions and rule.supersedes is None


def _refusals(rule: Rule) -> tuple[Rule, ...]:
    """What a permit's exceptions refuse, as plain denies that reach at least as far, under the exceptions' ids."""
    refusals: list[Rule] = []
    for exception in rule.exceptions:
        within = _within(exception, rule)
        refusals += [replace(within, exceptions=())] if exception.effect is Effect.DENY else _refusals(within)
    return tuple(refusals)


def _within(exception: Rule, rule: Rule) -> Rule:
    """The exception on its own: where it did not constrain, the rule around it does."""
    return replace(
        exception,
        readers=exception.readers or rule.readers,
        purposes=exception.purposes or rule.purposes,
        terms=rule.terms if exception.terms is None else exception.terms,
        fhir_types=exception.fhir_types or rule.fhir_types,
        authors=exception.authors or rule.authors,
        since=rule.since if exception.since is None else exception.since,
        until=rule.until if exception.until is None else exception.until,
    )
