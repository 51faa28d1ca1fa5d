"""One member as a check sees it: its folder, keys, addresses and copy of the ledger, opened to look at alone."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from salus.contracts.members.messages import Genesis
from salus.contracts.members.reads import member_of
from salus.contracts.members.tables import Member
from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.core.ids import MemberId
from salus.engines.cometbft.unit import LEDGER_FOLDER
from salus.engines.follower import Follower
from salus.node.folder import is_apart, member_folder, members_here, read_genesis
from salus.node.keys import KEYS_FOLDER, Secrets, load_secrets
from salus.node.observing.findings import Finding
from salus.node.settings import system_clock
from salus.node.site import Site, read_site


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """What a check may look at. What is None is missing or damaged; the check whose matter that is says so."""

    folder: Path  # The network's.
    member: MemberId
    genesis: Genesis
    is_apart: bool  # Its parts are processes of their own.
    is_up: bool  # They run, or the network that it is part of does.
    clock: Clock
    secrets: Secrets | None
    site: Site | None
    ledger: Follower | None = None

    @property
    def place(self) -> Path:
        """Its own folder."""
        return member_folder(self.folder, self.member)

    @property
    def entry(self) -> Member | None:
        """What the ledger says of it, as far as it is read."""
        return None if self.ledger is None else member_of(self.ledger.state, self.member)


Check = Callable[[Case], Iterator[Finding]]
AsyncCheck = Callable[[Case], AsyncIterator[Finding]]


def cases_in(folder: Path, *, is_up: bool, clock: Clock = system_clock) -> list[Case]:
    """Every member that lives in a folder; its ledger is opened later (`with_ledger`).

    Raises:
        NoNetworkError: there is no network in it.
        NotANetworkError: its genesis cannot be read.
    """
    genesis, apart = read_genesis(folder), is_apart(folder)
    return [
        Case(
            folder=folder,
            member=name,
            genesis=genesis,
            is_apart=apart,
            is_up=is_up,
            clock=clock,
            secrets=_secrets(member_folder(folder, name)),
            site=_site(member_folder(folder, name)) if apart else None,
        )
        for name in members_here(folder, genesis)
    ]


@contextmanager
def with_ledger(case: Case) -> Iterator[Case]:
    """The same with its ledger open, if that can be.

    Raises:
        SalusError: why it cannot; not where there is none yet.
    """
    if not (case.place / LEDGER_FOLDER).is_dir():
        yield case
        return
    ledger = Follower(case.member, case.genesis, case.place / LEDGER_FOLDER)
    try:
        yield replace(case, ledger=ledger)
    finally:
        ledger.close()


def _secrets(place: Path) -> Secrets | None:
    try:
        return load_secrets(place / KEYS_FOLDER)
    except SalusError:
        return None


def _site(place: Path) -> Site | None:
    try:
        return read_site(place)
    except SalusError:
        return None
