"""How much of this member each peer may have: requests at once and per second, bytes on their way, connections.

A peer over its share is told to wait; the others do not notice. A cap over all peers protects the process itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from salus.core.ids import MemberId
from salus.core.transport import REQUEST_BYTES_MAX, TIMEOUT_S
from salus.node.http.errors import OverloadedError, TooLongError, TooManyError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may use. The defaults allow the largest batch, and a thousand records sealed in a second."""

    request_bytes_max: int = REQUEST_BYTES_MAX
    bytes_at_once_max: int = 2 * REQUEST_BYTES_MAX  # Per peer, with replies that it has not read yet.
    bytes_at_once_max_all: int = 4 * REQUEST_BYTES_MAX  # Of requests that are arriving or being answered.
    requests_at_once_max: int = 128  # Per peer.
    requests_at_once_max_all: int = 1024
    rate_per_s: float = 1000.0  # Per peer.
    burst: int = 2000
    connections_max: int = 256  # Per peer.
    handshake_s: float = 5.0
    head_s: float = 5.0  # For the headers of one request, from its first byte.
    request_s: float = TIMEOUT_S  # From the headers to the last byte of the reply.
    idle_s: float = 75.0  # Longer than a caller keeps an idle connection.
    head_bytes_max: int = 8192


class TokenBucket:
    """So many per second, with a reserve of `burst`."""

    def __init__(self, rate_per_s: float, burst: int, now_s: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._now_s = now_s
        self._left = float(burst)
        self._at_s = now_s()

    def take(self) -> float:
        """Take one: 0, or the seconds until there is one again."""
        now = self._now_s()
        self._left = min(self._burst, self._left + (now - self._at_s) * self._rate_per_s)
        self._at_s = now
        if self._left < 1:
            return (1 - self._left) / self._rate_per_s
        self._left -= 1
        return 0.0


class Account:
    """What one peer uses now."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.requests = 0
        self.size_bytes = 0
        self.connections = 0


class Hold:
    """One request's share, from its headers to the last byte of its reply.

    What a peer declares counts against its own share at once; against the cap over all only what has arrived, so that
    nobody keeps others out by declarations.
    """

    def __init__(self, admission: "Admission", account: Account) -> None:
        self._admission = admission
        self._account = account
        self._declared_bytes = 0
        self._arrived_bytes = 0

    def declare(self, size_bytes: int) -> None:
        """The request will be this long.

        Raises:
            TooLongError: one request may not be so long.
            TooManyError: this peer has too many bytes on their way.
        """
        if size_bytes > self._admission.limits.request_bytes_max:
            raise TooLongError(limit_bytes=self._admission.limits.request_bytes_max)
        self._take(size_bytes)

    def arrive(self, size_bytes: int) -> None:
        """So much of the request is here.

        Raises:
            TooLongError: one request may not be so long.
            TooManyError: this peer has too many bytes on their way.
            OverloadedError: all peers together have.
        """
        self.declare(max(size_bytes, self._declared_bytes))
        more = size_bytes - self._arrived_bytes
        if self._admission.size_bytes + more > self._admission.limits.bytes_at_once_max_all:
            raise OverloadedError(wait_ms=1000)
        self._arrived_bytes += more
        self._admission.size_bytes += more

    def reply(self, size_bytes: int) -> None:
        """A reply of this length waits to be read, beside the request.

        Raises:
            TooManyError: this peer has too many bytes on their way.
        """
        self._take(self._declared_bytes + size_bytes)

    def release(self) -> None:
        """Give everything back."""
        self._account.size_bytes -= self._declared_bytes
        self._admission.size_bytes -= self._arrived_bytes
        self._declared_bytes = self._arrived_bytes = 0

    def _take(self, size_bytes: int) -> None:
        more = size_bytes - self._declared_bytes
        if more > 0 and self._account.size_bytes + more > self._admission.limits.bytes_at_once_max:
            raise TooManyError(wait_ms=1000)
        if more > 0:
            self._declared_bytes += more
            self._account.size_bytes += more


class Admission:
    """All peers' accounts. Strangers never get here: TLS has refused them."""

    def __init__(self, limits: Limits, now_s: Callable[[], float]) -> None:
        self.limits = limits
        self.requests = 0
        self.size_bytes = 0
        self._now_s = now_s
        self._accounts: dict[MemberId, Account] = {}

    def account(self, peer: MemberId) -> Account:
        """A peer's account."""
        if peer not in self._accounts:
            bucket = TokenBucket(self.limits.rate_per_s, self.limits.burst, self._now_s)
            self._accounts[peer] = Account(bucket)
        return self._accounts[peer]

    @contextmanager
    def admit(self, peer: MemberId) -> Iterator[Hold]:
        """Let a request in for the length of the block.

        Raises:
            TooManyError: the peer sends too often, or has too many under way.
            OverloadedError: all peers together have.
        """
        account = self.account(peer)
        wait_s = account.bucket.take()
        if wait_s > 0:
            raise TooManyError(wait_ms=int(wait_s * 1000) + 1)
        if account.requests >= self.limits.requests_at_once_max:
            raise TooManyError(wait_ms=100)
        if self.requests >= self.limits.requests_at_once_max_all:
            raise OverloadedError(wait_ms=200)
        account.requests += 1
        self.requests += 1
        hold = Hold(self, account)
        try:
            yield hold
        finally:
            hold.release()
            account.requests -= 1
            self.requests -= 1
