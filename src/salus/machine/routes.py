"""Which function answers which message, and what happens after a block's last transaction: the rules, by version.

A message without a line in the version in force is no message there: the block holds bytes that mean nothing. When
rules change, the old ones stay, under their number: a replay from the genesis applies each block by the rules of its
height. `members.upgrade/1` says from which height on a version is in force.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from salus.contracts import cells, credentials, members, reads, records
from salus.contracts.members import Moment
from salus.core.context import Context
from salus.core.ids import Version
from salus.core.wire import Message
from salus.state.state import State

Transition = Callable[[State, Context, Any], None]  # `Any`: each takes its own message, and the key says which.
Closing = Callable[[State, Moment], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of the rules."""

    routes: Mapping[type[Message], Transition]
    closing: tuple[Closing, ...]  # In this order, after the last transaction of a block that has any.


def forget(state: State, moment: Moment) -> None:
    """Forget read requests that nobody may use any more."""
    reads.prune(state, moment.time)


ROUTES: Final[dict[type[Message], Transition]] = {
    members.Propose: members.propose,
    members.Vote: members.vote,
    members.Move: members.move,
    members.AnnounceTls: members.announce_tls,
    members.RotateTls: members.rotate_tls,
    members.RotateGateway: members.rotate_gateway,
    credentials.Issue: credentials.issue,
    credentials.Revoke: credentials.revoke,
    records.Anchor: records.anchor,
    records.Attest: records.attest,
    records.FirstWithdraw: records.withdraw,
    records.Withdraw: records.withdraw,
    cells.Create: cells.create,
    cells.Advance: cells.advance,
    cells.Freeze: cells.freeze,
    cells.Thaw: cells.thaw,
    cells.Close: cells.close,
    reads.Request: reads.request,
    reads.LogRoot: reads.log_root,
}

RULES: Final[Mapping[Version, Rules]] = {1: Rules(routes=ROUTES, closing=(forget, members.govern))}
