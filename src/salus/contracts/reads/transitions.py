"""One function per message; each checks, then writes. `prune` forgets requests that nobody may use any more."""

from itertools import islice, takewhile

from salus.contracts.reads.errors import (
    ExpiresInThePastError,
    ExpiresTooLateError,
    RequestExistsError,
    StaleVersionError,
)
from salus.contracts.reads.messages import LogRoot, Request
from salus.contracts.reads.tables import EXPIRIES, LOG_ROOTS, REQUESTS, Expiry, LatestLogRoot, OpenRequest
from salus.core.context import Context
from salus.core.ids import HOUR_MS, TimeMs
from salus.state.state import State

OPEN_MS_MAX = 12 * HOUR_MS
KEPT_MS = HOUR_MS  # After expiry, so that a late answer can still be checked against its request.
PRUNED_MAX = 1_000  # Per block, so that none pays for a backlog.


def request(state: State, ctx: Context, msg: Request) -> None:
    """Leave the trace without which no keeper answers.

    Raises, in this order:
        ExpiresInThePastError: `expires` is not after block time.
        ExpiresTooLateError: `expires` is more than `OPEN_MS_MAX` ahead.
        RequestExistsError: a request with this id stands.
    """
    if msg.expires <= ctx.time:
        raise ExpiresInThePastError(request_id=msg.request_id, expires=msg.expires)
    if msg.expires > ctx.time + OPEN_MS_MAX:
        raise ExpiresTooLateError(request_id=msg.request_id, expires=msg.expires)
    if REQUESTS.has(state, msg.request_id):
        raise RequestExistsError(request_id=msg.request_id)
    standing = OpenRequest(
        sponsor=ctx.sponsor,
        commitment=msg.commitment,
        reply_key_digest=msg.reply_key_digest,
        expires=msg.expires,
        height=ctx.height,
    )
    REQUESTS.put(state, msg.request_id, standing)
    EXPIRIES.put(state, (msg.expires, msg.request_id), Expiry())


def log_root(state: State, ctx: Context, msg: LogRoot) -> None:
    """Fix how far the sponsor's keeper has logged. Only the latest root is state; earlier ones are in blocks.

    Raises:
        StaleVersionError: the sponsor's log root is not at `version`, which is 0 where there is none.
    """
    place = (ctx.sponsor, msg.log.value)
    latest = LOG_ROOTS.get(state, place)
    version = 0 if latest is None else latest.version
    if msg.version != version:
        raise StaleVersionError(member=ctx.sponsor, version=version)
    LOG_ROOTS.put(state, place, LatestLogRoot(version=version + 1, root=msg.root, height=ctx.height, time=ctx.time))


def prune(state: State, time: TimeMs, limit: int = PRUNED_MAX) -> int:
    """Forget at most `limit` requests that expired an hour ago or earlier, oldest first; return how many.

    A request forgotten cannot be made again by a replay: its `expires` has passed, so `request` refuses it. The
    transaction that carried it is over as well, since `valid_until` lay at most an hour after a time before `expires`.
    """
    due = takewhile(lambda entry: entry[0][0] + KEPT_MS <= time, EXPIRIES.items(state))
    forgotten = [key for key, _ in islice(due, limit)]
    for expires, request_id in forgotten:
        EXPIRIES.delete(state, (expires, request_id))
        REQUESTS.delete(state, request_id)
    return len(forgotten)
