"""The words a patient's consent may use of a record, in the clear; the author blinds them before anything leaves.

`label:PSY` with its ancestors, `confidentiality:R`, `code:<system>|<code>`, `category:<system>|<code>`,
`practitioner:<Type/id>`, and the date as year, month and day. The record's type has a field of its own.
"""

from salus.fhir.dates import date_terms
from salus.fhir.facts import Facts
from salus.fhir.labels import ancestors_of, judge
from salus.fhir.references import Resolver


def terms_of(facts: Facts, labels: frozenset[str], confidentiality: str, resolver: Resolver) -> tuple[str, ...]:
    """All clear terms of a resource, sorted. Codes of administration (units, statuses, kinds of payment) are none."""
    terms = {f"label:{label}" for label in ancestors_of(labels)}
    terms.add(f"confidentiality:{confidentiality}")
    terms.update(f"code:{system}|{code}" for system, code in facts.codings if judge(system, code).clinical)
    terms.update(f"category:{system}|{code}" for system, code in facts.categories)
    terms.update(date_terms(facts.date))
    for reference in facts.references:
        target = resolver.target(reference)
        if target.resource_type == "Practitioner" and target.key:
            terms.add(f"practitioner:{target.key}")
    return tuple(sorted(terms))
