"""Keepers that lie over the wire: the lies of `tests/sdk/test_reader.py`, told by a whole process."""

from typing import Any

from salus.keeper import releasing
from salus.keeper.answers import Answers
from salus.keeper.policies import Policies
from tests.sdk.test_reader import LIES, kept_proof

OLD_POLICY = "an old policy"
TOLD = {why: what for why, what, _ in LIES}


def install(lie: str) -> None:
    """Let this process's keeper tell a lie, signed with its own key."""
    if lie == OLD_POLICY:
        _stick_to_the_first_policy()
        return
    tell = next(tell for why, _, tell in LIES if why == lie)
    hooks: Any = Answers
    honest = hooks._judged

    def judged(self: Answers, *told: Any) -> Any:
        found, withheld = honest(self, *told)
        tell(found)
        return found, withheld

    hooks._judged = judged
    proving: Any = releasing
    proving._proof = kept_proof(proving._proof)


def _stick_to_the_first_policy() -> None:
    hooks: Any = Policies
    honest = hooks.current
    first: dict[Any, Any] = {}

    async def current(self: Policies, subject: Any) -> Any:
        held = await honest(self, subject)
        return first.setdefault(subject, held)

    hooks.current = current
