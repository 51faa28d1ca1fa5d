"""A member's secret keys in one running process, as its ledger has them now.

Whoever signs or opens holds one key object of its duty for good; when the members' decision, or the member's own
message, is final here, the object turns to the key that waited in the folder (`keys.py`). So nothing starts anew, and
what is under way goes on: other members saw the same block. What was sealed to the key before still opens for a while.

A TLS key that is announced is shown to peers only after `SHOWN_AFTER_S`, for one whose ledger is some blocks behind;
at once, where the key before counts no more.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from salus.contracts.members.reads import member_of
from salus.contracts.members.tables import Member
from salus.core.clock import Clock
from salus.core.ids import MemberId
from salus.crypto.errors import UnopenableError
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey
from salus.engines.engine import Ledger
from salus.node.http.places import Part
from salus.node.keys import (
    Secrets,
    load_secrets,
    opener_before,
    settle_secrets,
    staged_opener,
    staged_tls,
)

SHOWN_AFTER_S = 5.0
DUTIES_OF = {  # Which keys a process moves in the folder; the ledger process sees to the others.
    Part.KEEPER: ("ledger", "keeper", "sealing", "tls", "checkpoint"),
    Part.GATEWAY: ("ledger", "gateway", "tls"),
}


class HeldSigningKey(SigningKey):
    """The signing key of a duty, whichever it is now."""

    __slots__ = ()

    def become(self, key: SigningKey) -> None:
        """Sign with this one from now on."""
        super().__init__(key.seed)


class HeldOpeningKey(OpeningKey):
    """The opening key of a duty, whichever it is now; and those before and after it, as others' ledgers may be behind
    this one, or ahead."""

    __slots__ = ("_before", "_next")

    def __init__(self, key: OpeningKey, before: OpeningKey | None, next_: Callable[[], OpeningKey | None]) -> None:
        self._next = next_
        self.become(key, before)

    def become(self, key: OpeningKey, before: OpeningKey | None) -> None:
        """Open with these from now on."""
        self._key, self.public, self._before = key._key, key.public, before

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """See `OpeningKey.open`."""
        try:
            return super().open(sealed, info)
        except UnopenableError:
            for other in (self._before, self._next()):
                if other is not None:
                    with suppress(UnopenableError):
                        return other.open(sealed, info)
            raise


def with_openers(folder: Path, secrets: Secrets, clock: Clock) -> Secrets:
    """The same keys, where those that open do so for what was sealed to the ones before, too.

    Raises:
        KeyFileError: one of those is damaged.
        FolderError: the folder cannot be written.
    """

    def held(duty: str, key: OpeningKey) -> HeldOpeningKey:
        return HeldOpeningKey(key, opener_before(folder, duty, clock()), partial(staged_opener, folder, duty))

    return replace(secrets, sealing=held("sealing", secrets.sealing), gateway=held("gateway", secrets.gateway))


class Showing(Protocol):
    """What shows a TLS key to peers: `http.trust.Trust`."""

    def take(self, key: SigningKey) -> None:
        """Have another key ready: it is shown once the ledger has it."""


class KeyRing:
    """One member's keys in one process. For one event loop; make it before whatever listens to the ledger with them."""

    def __init__(self, folder: Path, ledger: Ledger, part: Part, clock: Clock) -> None:
        """Settle the folder's keys by the ledger, and hold them.

        Raises:
            KeyFileError: a key is missing or damaged.
            FolderError: the folder cannot be written.
        """
        self._folder = folder
        self._ledger = ledger
        self._member: MemberId = ledger.member
        self._duties = DUTIES_OF[part]
        self._clock = clock
        self._showing: list[Showing] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._seen = self._entry()
        found = self._settled(self._seen)
        self.secrets = replace(
            with_openers(folder, found, clock),
            ledger=HeldSigningKey(found.ledger.seed),
            keeper=HeldSigningKey(found.keeper.seed),
        )
        self.tls = found.tls
        self.checkpoint = found.checkpoint
        ledger.listen(lambda _: self.follow())

    def show(self, showing: Showing) -> None:
        """Let this end show the TLS keys to come; it has the one in use."""
        self._showing.append(showing)
        if self._seen is not None:
            self._announce(self._seen)

    def follow(self) -> None:
        """Turn to what the ledger has by now. Raises as the ring's own beginning."""
        entry = self._entry()
        if entry is None or entry == self._seen:
            return
        self._seen = entry
        self._turn(entry)

    def tend(self) -> None:
        """What is due: follow, where a block was missed; destroy old keys whose time is over. Raises as `follow`."""
        self.follow()
        held = self.secrets
        for duty, key in (("sealing", held.sealing), ("gateway", held.gateway)):
            assert isinstance(key, HeldOpeningKey), "The ring made it."
            if duty in self._duties:
                key.become(key, self._before(duty))

    def close(self) -> None:
        """Show no more keys."""
        for timer in self._timers:
            timer.cancel()

    def _turn(self, entry: Member) -> None:
        found = self._settled(entry)
        self.checkpoint = found.checkpoint
        for held, key in ((self.secrets.ledger, found.ledger), (self.secrets.keeper, found.keeper)):
            if isinstance(held, HeldSigningKey) and held.public != key.public:
                held.become(key)
        for duty in ("sealing", "gateway"):
            opener, new = getattr(self.secrets, duty), getattr(found, duty)
            if opener.public != new.public:
                opener.become(new, self._before(duty))
        if found.tls.public != self.tls.public:
            self.tls = found.tls
            for showing in self._showing:
                showing.take(found.tls)
        self._announce(entry)

    def _announce(self, entry: Member) -> None:
        """Have an announced key shown, where it is the one that waits here, when peers know it too."""
        self.close()
        self._timers.clear()
        key = staged_tls(self._folder)
        if key is not None and key.public == entry.tls_next:
            loop = asyncio.get_running_loop()
            self._timers = [loop.call_later(SHOWN_AFTER_S, showing.take, key) for showing in self._showing]

    def _entry(self) -> Member | None:
        return member_of(self._ledger.state, self._member)

    def _settled(self, entry: Member | None) -> Secrets:
        if entry is None:  # It has left: what it holds stays as it is.
            return load_secrets(self._folder)
        return settle_secrets(self._folder, entry.keys, self._duties)

    def _before(self, duty: str) -> OpeningKey | None:
        return opener_before(self._folder, duty, self._clock())
