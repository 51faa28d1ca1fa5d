"""Housekeeping of members whose gateways run in this process: the rounds, and what one of them did."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from salus.core.errors import SalusError
from salus.sdk.author import Author


@dataclass(frozen=True, slots=True)
class Tended:
    """Counts of what was due and is done."""

    log_roots: int = 0
    batches_made_durable: int = 0
    batches_dealt_again: int = 0

    def __add__(self, other: "Tended") -> "Tended":
        return Tended(
            self.log_roots + other.log_roots,
            self.batches_made_durable + other.batches_made_durable,
            self.batches_dealt_again + other.batches_dealt_again,
        )


class Housekeeping:
    """Rounds in the background, until they are ended."""

    def __init__(self, tend: Callable[[], Awaitable[object]]) -> None:
        self._tend = tend
        self._rounds: asyncio.Task[None] | None = None

    async def begin(self, authors: Iterable[Author], every_s: float | None) -> None:
        """Finish what a crash left unfinished; then a round whenever so long has passed, or none if that is None."""
        for author in authors:
            with suppress(SalusError):  # Too few members are up: it goes on with the next round.
                await author.resume()
        if every_s is not None:
            self._rounds = asyncio.create_task(self._go_on(every_s))

    async def end(self) -> None:
        """Break off a round that is under way. Harmless if none ever began."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)

    async def _go_on(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self._tend()
