"""The packs that a member's process applies: those in the network's folder, read anew when the ledger names another."""

from pathlib import Path
from typing import Protocol

from salus.contracts.consent import Pack, pack_root
from salus.contracts.members.reads import pack_roots_of
from salus.engines.engine import Ledger
from salus.node.folder import NotANetworkError, packs_in
from salus.node.observing.logs import say_error


class Applies(Protocol):
    """A side of a member that decides by packs."""

    def take_packs(self, packs: tuple[Pack, ...]) -> None:
        """Apply these packs once the ledger names them."""


class Shelf:
    """Follows one ledger. For one event loop."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        """Read the folder. Raises NotANetworkError where a file among the packs is none."""
        self._folder = folder
        self._ledger = ledger
        self._sides: list[Applies] = []
        self._take(packs_in(folder))
        self._looked_for = self.missing
        ledger.listen(lambda _: self.follow())

    def lead(self, side: Applies) -> None:
        """Give this side the packs to come; it has those that are here."""
        self._sides.append(side)

    @property
    def missing(self) -> frozenset[bytes]:
        """Roots of packs that are in force and not here."""
        return frozenset(pack_roots_of(self._ledger.state)) - self._roots

    def follow(self) -> None:
        """Read the folder again where the ledger newly names a pack that is not here."""
        missing = self.missing
        if missing - self._looked_for:
            self.tend()
        self._looked_for = missing

    def tend(self) -> None:
        """Read it again where one is missing: its file may have come later than the decision."""
        if not self.missing:
            return
        try:
            self._take(packs_in(self._folder))
        except NotANetworkError as error:  # A file that is no pack takes nothing from those there are.
            say_error(error, member=self._ledger.member)
            return
        for side in self._sides:
            side.take_packs(self.packs)

    def _take(self, packs: tuple[Pack, ...]) -> None:
        self.packs = packs
        self._roots = frozenset(pack_root(pack) for pack in packs)
