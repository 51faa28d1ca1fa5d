"""What every call of this room needs: a member's view of the ledger, its way onto it, and its way to other members."""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

from salus.contracts.members.messages import Committee, SeatHolder
from salus.contracts.members.reads import committee_of
from salus.core.clock import Clock
from salus.core.ids import ChainId, CommitteeId, Digest, MemberId, Seat
from salus.core.transport import Transport
from salus.crypto.signatures import SigningKey
from salus.machine.sponsor import Sponsor
from salus.machine.view import View
from salus.sdk.errors import TooFewSeatsError


@dataclass(frozen=True, slots=True)
class Gateway:
    """A member's own door to the network. People act through it, each with their own keys."""

    member: MemberId
    view: View
    transport: Transport
    sponsor: Sponsor
    key: SigningKey  # The member's ledger key: signs envelopes as their author.
    clock: Clock
    late: set[asyncio.Task[Any]] = field(default_factory=set, repr=False, compare=False)  # Calls nobody waits for.

    @property
    def chain(self) -> ChainId:
        """The network's name."""
        return self.view.chain

    def committee(self, committee_id: CommitteeId) -> Committee:
        """A committee at its current epoch.

        Raises:
            TooFewSeatsError: the ledger has no such committee.
        """
        committee = committee_of(self.view.state, committee_id)
        if committee is None:
            raise TooFewSeatsError(committee=committee_id)
        return committee

    def close(self) -> None:
        """Let go of calls that are still under way."""
        for task in self.late:
            task.cancel()


def seats_of(committee: Committee) -> list[tuple[Seat, SeatHolder]]:
    """Seats with their holders, from 1."""
    return list(enumerate(committee.seats, 1))


def new_id() -> bytes:
    """A fresh random id of 16 bytes."""
    return os.urandom(16)


def new_secret() -> Digest:
    """A fresh secret, salt or seed of 32 bytes."""
    return os.urandom(32)
