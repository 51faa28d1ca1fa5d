"""What the ledger keeps of reading: open requests, when to forget them, and the latest roots of each member's logs."""

from typing import Final

from salus.core.ids import Digest, Height, MemberId, Name, RequestId, TimeMs, Version
from salus.core.wire import Record
from salus.state.keys import Bytes, Integer, Text
from salus.state.table import Table


class OpenRequest(Record, tag="reads.open_request/1", frozen=True):
    """A request until an hour after it expires."""

    sponsor: Name
    commitment: Digest
    reply_key_digest: Digest
    expires: TimeMs
    height: Height


class Expiry(Record, tag="reads.expiry/1", frozen=True):
    """An entry of the list that pruning walks; its key says all."""


class LatestLogRoot(Record, tag="reads.latest_log_root/1", frozen=True):
    """How far one of a member's logs has come; the key names member and kind. Earlier roots are in earlier blocks."""

    version: Version
    root: Digest
    height: Height
    time: TimeMs


REQUESTS: Final = Table[RequestId, OpenRequest]("reads/request/", OpenRequest, Bytes(16))
EXPIRIES: Final = Table[tuple[TimeMs, RequestId], Expiry]("reads/expiry/", Expiry, Integer(), Bytes(16))
LOG_ROOTS: Final = Table[tuple[MemberId, str], LatestLogRoot]("reads/log_root/", LatestLogRoot, Text(), Text())
