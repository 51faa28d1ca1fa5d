"""Whom a member believes over TLS: who presents a key that the ledger holds for them now, and nobody else.

OpenSSL checks chain, dates and, for a server, its name. As all members' anchors share the receiving end's context, one
thing is added on both ends, before a byte of a request moves: the certificate must name a member, and carry one of that
member's keys in force. Contexts are made anew when the ledger's keys change or the own certificate is renewed; open
connections keep the old one, and `server.py` asks `is_in_force` again for every request on them.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from salus.contracts.members.reads import members_of, tls_keys_of
from salus.core.clock import Clock
from salus.core.errors import MalformedError
from salus.core.ids import Height, MemberId, PublicKey, TimeMs
from salus.crypto.signatures import SigningKey
from salus.machine.view import View
from salus.node.http.certificates import Own, Shown, anchors_of, load_own, make_own, read_certificate

Pinned = tuple[tuple[MemberId, PublicKey], ...]


@dataclass(frozen=True, slots=True)
class Pins:
    """Who may present which keys, as the ledger has it now. While a key is replaced, the old and the new one count."""

    members: Callable[[], tuple[MemberId, ...]]
    keys_of: Callable[[MemberId], tuple[PublicKey, ...]]  # None for a stranger.
    height: Callable[[], Height]  # As long as it stays, so do the answers.


def pins_of(view: View) -> Pins:
    """What a member's own final state says."""
    return Pins(lambda: members_of(view.state), lambda member: tls_keys_of(view.state, member), lambda: view.height)


class Trust:
    """A member's own certificate, and its contexts for both ends. Not for two threads."""

    def __init__(
        self, member: MemberId, key: SigningKey, pins: Pins, clock: Clock, hosts: tuple[str, ...] = ()
    ) -> None:
        self.member = member
        self.clock = clock
        self._keys = [key]  # The newest first.
        self._pins = pins
        self._hosts = hosts
        self._own: Own | None = None
        self._own_key = key
        self._all: tuple[Height, Pinned] | None = None
        self._accepting: tuple[Own, Pinned, ssl.SSLContext] | None = None
        self._calling: dict[MemberId, tuple[Own, Pinned, ssl.SSLContext]] = {}

    def take(self, key: SigningKey) -> None:
        """Have another key ready: it is presented from the block on that gives it to this member.

        Older ones that the ledger holds no more are forgotten.
        """
        in_force = self._pins.keys_of(self.member)
        older = [held for held in self._keys if held.public in in_force and held.public != key.public]
        self._keys = [key, *older]

    def own(self) -> Own:
        """The own certificate: for the newest key that the ledger holds, and renewed in time."""
        in_force = self._pins.keys_of(self.member)
        key = next((key for key in self._keys if key.public in in_force), self._keys[-1])
        now = self.clock()
        if self._own is None or key is not self._own_key or now >= self._own.renew:
            self._own_key, self._own = key, make_own(self.member, key, self._hosts, now)
        return self._own

    @property
    def renewal(self) -> TimeMs | None:
        """When the certificate in use is due to be renewed; None while there is none. To ask renews nothing."""
        return None if self._own is None else self._own.renew

    def is_in_force(self, shown: Shown) -> bool:
        """Whether the ledger holds this key for this member, and the certificate has not ended."""
        return shown.key in self._pins.keys_of(shown.member) and self.clock() < shown.ends

    def knows(self, peer: MemberId) -> bool:
        """Whether the ledger has keys for a member."""
        return bool(self._pins.keys_of(peer))

    def accepting(self) -> ssl.SSLContext:
        """For a listening socket's life: each connection gets what is in force when it begins."""
        context = _tls13(ssl.PROTOCOL_TLS_SERVER)

        def begin(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self._accepting_now()

        context.sni_callback = begin
        context.sslobject_class = self._pinned(None)
        load_own(context, self.own())
        return context

    def calling(self, peer: MemberId) -> ssl.SSLContext:
        """For connections to one member: the same object as long as nothing has changed."""
        pinned = tuple((peer, key) for key in self._pins.keys_of(peer))
        made = self._calling.get(peer)
        if made is None or made[:2] != (self.own(), pinned):
            made = self._calling[peer] = (self.own(), pinned, self._made(ssl.PROTOCOL_TLS_CLIENT, pinned, peer))
        return made[2]

    def _accepting_now(self) -> ssl.SSLContext:
        pinned, made = self._everybody(), self._accepting
        if made is None or made[:2] != (self.own(), pinned):
            made = self._accepting = (self.own(), pinned, self._made(ssl.PROTOCOL_TLS_SERVER, pinned, None))
        return made[2]

    def _everybody(self) -> Pinned:
        height = self._pins.height()
        if self._all is None or self._all[0] != height:
            pinned = tuple((name, key) for name in self._pins.members() for key in self._pins.keys_of(name))
            self._all = (height, pinned)
        return self._all[1]

    def _made(self, end: int, pinned: Pinned, expected: MemberId | None) -> ssl.SSLContext:
        context = _tls13(end)
        load_own(context, self.own())
        if pinned:
            context.load_verify_locations(cadata=anchors_of(pinned))
        context.sslobject_class = self._pinned(expected)
        return context

    def _pinned(self, expected: MemberId | None) -> type[ssl.SSLObject]:
        """The kind of connection that looks at the ledger before it says that it is open."""

        def check(data: bytes | None) -> None:
            try:
                shown = read_certificate(data or b"")
            except MalformedError:
                raise ssl.SSLCertVerificationError("not a member's certificate") from None
            if not self.is_in_force(shown) or expected not in (None, shown.member):
                raise ssl.SSLCertVerificationError("not a key that the ledger holds for this member")

        class PinnedConnection(ssl.SSLObject):
            def do_handshake(self) -> None:
                super().do_handshake()
                check(self.getpeercert(binary_form=True))

        return PinnedConnection


def _tls13(end: int) -> ssl.SSLContext:
    context = ssl.SSLContext(end)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if end == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # A resumed connection would skip the dates.
    return context
