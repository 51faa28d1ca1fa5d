"""Load for ledgers alone, and what must hold of them afterwards: nothing acknowledged lost, nothing applied twice."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from salus.contracts.cells.messages import Create
from salus.contracts.members.founding import first_committee
from salus.core.errors import UnavailableError
from salus.core.ids import MINUTE_MS, NO_DIGEST, CellId, Digest, Height, MemberId
from salus.core.wire import Record
from salus.crypto.digests import digest
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine
from salus.machine.admission import read
from salus.machine.block import ACCEPTED
from salus.machine.transaction import Body, sign
from salus.node.folder import member_folder
from salus.node.keys import load_secrets
from salus.node.settings import system_clock
from tests.faults.members import Members

VALID_MS = 5 * MINUTE_MS


@dataclass
class Load:
    """Writers who submit through their own member, and again through another where that is away."""

    net: Members
    acknowledged: dict[Digest, Height] = field(default_factory=dict)
    submitted: set[Digest] = field(default_factory=set)
    waited_s: list[float] = field(default_factory=list)
    _engines: dict[str, LinkEngine] = field(default_factory=dict)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _ending: bool = False

    def start(self, writers: int = 4, pause_s: float = 0.05) -> None:
        """Write until `stop`."""
        for number in range(writers):
            name = self.net.names[number % len(self.net.names)]
            self._tasks.add(asyncio.create_task(self._write_for_ever(name, pause_s, random.Random(number))))

    async def stop(self, timeout_s: float = 60.0) -> None:
        """Begin nothing new, and wait for what is under way."""
        self._ending = True
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*(engine.close() for engine in self._engines.values()))

    async def write(self, sponsor: str, names: Iterable[str]) -> Height:
        """One transaction, offered to these members in turn until one says that it is final."""
        tx, tx_id = cell_by(self.net, sponsor)
        self.submitted.add(tx_id)
        began = asyncio.get_running_loop().time()
        while True:
            for name in names:
                try:
                    done = await self.engine(name).submit(tx)
                except UnavailableError:
                    continue
                assert (done.tx_id, done.code) == (tx_id, ACCEPTED)
                self.acknowledged[tx_id] = done.height
                self.waited_s.append(asyncio.get_running_loop().time() - began)
                return done.height
            await asyncio.sleep(0.1)

    def engine(self, name: str) -> LinkEngine:
        """The way into a member's ledger process."""
        if name not in self._engines:
            place = member_folder(self.net.folder, MemberId(name)) / LINK_SOCKET
            self._engines[name] = LinkEngine(place, _no_receipts, patience_s=0.0)
        return self._engines[name]

    async def takes_part(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait until a member's engine has caught up with the others and orders with them."""
        async with asyncio.timeout(timeout_s):
            while True:
                with suppress(UnavailableError):
                    said = await self.engine(name).status()
                    if said.peers and not said.catching_up:
                        return
                await asyncio.sleep(0.1)

    async def _write_for_ever(self, name: str, pause_s: float, chance: random.Random) -> None:
        others = [other for other in self.net.names if other != name]
        while not self._ending:
            chance.shuffle(others)
            await self.write(name, [name, *others])
            await asyncio.sleep(pause_s * chance.random())


def cell_by(net: Members, sponsor: str) -> tuple[bytes, Digest]:
    """A signed transaction that opens a new cell, and its id."""
    secrets = load_secrets(member_folder(net.folder, MemberId(sponsor)) / "keys")
    message = Create(
        cell_id=CellId(os.urandom(16)),
        committee=first_committee(net.genesis.chain),
        commitment=digest(os.urandom(8)),
        owner=digest(os.urandom(32)),
        recovery=NO_DIGEST,
    )
    until = system_clock() + VALID_MS
    body = Body(chain=net.genesis.chain, valid_until=until, messages=(message,), sponsor=MemberId(sponsor))
    tx = sign(body, secrets.ledger)
    return tx, read(tx).tx_id


async def check(net: Members, load: Load) -> int:
    """All members hold the same blocks; every acknowledged transaction is in one of them, and none in two."""
    height = await net.level()
    for load_height in load.acknowledged.values():
        assert load_height <= height
    headers = {}
    for name in net.names:
        follower = net.follower(name)
        blocks = [follower.block(at) for at in range(1, height + 1)]
        headers[name] = [stored.header for stored in blocks]
        accepted = Counter(result.tx_id for stored in blocks for result in stored.results if result.code == ACCEPTED)
        twice = [tx_id.hex() for tx_id, times in accepted.items() if times > 1]
        assert not twice, f"{name} applied twice: {twice}"
        lost = [tx_id.hex() for tx_id in load.acknowledged if tx_id not in accepted]
        assert not lost, f"{name} lost {lost}"
        places = {r.tx_id: s.header.height for s in blocks for r in s.results if r.code == ACCEPTED}
        assert all(places[tx_id] == at for tx_id, at in load.acknowledged.items()), "Another height than was said."
    first = headers[net.names[0]]
    for name, own in headers.items():
        differs = [at for at, (one, two) in enumerate(zip(first, own, strict=True), 1) if one != two]
        assert not differs, f"{name} has other headers at {differs[:5]}"
    return height


def _no_receipts(_: bytes) -> Record:
    raise AssertionError("no receipts are asked for")
