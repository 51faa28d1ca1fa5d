"""What the doors act on: members whose gateways run in this process, on whichever engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from salus.contracts.members.messages import Genesis
from salus.core.ids import CommitteeId, Digest
from salus.engines.engine import Ledger
from salus.node.gateway_side import GatewaySide
from salus.node.settings import Settings
from salus.node.tending import Tended
from salus.sdk.hands import Hands


class Hosted(Protocol):
    """Running gateways of one network, in one folder. `network.Network` holds whole members; between machines keeper
    and ledger are elsewhere."""

    @property
    def folder(self) -> Path:
        """Where they lie."""

    @property
    def genesis(self) -> Genesis:
        """What the network started from."""

    @property
    def settings(self) -> Settings:
        """What they were opened with."""

    @property
    def hands(self) -> Hands:
        """Who does arithmetic for them: an import lends its workers."""

    @property
    def members(self) -> Sequence[GatewaySide]:
        """All that run here, in the genesis's order."""

    @property
    def committee(self) -> CommitteeId:
        """The network's first committee."""

    @property
    def ledger(self) -> Ledger:
        """The copy here that is furthest."""

    @property
    def failure(self) -> BaseException | None:
        """Why no block will ever come again; None while they come."""

    async def receipt(self, tx_id: Digest) -> bytes:
        """The proof of a final transaction, as its engine gives it.

        Raises:
            UnavailableError: no final block here holds it.
        """

    async def tend(self) -> Sequence[Tended]:
        """One round of housekeeping at every member here."""

    def __getitem__(self, name: str) -> GatewaySide:
        """A member's gateway."""

    def __contains__(self, name: str) -> bool:
        """Whether a member's gateway runs here."""
