"""What a reader and a keeper leave on the ledger: that a read was asked for, and how far a keeper's log has come.

The opening of a request (who, whom, why) goes to keepers alone, see `opening.py`.
"""

from enum import Enum

from salus.core.ids import Digest, RequestId, TimeMs, Version
from salus.core.wire import Message


class Request(Message, tag="reads.request/1", frozen=True):
    """Leave a trace before reading: a commitment to the opening, and the key the answers will be sealed to."""

    request_id: RequestId
    commitment: Digest
    reply_key_digest: Digest
    expires: TimeMs  # At most twelve hours ahead: one encounter.


class LogKind(Enum):
    """Whose log: a keeper's of what it released, an author's of what it opened of its own."""

    KEEPER = "keeper"
    AUTHOR = "author"


class LogRoot(Message, tag="reads.log_root/1", frozen=True):
    """Fix how far one of the sponsor's logs has come: the root of a map from keyed subject to last number and head."""

    log: LogKind
    version: Version  # Of that log's root so far; 0 for its first.
    root: Digest
