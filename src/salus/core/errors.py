"""The four families of errors, by who must act. Rooms derive their own from these.

An error names facts (ids, codes, numbers), never a person's data: messages reach logs. Doors translate families once,
each through its own table; see `docs/reference/errors.md` for all codes.
"""

from typing import ClassVar

Fact = str | int | bytes


class SalusError(Exception):
    """Base of the four families. `code` is stable, listed in a README, and never reused."""

    code: ClassVar[str] = "salus.error"

    def __init__(self, **facts: Fact) -> None:
        super().__init__(facts)
        self.facts = facts

    def __str__(self) -> str:
        said = (self.__doc__ or "").strip().split("\n")[0]
        shown = ", ".join(f"{k}={v.hex() if isinstance(v, bytes) else v}" for k, v in self.facts.items())
        return f"{self.code}: {said}" + (f" ({shown})" if shown else "")


class RefusalError(SalusError):
    """A rule says no; nothing was written. The sender may ask otherwise."""

    code = "salus.refused"


class MalformedError(SalusError):
    """The bytes are not a message in its one encoding; they never enter a block."""

    code = "salus.malformed"


class UnavailableError(SalusError):
    """A disk, peer or engine is away: wait, then try again."""

    code = "salus.unavailable"


class IntegrityError(SalusError):
    """What we hold contradicts itself; the operator must look before this node goes on."""

    code = "salus.integrity"
