"""A light client at work: from a trusted block to a newer one by one source, compared with others.

What it hands back says how far it may be believed: a block on which no witness agreed is one source's word, signed as
it may be. The search itself is in `light.py`, the comparison in `witness.py`; whoever calls has the clock.
"""

from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from salus.core.errors import MalformedError, RefusalError, UnavailableError
from salus.core.ids import Height
from salus.engines.cometbft.blocks import LightBlock, TimeNs
from salus.engines.cometbft.light import LightBlockError, Policy, bisection, trusted
from salus.engines.cometbft.witness import Attack, contradict, examine

T = TypeVar("T")
Fetch = Callable[[Height], Coroutine[Any, Any, LightBlock]]


@dataclass(frozen=True, slots=True)
class Update:
    """A newer block, and what witnesses say of it."""

    trace: tuple[LightBlock, ...]  # From the trusted block to the newer one; each was verified from the one before.
    agreed: tuple[str, ...]
    away: tuple[str, ...]  # Or behind.
    unproven: tuple[str, ...]  # Witnesses that told of something else and could not prove it: drop them.
    attacks: tuple[tuple[Attack, Attack], ...]  # Against the primary's signers, and against the witness's.

    @property
    def is_believed(self) -> bool:
        """Whether a witness agreed and none proved a contradiction."""
        return bool(self.agreed) and not self.attacks


async def update(
    start: LightBlock, height: Height, primary: Fetch, witnesses: Mapping[str, Fetch], policy: Policy, now: TimeNs
) -> Update:
    """Verify the primary's block at this height from a trusted one, then ask every witness.

    A witness that does not have the block yet may tell of its newest: a higher one that is not later is an attack too.

    Raises:
        UnavailableError: the primary is away.
        LightBlockError, TooFewTrustedError, TrustExpiredError: what the primary tells does not verify.
    """
    target = await primary(height)
    if target.header.height != height:
        raise LightBlockError(reason="another block than was asked for", height=height)
    trace = (start, *await follow(bisection(trusted(start), target, policy, now), primary))
    agreed: list[str] = []
    away: list[str] = []
    unproven: list[str] = []
    attacks: list[tuple[Attack, Attack]] = []
    for name, witness in witnesses.items():
        try:
            told = await witness(height)
            if contradict(told, target):
                attacks.append(await follow(examine(trace, told, policy, now), witness))
            else:
                (agreed if told.header.height == height else away).append(name)
        except UnavailableError:
            away.append(name)
        except (RefusalError, MalformedError):
            unproven.append(name)
    return Update(trace, tuple(agreed), tuple(away), tuple(unproven), tuple(attacks))


async def follow(steps: Generator[Height, LightBlock, T], fetch: Fetch) -> T:
    """Run a bisection, or another search that asks for blocks, to its end."""
    try:
        height = next(steps)
        while True:
            height = steps.send(await fetch(height))
    except StopIteration as end:
        answer: T = end.value
        return answer
