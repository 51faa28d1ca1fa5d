"""What a keeper, a gateway or a page sees of the ledger: a member's own final state, and how fresh it is."""

from collections.abc import Sequence
from typing import Final, Protocol

from salus.core.ids import MINUTE_MS, ChainId, Height, MemberId, TimeMs
from salus.core.wire import Message
from salus.state.state import State

FRESH_MS: Final = MINUTE_MS  # The oldest view from which anything is released.


class View(Protocol):
    """One member's own replica. Only final blocks are visible through it."""

    @property
    def chain(self) -> ChainId:
        """The network's name."""

    @property
    def height(self) -> Height:
        """Of the newest final block here."""

    @property
    def time(self) -> TimeMs:
        """Of the newest final header here; a member's own clock minus this is the age of its view."""

    @property
    def state(self) -> State:
        """The state after that block, for reading only."""

    async def reached(self, height: Height, timeout_s: float) -> bool:
        """Wait until this replica holds a height; false if it does not in time."""

    def accepted(self, height: Height) -> Sequence[tuple[MemberId, Message]]:
        """The messages that a block's transactions carried and the machine accepted, each with its sponsor.

        Raises:
            UnavailableError: that block is not here.
        """


def is_fresh(view: View, now: TimeMs) -> bool:
    """Whether a view is new enough to decide by, as its holder's clock has it."""
    return abs(now - view.time) <= FRESH_MS
