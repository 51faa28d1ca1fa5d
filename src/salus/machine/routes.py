"""Which function answers which message. A message without a line here cannot be decoded either (`transaction.py`)."""

from collections.abc import Callable
from typing import Any, Final

from salus.contracts import cells, credentials, reads, records
from salus.core.context import Context
from salus.core.wire import Message
from salus.state.state import State

Transition = Callable[[State, Context, Any], None]  # `Any`: each takes its own message, and the key says which.

ROUTES: Final[dict[type[Message], Transition]] = {
    credentials.Issue: credentials.issue,
    credentials.Revoke: credentials.revoke,
    records.Anchor: records.anchor,
    records.Withdraw: records.withdraw,
    cells.Create: cells.create,
    cells.Advance: cells.advance,
    cells.Freeze: cells.freeze,
    cells.Thaw: cells.thaw,
    cells.Close: cells.close,
    reads.Request: reads.request,
    reads.LogRoot: reads.log_root,
}
