"""Every way in which a policy, a rule or a pack is refused. A decision is never an error: see `reasons.py`."""

from salus.core.errors import MalformedError


class DepthError(MalformedError):
    """Exceptions are nested deeper than four."""

    code = "consent.too_deep"


class RuleCountError(MalformedError):
    """A policy holds more rules than a keeper will judge."""

    code = "consent.too_many_rules"


class RuleIdError(MalformedError):
    """Two rules of one policy bear the same id."""

    code = "consent.rule_id_twice"


class SupersedesError(MalformedError):
    """A rule supersedes itself, or an exception supersedes at all."""

    code = "consent.bad_supersedes"


class PurposeError(MalformedError):
    """A rule names a purpose that HL7 ActReason does not know."""

    code = "consent.unknown_purpose"


class PeriodError(MalformedError):
    """A period ends before it begins, or leaves the years that dates are compiled for."""

    code = "consent.bad_period"


class GroupError(MalformedError):
    """A group of terms is empty, so it could match nothing."""

    code = "consent.empty_group"


class AuthorTermsError(MalformedError):
    """The tokens of one author are given twice, or not one group for each group of the others."""

    code = "consent.bad_author_terms"


class PackError(MalformedError):
    """The bytes are not a jurisdiction's pack."""

    code = "consent.bad_pack"
