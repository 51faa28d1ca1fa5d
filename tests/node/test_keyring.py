"""A member's keys in one process turn with its ledger, at the right moment, and old ones are forgotten."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from salus.contracts.members.messages import Endpoints, MemberKeys
from salus.contracts.members.tables import MEMBERS, Member
from salus.core.ids import MemberId
from salus.core.wire import replace
from salus.crypto.errors import UnopenableError
from salus.crypto.hpke import seal
from salus.crypto.signatures import SigningKey, verify
from salus.node import keyring
from salus.node.http.places import Part
from salus.node.keyring import KeyRing
from salus.node.keys import BEFORE, KEPT_MS, STAGED, load_secrets, make_secrets, stage_secrets
from salus.sdk.author_store import WAITING_MS
from salus.state.key_value import MemoryStore
from salus.state.state import State
from tests.node.stage import Clock

NAME = MemberId("mercy")


class Shown:
    """What is shown to peers."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def take(self, key: SigningKey) -> None:
        self.keys.append(key.public)


class Book:
    """A ledger that a test writes by hand: one member's entry."""

    def __init__(self, keys: MemberKeys) -> None:
        self.member = NAME
        self.state = State(MemoryStore())
        self.listeners: list[Callable[[Any], None]] = []
        entry = Member(
            version=0,
            own_version=0,
            keys=keys,
            tls_next=None,
            jurisdiction="us",
            validator=True,
            quota_bytes=1,
            endpoints=Endpoints(),
        )
        MEMBERS.put(self.state, NAME, entry)

    def write(self, **changes: object) -> None:
        """A block that changes the entry."""
        entry = MEMBERS.get(self.state, NAME)
        assert entry is not None
        MEMBERS.put(self.state, NAME, replace(entry, **changes))
        for listener in self.listeners:
            listener(SimpleNamespace())

    def listen(self, listener: Callable[[Any], None]) -> None:
        self.listeners.append(listener)


def ring_of(folder: Path, part: Part = Part.KEEPER, clock: Clock | None = None) -> tuple[KeyRing, Any]:
    """New keys, their ledger, and a ring over both."""
    secrets = make_secrets(folder) if not folder.exists() else load_secrets(folder)
    book: Any = Book(secrets.public)
    return KeyRing(folder, book, part, clock or Clock()), book


def test_a_key_that_only_waits_signs_nothing(tmp_path: Path) -> None:
    ring, book = ring_of(tmp_path / "keys")
    before = ring.secrets.public
    stage_secrets(tmp_path / "keys", ("keeper", "ledger"))
    book.write(own_version=1)
    assert ring.secrets.public == before
    assert load_secrets(tmp_path / "keys").public == before


def test_keys_that_the_ledger_names_and_this_folder_lacks_change_nothing(tmp_path: Path) -> None:
    ring, book = ring_of(tmp_path / "keys")
    before = ring.secrets.public
    book.write(keys=make_secrets(tmp_path / "other").public)
    assert ring.secrets.public == before


def test_whoever_holds_a_key_signs_with_the_new_one_from_the_block_on(tmp_path: Path) -> None:
    ring, book = ring_of(tmp_path / "keys")
    held = ring.secrets.keeper
    staged = stage_secrets(tmp_path / "keys", ("keeper",)).public
    book.write(keys=staged)
    assert held.public == staged.keeper
    assert verify(staged.keeper, b"m", held.sign(b"m"))
    assert load_secrets(tmp_path / "keys").public == staged
    assert not (tmp_path / "keys" / STAGED / "keeper").exists()


def test_each_process_moves_its_own_keys_alone(tmp_path: Path) -> None:
    ring, book = ring_of(tmp_path / "keys", Part.GATEWAY)
    before = load_secrets(tmp_path / "keys").public
    staged = stage_secrets(tmp_path / "keys", ("keeper", "gateway", "validator")).public
    book.write(keys=staged)
    assert ring.secrets.gateway.public == staged.gateway
    found = load_secrets(tmp_path / "keys").public
    assert (found.keeper, found.validator, found.gateway) == (before.keeper, before.validator, staged.gateway)


def test_envelopes_open_that_were_sealed_to_the_key_before_or_to_the_one_to_come(tmp_path: Path) -> None:
    """Other members' ledgers may be some blocks behind this one, or ahead."""
    clock = Clock()
    clock.now = int((tmp_path.stat().st_mtime_ns) // 1_000_000)
    ring, book = ring_of(tmp_path / "keys", clock=clock)
    held, old = ring.secrets.sealing, ring.secrets.sealing.public
    staged = stage_secrets(tmp_path / "keys", ("sealing",)).public
    assert held.open(seal(staged.sealing, b"early", b"i"), b"i") == b"early"
    book.write(keys=staged)
    assert held.public == staged.sealing
    assert held.open(seal(old, b"late", b"i"), b"i") == b"late"
    with pytest.raises(UnopenableError):
        held.open(seal(make_secrets(tmp_path / "other").public.sealing, b"m", b"i"), b"i")
    clock.now += KEPT_MS["sealing"] + 60_000
    ring.tend()
    assert not (tmp_path / "keys" / BEFORE / "sealing").exists()
    with pytest.raises(UnopenableError):
        held.open(seal(old, b"too late", b"i"), b"i")


def test_an_old_gateway_key_is_kept_as_long_as_a_link_may_wait_for_its_code(tmp_path: Path) -> None:
    assert KEPT_MS["gateway"] > WAITING_MS
    ring, book = ring_of(tmp_path / "keys", Part.GATEWAY)
    old = ring.secrets.gateway.public
    book.write(keys=stage_secrets(tmp_path / "keys", ("gateway",)).public)
    again, _ = ring_of(tmp_path / "keys", Part.GATEWAY)  # After a restart.
    assert again.secrets.gateway.open(seal(old, b"link", b"i"), b"i") == b"link"


async def test_an_announced_tls_key_is_shown_when_peers_know_it_and_at_once_when_the_old_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "SHOWN_AFTER_S", 0.1)
    ring, book = ring_of(tmp_path / "keys")
    shown = Shown()
    ring.show(shown)
    first = stage_secrets(tmp_path / "keys", ("tls",)).public
    book.write(tls_next=os.urandom(32))  # By a thief of the ledger key: nothing here has it.
    book.write(tls_next=first.tls)
    assert shown.keys == []
    await asyncio.sleep(0.2)
    assert shown.keys == [first.tls]
    book.write(keys=first, tls_next=None)
    assert shown.keys == [first.tls, first.tls]  # Taken as the only one.
    second = stage_secrets(tmp_path / "keys", ("tls",)).public
    book.write(keys=second)
    assert shown.keys[-1] == second.tls
    ring.close()


async def test_a_process_that_starts_while_a_key_is_announced_shows_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "SHOWN_AFTER_S", 0.05)
    make_secrets(tmp_path / "keys")
    staged = stage_secrets(tmp_path / "keys", ("tls",)).public
    book: Any = Book(load_secrets(tmp_path / "keys").public)
    book.write(tls_next=staged.tls)
    ring, shown = KeyRing(tmp_path / "keys", book, Part.KEEPER, Clock()), Shown()
    ring.show(shown)
    await asyncio.sleep(0.15)
    assert shown.keys == [staged.tls]
    ring.close()
