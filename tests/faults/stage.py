"""A network of four members in processes of their own, with one patient in it who has a document at each."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.client import Client
from tests.faults.members import Members, members
from tests.faults.people import Person, admitted

RUNS_ALL = os.environ.get("SALUS_FAULTS") == "all"
REPEATS = 10
long = pytest.mark.skipif(not RUNS_ALL, reason="long: `make faults` runs it")


@dataclass
class Stage:
    """What a scenario acts on."""

    net: Members
    client: Client
    person: Person
    sources: set[str]

    async def write(self, label: str, *at: str) -> None:
        """A further document at each of these hospitals; repeated until it is there."""
        path, sources = self.person.bundle(label, at)
        await self.client.imported(path)
        self.sources |= set(sources)

    async def grant(self, to: str) -> None:
        """A permit for treatment; repeated, as the answer says, where an older change became final meanwhile."""
        for _ in range(REPEATS):
            answer = await self.client("consent", "grant", "--as", self.person.name, "--to", to, "--for", "TREAT")
            if answer.code == 0:
                return
            assert answer.error == "cells.stale_version", answer
            await asyncio.sleep(0.5)
        raise AssertionError("The consent never settles.")

    async def revoke(self, to: str) -> None:
        """All that speaks to them."""
        await self.client.done("consent", "revoke", "--as", self.person.name, "--to", to)

    async def check(self) -> None:
        """The patient sees everything, wherever they ask; and all ledgers are one."""
        for name in self.net.names:
            assert await self.person.seen(self.person.name, via=name) == self.sources
        height = await self.net.level()
        headers = {
            name: [self.net.follower(name).block(at).header for at in range(1, height + 1)] for name in self.net.names
        }
        assert all(own == headers[self.net.names[0]] for own in headers.values())


@asynccontextmanager
async def staged(folder: Path, *, proxied: bool = False) -> AsyncIterator[Stage]:
    """The network, up, with its patient."""
    async with members(folder, proxied=proxied) as net:
        await net.start()
        client = Client(folder)
        person, sources = await admitted(folder, client, 1, tuple(net.names))
        yield Stage(net, client, person, sources)
