"""What an attack is: a name, the guard it aims at, a function that carries it out, and one of four outcomes.

An attack says SUCCEEDED where the forbidden thing has happened, which it looks up itself: in the state after a final
block, in the plaintext a reader got. It says *refused* only for the very refusal that it aims at. Anything else (its
own preparations failed, another rule stood in the way) is `MissedError`: such an attack has shown nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from salus.cli.drill.world import World
from salus.core.errors import IntegrityError

Result = Literal["refused", "detected", "healed", "SUCCEEDED"]
Carry = Callable[[World], "Awaitable[Outcome]"]


class MissedError(IntegrityError):
    """The attack did not reach the guard it aims at, so it shows nothing: the drill itself must be mended."""

    code = "drill.missed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attack, and what shows it."""

    result: Result
    evidence: str  # Codes, counts and members' names only: never a person's data.


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack of the drill."""

    name: str
    guard: str  # Dotted path of what keeps it out, which the tests take away.
    carry_out: Carry
    is_harmful: bool  # It leaves a world behind that the next attack should not start from.

    @property
    def about(self) -> str:
        """The first sentence of what it does."""
        return (self.carry_out.__doc__ or "").strip().split("\n")[0]

    @property
    def family(self) -> str:
        """The module it stands in."""
        return self.carry_out.__module__.rsplit(".", 1)[-1]


ATTACKS: dict[str, Attack] = {}


def attack(name: str, *, guard: str, harmful: bool = False) -> Callable[[Carry], Carry]:
    """Enter a function into the drill."""

    def enter(carry_out: Carry) -> Carry:
        assert name not in ATTACKS, "Two attacks bear one name."
        ATTACKS[name] = Attack(name, guard, carry_out, harmful)
        return carry_out

    return enter


def verdict(happened: bool, said: str, expected: str) -> Outcome:
    """SUCCEEDED if the forbidden thing happened, *refused* if it was met with the code it aims at.

    Raises:
        MissedError: it did not happen, for another reason.
    """
    if happened:
        return Outcome("SUCCEEDED", f"it was answered with {said}")
    if said != expected:
        raise MissedError(said=said, expected=expected)
    return Outcome("refused", expected)


def must(holds: bool, what: str) -> None:
    """The attack stands on this: a control that must hold before its outcome says anything.

    Raises:
        MissedError: it does not.
    """
    if not holds:
        raise MissedError(control=what)
